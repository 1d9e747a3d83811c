"""`loratory tokens`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from loratory.cli.common import told

app = typer.Typer(help="Tokens and keys that Loratory keeps for you.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def tokens_list() -> None:
    """Say which tokens are known, and from where; never the tokens."""

    def work() -> int:
        from loratory.secrets import SECRET_VARIABLES
        from loratory.tokens import sources, tokens_path

        known = sources()
        told = {"kept": f"kept in {tokens_path()}", "environment": "from the environment or a .env file here"}
        for name in SECRET_VARIABLES:
            typer.echo(f"{name:16} {told[known[name]] if name in known else 'not set'}")
        return 0

    raise typer.Exit(told(work))


@app.command("set")
def tokens_set(name: Annotated[str, typer.Argument(help="HF_TOKEN, CIVITAI_API_KEY or WANDB_API_KEY.")]) -> None:
    """Keep a token. It is asked for without being shown, or read from a pipe, so that no shell remembers it."""

    def work() -> int:
        from loratory.tokens import keep_token, tokens_path

        keep_token(name, typer.prompt(name, hide_input=True) if sys.stdin.isatty() else sys.stdin.read())
        typer.echo(f"{name} is kept in {tokens_path()}, which only you can read.")
        return 0

    raise typer.Exit(told(work))


@app.command("remove")
def tokens_remove(name: Annotated[str, typer.Argument(help="Its name, such as HF_TOKEN.")]) -> None:
    """Keep a token no longer."""

    def work() -> int:
        from loratory.tokens import forget_token

        typer.echo(f"{name} is no longer kept." if forget_token(name) else f"No {name} is kept.")
        return 0

    raise typer.Exit(told(work))
