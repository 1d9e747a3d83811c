"""The command line. Nothing heavy is imported until a command runs, so that help appears at once."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Optional

import typer

app = typer.Typer(
    name="loratory",
    help="Teach a diffusion model new subjects and styles.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
config_app = typer.Typer(help="Look at job files.", no_args_is_help=True, rich_markup_mode=None)
network_app = typer.Typer(help="Look at what a job would train.", no_args_is_help=True, rich_markup_mode=None)
convert_app = typer.Typer(help="Rewrite files in another layout.", no_args_is_help=True, rich_markup_mode=None)
cache_app = typer.Typer(help="Look after the cache of encoded pictures and captions.", no_args_is_help=True,
                        rich_markup_mode=None)  # fmt: skip
presets_app = typer.Typer(help="List, show and save presets.", invoke_without_command=True, rich_markup_mode=None)
app.add_typer(config_app, name="config")
app.add_typer(presets_app, name="presets")
app.add_typer(network_app, name="network")
app.add_typer(convert_app, name="convert")
app.add_typer(cache_app, name="cache")

Overrides = Annotated[
    Optional[list[str]],  # noqa: UP045  (typer reads this form)
    typer.Option("--set", metavar="KEY=VALUE", help="Change a parameter, for example --set network.rank=32."),
]
DatasetFile = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--dataset", "--dataset_config", help="With a file for kohya's trainer: its dataset file."),
]


Text = Optional[str]  # noqa: UP045
Number = Optional[float]  # noqa: UP045
AsJson = Annotated[bool, typer.Option("--json", help="Print it for programs.")]


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Show the version and stop.")] = False) -> None:
    if version:
        from loratory import __version__

        typer.echo(f"loratory {__version__}")
        raise typer.Exit


@app.command()
def train(
    configs: Annotated[list[Path], typer.Argument(help="Job files, or folders of runs to go on with. Done in turn.")],
    overrides: Overrides = None,
    name: Annotated[Optional[str], typer.Option(help="Another name for the run.")] = None,  # noqa: UP045
    recover: Annotated[bool, typer.Option("--recover", help="Go on with the next job when one fails.")] = False,
    weights_only: Annotated[
        bool, typer.Option("--weights-only", help="Go on with a run's weights, but start the optimizer fresh.")
    ] = False,
    log: Annotated[Optional[Path], typer.Option(help="Also write the log of all jobs to this file.")] = None,  # noqa: UP045
    dataset: DatasetFile = None,
) -> None:
    """Train. A run that exists goes on where it stood. Files of kohya's trainer are read, too."""
    import json
    import os

    # Libraries ask the Hub about updates and draw bars of their own; ours is the only one.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    changes = list(overrides or [])
    if name is not None:
        changes.append(f"name={json.dumps(name)}")  # quoted, so that 2024 stays a name
    from loratory.session import Session

    with Session(log) as session:
        code = session.train_all(configs, changes, recover=recover, weights_only=weights_only, dataset=dataset)
    raise typer.Exit(code)


@app.command()
def stop(run: Annotated[Path, typer.Argument(help="The folder of a run.")]) -> None:
    """Ask a run to finish its step, save and stop."""
    _ask(run, "stop", "It finishes its step, saves and stops.")


@app.command()
def save(run: Annotated[Path, typer.Argument(help="The folder of a run.")]) -> None:
    """Ask a run to write a LoRA file and a checkpoint now."""
    _ask(run, "save", "It writes a LoRA file and a checkpoint after this step.")


@app.command()
def sample(run: Annotated[Path, typer.Argument(help="The folder of a run.")]) -> None:
    """Ask a run to make its samples now."""
    _ask(run, "sample", "It makes its samples after this step.")


@app.command()
def plan(
    file: Annotated[Optional[Path], typer.Argument(help="A job file. Left out, give --architecture.")] = None,  # noqa: UP045
    overrides: Overrides = None,
    architecture: Annotated[Optional[str], typer.Option(help="Plan without a job, for example sdxl.")] = None,  # noqa: UP045
    pictures: Annotated[Optional[int], typer.Option(min=1, help="Plan with so many pictures, without looking.")] = None,  # noqa: UP045
    size: Annotated[Optional[str], typer.Option(metavar="1024x1024", help="Their size.")] = None,  # noqa: UP045
    gpu_memory: Annotated[Optional[float], typer.Option(help="Of the card, in GB; left out, the one here.")] = None,  # noqa: UP045
    as_json: Annotated[bool, typer.Option("--json", help="Print all that is known, for programs.")] = False,
) -> None:
    """Say how many steps a job is, how much disk and memory it takes, how long, and what would make it fit."""

    def work() -> int:
        from loratory.planner.command import Typed, plan_job

        wanted = None if pictures is None else Typed(pictures, size)
        return plan_job(file, list(overrides or []), typer.echo, architecture=architecture, wanted=wanted,
                        gpu_memory=gpu_memory, as_json=as_json)  # fmt: skip

    raise typer.Exit(_told(work))


@app.command()
def doctor() -> None:
    """Look at this machine: Python, torch, GPU, libraries, disk; and say what to do about problems."""
    from rich.console import Console

    from loratory.doctor import checks, exit_code, render

    found = checks()
    Console().print(render(found))
    raise typer.Exit(exit_code(found))


