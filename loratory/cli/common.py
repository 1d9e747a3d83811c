"""What the commands share: forms of options, and how an error is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Optional

import typer

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


def told(work: Callable[[], int]) -> int:
    """Run something; a user's error is one sentence on stderr and exit code 1."""
    from loratory.errors import UserError
    from loratory.secrets import redact
    from loratory.tokens import load_tokens

    try:
        load_tokens()  # a model of the Hub may need one
        return work()
    except UserError as error:
        typer.echo(f"Error: {redact(str(error))}", err=True)
        return 1
