"""`loratory network`, `convert` and `cache`: tools that need no run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from loratory.cli.common import Overrides, told

network_app = typer.Typer(help="Look at what a job would train.", no_args_is_help=True, rich_markup_mode=None)
convert_app = typer.Typer(help="Rewrite files in another layout.", no_args_is_help=True, rich_markup_mode=None)
cache_app = typer.Typer(help="Look after the cache of encoded pictures and captions.", no_args_is_help=True,
                        rich_markup_mode=None)  # fmt: skip


@network_app.command("preview")
def network_preview(
    file: Annotated[Path, typer.Argument(help="A job file.")],
    overrides: Overrides = None,
    layers: Annotated[bool, typer.Option("--layers", help="List every layer, too.")] = False,
) -> None:
    """Show which layers a job would train, with their sizes. Needs no GPU and loads no model."""

    def work() -> int:
        from loratory.session import show_network

        return show_network(file, list(overrides or []), layers, typer.echo)

    raise typer.Exit(told(work))


@convert_app.command("lora")
def convert_lora(
    source: Annotated[Path, typer.Argument(help="A LoRA file.")],
    target: Annotated[Path, typer.Argument(help="The file to write.")],
    to: Annotated[str, typer.Option(help="kohya, diffusers, comfyui or aitoolkit.")],
    architecture: Annotated[Optional[str], typer.Option(help="Of the model, where it cannot be told.")] = None,  # noqa: UP045
    model: Annotated[Optional[Path], typer.Option(help="A diffusers folder of other sizes than usual.")] = None,  # noqa: UP045
    allow_unknown: Annotated[bool, typer.Option("--allow-unknown", help="Leave out what is not known.")] = False,
) -> None:
    """Write a LoRA file in another program's key layout, with the same effect."""

    def work() -> int:
        from loratory.postprocess.convert import convert_lora

        typer.echo(
            convert_lora(source, target, to, architecture=architecture, model=model, allow_unknown=allow_unknown)
        )
        return 0

    raise typer.Exit(told(work))


@cache_app.command("prune")
def cache_prune(
    older_than: Annotated[float, typer.Option(help="Delete what no run has used for so many days.")] = 30.0,
    folder: Annotated[Optional[Path], typer.Option(help="The cache folder; left out, the usual one.")] = None,  # noqa: UP045
) -> None:
    """Delete encoded pictures and captions that were not used for a while. They are made again when needed."""

    def work() -> int:
        from loratory.runs import home_folder
        from loratory.training.tensor_cache import prune

        files, size = prune(folder or home_folder("cache"), older_than)
        typer.echo(f"Deleted {files} files ({size / 1e6:.0f} MB) from {folder or home_folder('cache')}.")
        return 0

    raise typer.Exit(told(work))