@app.command()
def models(
    name: Annotated[Optional[str], typer.Argument(help="Show this architecture in full, for example sdxl.")] = None,  # noqa: UP045
    as_json: Annotated[bool, typer.Option("--json", help="Print all that is known, for programs.")] = False,
) -> None:
    """List the architectures that can be trained: where they are, how large, what they can."""

    def work() -> int:
        import json

        from rich.console import Console

        from loratory.config import catalogue
        from loratory.config.architectures import get_spec

        found = catalogue.entries() if name is None else [catalogue.entry(get_spec(name))]
        if as_json:
            plain = [catalogue.as_json(each) for each in found]
            typer.echo(json.dumps(plain if name is None else plain[0], indent=1, ensure_ascii=False))
            return 0
        console = Console(markup=False, highlight=False)
        console.print(catalogue.overview(found) if name is None else catalogue.page(found[0]))
        if name is None:
            console.print("One of them in full: loratory models NAME")
        return 0

    raise typer.Exit(_told(work))


@config_app.command("check")
def config_check(files: Annotated[list[Path], typer.Argument(help="Job files.")], overrides: Overrides = None) -> None:
    """Check job files without training: spelling, values, rules, the model's files, the pictures."""
    from functools import partial

    from loratory.session import check_job

    raise typer.Exit(max(_told(partial(check_job, file, list(overrides or []), typer.echo)) for file in files))


@config_app.command("show")
def config_show(
    file: Annotated[Path, typer.Argument(help="A job file, or the folder of a run.")],
    overrides: Overrides = None,
    changed: Annotated[bool, typer.Option("--changed", help="Only what differs from the defaults.")] = False,
) -> None:
    """Show a job with every default and its preset's settings filled in."""

    def work() -> int:
        from loratory.commands import show_config

        return show_config(file, list(overrides or []), only_changed=changed, say=typer.echo)

    raise typer.Exit(_told(work))


@config_app.command("diff")
def config_diff(
    a: Annotated[str, typer.Argument(help="A job file, a run's folder, a preset, or the word defaults.")],
    b: Annotated[Text, typer.Argument(help="Another one. Left out, the job's preset, or else the defaults.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show in which parameters two of them differ."""

    def work() -> int:
        from loratory.commands import show_differences

        return show_differences(a, b, as_json=as_json, say=typer.echo)

    raise typer.Exit(_told(work))


@config_app.command("export")
def config_export(
    file: Annotated[Path, typer.Argument(help="A job file, or the folder of a run.")],
    to: Annotated[str, typer.Option(help="Whose files to write: kohya.")],
    out: Annotated[Path, typer.Option(help="The folder that they are written into.")],
    overrides: Overrides = None,
) -> None:
    """Write a job as another program's files, and list what these cannot say."""

    def work() -> int:
        from loratory.session import export_job

        return export_job(file, list(overrides or []), to, out, typer.echo)

    raise typer.Exit(_told(work))


@config_app.command("import")
def config_import(
    file: Annotated[Path, typer.Argument(help="A file of another trainer: TOML, JSON, YAML or a command line.")],
    dataset: DatasetFile = None,
    out: Annotated[Optional[Path], typer.Option(help="The job file to write; left out, it is printed.")] = None,  # noqa: UP045
    everything: Annotated[bool, typer.Option("--all", help="Also list what was simply taken over.")] = False,
) -> None:
    """Make job files of another trainer's file, and say what became of each setting."""

    def work() -> int:
        from loratory.interop.foreign import convert

        return convert(file, dataset, out, typer.echo, everything=everything)

    raise typer.Exit(_told(work))


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON schema of a job file, with every parameter's help and limits."""
    import json

    from loratory.config.docs import schema

    typer.echo(json.dumps(schema(), indent=1, ensure_ascii=False, default=str))


@presets_app.callback()
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
        raise typer.Exit(_told(work))


@presets_app.command("show")
def presets_show(name: Annotated[str, typer.Argument(help="Its name, or its file.")], as_json: AsJson = False) -> None:
    """Show the settings of a preset, and why they are as they are."""

    def work() -> int:
        from loratory.commands import show_preset

        return show_preset(name, as_json=as_json, say=typer.echo)

    raise typer.Exit(_told(work))


@presets_app.command("save")
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

    raise typer.Exit(_told(work))


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

    raise typer.Exit(_told(work))


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

    raise typer.Exit(_told(work))


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

    raise typer.Exit(_told(work))


def _ask(run: Path, kind: str, what: str) -> None:
    def work() -> int:
        from loratory.runs import request

        request(run, kind)  # type: ignore[arg-type]
        typer.echo(f"Asked {run.name}. {what}")
        return 0

    raise typer.Exit(_told(work))


def _told(work: Callable[[], int]) -> int:
    """Run something; a user's error is one sentence on stderr and exit code 1."""
    from loratory.errors import UserError
    from loratory.secrets import load_dotenv, redact

    try:
        load_dotenv(Path.cwd())  # a model of the Hub may need its token
        return work()
    except UserError as error:
        typer.echo(f"Error: {redact(str(error))}", err=True)
        return 1


def main() -> None:
    """Entry point of the `loratory` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A Windows console with an old code page must not fail on a caption or a path.
            stream.reconfigure(errors="replace")
    app()


if __name__ == "__main__":
    main()
