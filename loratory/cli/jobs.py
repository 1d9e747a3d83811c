"""`loratory jobs`: the queue, with or without a server that runs."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from loratory.cli.common import AsJson, Overrides, told

if TYPE_CHECKING:
    from loratory.jobs.queue import Queue
    from loratory.jobs.tables import Job

app = typer.Typer(help="The queue: what waits, what runs, what became of it.", no_args_is_help=True,
                  rich_markup_mode=None)  # fmt: skip

Which = Annotated[str, typer.Argument(help="A job's id, its first or last letters, or its name.")]
_LAST_LINES = 40


def _queue() -> Queue:
    from loratory.jobs.database import database_path, open_database
    from loratory.jobs.queue import Queue

    return Queue(open_database(database_path()))


def _find(queue: Queue, which: str) -> Job:
    """The one job that is meant. Raises UserError for none and for several."""
    from loratory.errors import UserError

    found = queue.jobs()
    for fits in (
        lambda job: job.id == which,
        lambda job: job.name == which,
        lambda job: len(which) > 3 and (job.id.startswith(which.upper()) or job.id.endswith(which.upper())),
    ):
        meant = [job for job in found if fits(job)]
        if len(meant) == 1:
            return meant[0]
        if meant:
            raise UserError(f"{which!r} may be {', '.join(job.id for job in meant)}; give the id.")
    raise UserError(f"There is no job {which!r}; `loratory jobs list --all` shows those that are known.")


def _starts() -> str:
    from loratory.jobs.worker import is_served

    return "It starts when its device is free." if is_served() else "It starts when `loratory serve` runs."


@app.command("list")
def jobs_list(
    every: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False, as_json: AsJson = False
) -> None:
    """Show what runs and what waits, in its order."""

    def work() -> int:
        import json
        from dataclasses import asdict

        from loratory.jobs.shown import progress
        from loratory.jobs.tables import RESTING

        found = [job for job in _queue().jobs() if every or job.state not in RESTING]
        if as_json:
            typer.echo(json.dumps([asdict(job) for job in found], indent=1, ensure_ascii=False))
            return 0
        for job in found:
            status = progress(job) if job.is_active or every else None
            step = f"{status.step or 0}/{status.total_steps or '?'}" if status is not None and status.step else ""
            later = f"not before {job.not_before}" if job.not_before else ""
            why = job.cause["message"] if job.cause else later
            typer.echo(f"{job.id[-8:]}  {job.queue:6} {job.state:12} {step:>13}  {job.name}  {why}".rstrip())
        if not found:
            typer.echo("Nothing runs and nothing waits.")
        return 0

    raise typer.Exit(told(work))


@app.command("add")
def jobs_add(
    files: Annotated[list[Path], typer.Argument(help="Job files. Those of other programs are read, too.")],
    overrides: Overrides = None,
    queue: Annotated[
        Optional[str], typer.Option(help="A GPU such as 0, several such as 0,1, or cpu. Left out, the job decides.")  # noqa: UP045
    ] = None,
    priority: Annotated[int, typer.Option(help="Higher ones come first.")] = 0,
    at: Annotated[Optional[datetime], typer.Option(help="Do not start before this time (this machine's).")] = None,  # noqa: UP045
    hold: Annotated[bool, typer.Option("--hold", help="Let it wait until it is released.")] = False,
    numbered: Annotated[bool, typer.Option("--numbered", help="Where the name is taken, add a number.")] = False,
) -> None:
    """Put jobs into the queue. Each one's settings are frozen now; later changes of its file change nothing."""

    def work() -> int:
        from loratory.drafts.reading import read_jobs
        from loratory.errors import UserError
        from loratory.jobs.queue import Place
        from loratory.tokens import keep_new_tokens

        jobs = _queue()
        place = Place(queue, priority, None if at is None else at.astimezone(), hold)
        for file in files:
            for each in read_jobs(file, list(overrides or [])):
                if each.folder is not None:
                    raise UserError(f"{file} is a run's folder; put it back with: loratory jobs retry {file.name}")
                for line in (*each.remarks, *keep_new_tokens(each.tokens)):
                    typer.echo(line)
                job = jobs.enqueue(each.config, place, numbered=numbered)
                typer.echo(f"{job.id[-8:]}  {job.name} waits in the queue {job.queue}. {_starts()}")
        return 0

    raise typer.Exit(told(work))


@app.command("stop")
def jobs_stop(
    which: Which, pause: Annotated[bool, typer.Option("--pause", help="Save and free the device; go on later.")] = False
) -> None:
    """Stop a job: it saves and ends. One that does not is ended; it takes 30 seconds at most."""

    def work() -> int:
        import time

        from loratory.jobs.endings import Evidence, settle
        from loratory.jobs.stopping import Patience, stop_now
        from loratory.jobs.tables import LEAVING
        from loratory.jobs.worker import is_served

        jobs = _queue()
        job = jobs.stop(_find(jobs, which).id, pause=pause)
        while job.state in LEAVING:
            if is_served():
                time.sleep(0.5)
            else:
                if not stop_now(job, Patience()):
                    typer.echo("Its process cannot be ended; restart the machine.", err=True)
                    return 1
                ending = settle(Path(job.folder), job.state, Evidence())
                jobs.set(job.id, LEAVING, state=ending.state, cause=ending.cause, process=None, stop_asked=None)
            job = jobs.job(job.id)
        typer.echo(f"{job.name} is {job.state}.")
        return 0

    raise typer.Exit(told(work))


@app.command("retry")
def jobs_retry(
    which: Which,
    overrides: Overrides = None,
    from_step: Annotated[
        Optional[int], typer.Option(min=0, help="From this checkpoint; later ones go to the trash. 0: the beginning.")  # noqa: UP045
    ] = None,
    weights_only: Annotated[bool, typer.Option("--weights-only", help="Start the optimizer fresh.")] = False,
) -> None:
    """Put a job that is paused, stopped, failed or finished back into the queue; it goes on where it stood."""

    def work() -> int:
        from loratory.jobs.queue import Again

        jobs = _queue()
        job = jobs.resume(_find(jobs, which).id, Again(tuple(overrides or ()), from_step, weights_only))
        typer.echo(f"{job.name} waits in the queue {job.queue}. {_starts()}")
        return 0

    raise typer.Exit(told(work))


@app.command("logs")
def jobs_logs(
    which: Which, lines: Annotated[int, typer.Option(min=1, help="How many, from the end.")] = _LAST_LINES
) -> None:
    """Show the end of a job's log; without one, what its engine printed."""

    def work() -> int:
        from loratory.jobs.endings import tail
        from loratory.jobs.engines import OUTPUT_FILE

        job = _find(_queue(), which)
        text = tail(Path(job.folder) / "log.txt") or tail(Path(job.folder) / OUTPUT_FILE)
        typer.echo("\n".join(text.splitlines()[-lines:]) or f"{job.name} has no log yet.")
        return 0

    raise typer.Exit(told(work))


@app.command("reindex")
def jobs_reindex() -> None:
    """Rebuild the queue from the runs' folders. What waited is held then: release what shall run."""

    def work() -> int:
        from loratory.jobs.reindex import rebuild

        done = rebuild(_queue())
        typer.echo(
            f"{done.entered} runs entered, {done.removed} without a folder taken out, {done.unreadable} unreadable."
        )
        return 0

    raise typer.Exit(told(work))
