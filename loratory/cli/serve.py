"""`loratory serve`."""

from __future__ import annotations

import gc
from typing import Annotated

import typer

from loratory.cli.common import told

app = typer.Typer(rich_markup_mode=None)


@app.command()
def serve(
    host: Annotated[
        str, typer.Option(help="The address to listen at. Others than 127.0.0.1 need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8675,
    root_path: Annotated[str, typer.Option(help="The path below which a proxy serves it, such as /loratory.")] = "",
    open_browser: Annotated[bool, typer.Option("--open", help="Open it in a browser.")] = False,
) -> None:
    """Serve the browser app and the queue."""

    def work() -> int:
        gc.disable()  # nothing of what is loaded now is garbage, and to look for some is a good part of the start
        from loratory.server.context import Options
        from loratory.server.serve import run

        gc.freeze()
        gc.enable()
        return run(Options(host=host, port=port, root_path=root_path), typer.echo, open_browser=open_browser)

    raise typer.Exit(told(work))
