"""`loratory config`: job files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from loratory.cli.common import AsJson, DatasetFile, Overrides, Text, told

app = typer.Typer(help="Look at job files.", no_args_is_help=True, rich_markup_mode=None)


@app.command("check")
def config_check(files: Annotated[list[Path], typer.Argument(help="Job files.")], overrides: Overrides = None) -> None:
    """Check job files without training: spelling, values, rules, the model's files, the pictures."""
    from functools import partial

    from loratory.session import check_job

    raise typer.Exit(max(told(partial(check_job, file, list(overrides or []), typer.echo)) for file in files))


@app.command("show")
def config_show(
    file: Annotated[Path, typer.Argument(help="A job file, or the folder of a run.")],
    overrides: Overrides = None,
    changed: Annotated[bool, typer.Option("--changed", help="Only what differs from the defaults.")] = False,
) -> None:
    """Show a job with every default and its preset's settings filled in."""

    def work() -> int:
        from loratory.commands import show_config

        return show_config(file, list(overrides or []), only_changed=changed, say=typer.echo)

    raise typer.Exit(told(work))


@app.command("diff")
def config_diff(
    a: Annotated[str, typer.Argument(help="A job file, a run's folder, a preset, or the word defaults.")],
    b: Annotated[Text, typer.Argument(help="Another one. Left out, the job's preset, or else the defaults.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show in which parameters two of them differ."""

    def work() -> int:
        from loratory.commands import show_differences

        return show_differences(a, b, as_json=as_json, say=typer.echo)

    raise typer.Exit(told(work))


@app.command("export")
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

    raise typer.Exit(told(work))


@app.command("import")
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

    raise typer.Exit(told(work))


@app.command("schema")
def config_schema() -> None:
    """Print the JSON schema of a job file, with every parameter's help and limits."""
    import json

    from loratory.config.docs import schema

    typer.echo(json.dumps(schema(), indent=1, ensure_ascii=False, default=str))
