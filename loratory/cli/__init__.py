"""The command line. Nothing heavy is imported until a command runs, so that help appears at once."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from loratory.cli import configs, jobs, presets, runs, serve, tokens, tools

app = typer.Typer(
    name="loratory",
    help="Teach a diffusion model new subjects and styles.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(runs.app)
app.add_typer(serve.app)
app.add_typer(jobs.app, name="jobs")
app.add_typer(configs.app, name="config")
app.add_typer(presets.app, name="presets")
app.add_typer(tools.network_app, name="network")
app.add_typer(tools.convert_app, name="convert")
app.add_typer(tools.cache_app, name="cache")
app.add_typer(tokens.app, name="tokens")


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Show the version and stop.")] = False) -> None:
    if version:
        from loratory import __version__

        typer.echo(f"loratory {__version__}")
        raise typer.Exit


def main() -> None:
    """Entry point of the `loratory` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A Windows console with an old code page must not fail on a caption or a path.
            stream.reconfigure(errors="replace")
    app()
