"""Train, and look after runs: the commands at the top."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from loratory.cli.common import AsJson, DatasetFile, Overrides, told

app = typer.Typer(rich_markup_mode=None)


@app.command()
def train(
    configs: Annotated[list[Path], typer.Argument(help="Job files, or folders of runs to go on with. Done in turn.")],
    overrides: Overrides = None,
    name: Annotated[Optional[str], typer.Option(help="Another name for the run.")] = None,  # noqa: UP045
    recover: Annotated[bool, typer.Option("--recover", help="Go on with the next job when one fails.")] = False,
    weights_only: Annotated[
        bool, typer.Option("--weights-only", help="Go on with a run's weights, but start the optimizer fresh.")
    ] = False,
    from_step: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            min=0, help="Go on from this checkpoint; later ones and their files go to the trash. 0: from the beginning."
        ),
    ] = None,
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
        code = session.train_all(configs, changes, recover=recover, weights_only=weights_only,
                                 from_step=from_step, dataset=dataset)  # fmt: skip
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
    for_steps: Annotated[int | None, typer.Option(min=1, help="Also say how many epochs these are.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all that is known, for programs.")] = False,
) -> None:
    """Say how many steps a job is, how much disk and memory it takes, how long, and what would make it fit."""

    def work() -> int:
        from loratory.planner.command import Typed, plan_job

        wanted = None if pictures is None else Typed(pictures, size)
        return plan_job(file, list(overrides or []), typer.echo, architecture=architecture, wanted=wanted,
                        gpu_memory=gpu_memory, for_steps=for_steps, as_json=as_json)  # fmt: skip

    raise typer.Exit(told(work))


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Look at this machine: Python, torch, GPU, libraries, disk; and say what to do about problems."""
    import json
    from dataclasses import asdict

    from rich.console import Console

    from loratory.doctor import checks, exit_code, render

    found = checks()
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found]))
    else:
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

    raise typer.Exit(told(work))


def _ask(run: Path, kind: str, what: str) -> None:
    def work() -> int:
        from loratory.runs import request

        request(run, kind)  # type: ignore[arg-type]
        typer.echo(f"Asked {run.name}. {what}")
        return 0

    raise typer.Exit(told(work))
