"""`loratory presets`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from loratory.cli.common import AsJson, Number, Text, told

app = typer.Typer(help="List, show and save presets.", invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def presets(
    context: typer.Context,
    architecture: Annotated[Text, typer.Option("--for", help="Only for this one, such as sdxl.")] = None,
    memory: Annotated[Number, typer.Option(help="GB of the card to propose for. Left out, this one's.")] = None,
    as_json: AsJson = False,
) -> None:
    """List presets, and which are right for this machine's graphics card."""

    def work() -> int:
        from loratory.commands import list_presets

        return list_presets(architecture, memory, as_json=as_json, say=typer.echo)

    if context.invoked_subcommand is None:
        raise typer.Exit(told(work))


@app.command("show")
def presets_show(name: Annotated[str, typer.Argument(help="Its name, or its file.")], as_json: AsJson = False) -> None:
    """Show the settings of a preset, and why they are as they are."""

    def work() -> int:
        from loratory.commands import show_preset

        return show_preset(name, as_json=as_json, say=typer.echo)

    raise typer.Exit(told(work))


@app.command("save")
def presets_save(
    name: Annotated[str, typer.Argument(help="What it shall be called.")],
    source: Annotated[Path, typer.Option("--from", help="A job file, or the folder of a run.")],
    architecture: Annotated[Text, typer.Option("--for", help="The model it is for. Left out, the job's.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Write over one of this name.")] = False,
) -> None:
    """Save the settings of a job as a preset of your own: no names, no paths, nothing of the pictures."""

    def work() -> int:
        from loratory.commands import save_preset

        return save_preset(name, source, architecture, replace=replace, say=typer.echo)

    raise typer.Exit(told(work))
