"""Go back in a run: later checkpoints, exports and samples go to the trash, and the run goes on from an older one."""

from __future__ import annotations

from pathlib import Path

from loratory.errors import UserError
from loratory.runs import RunFolder
from loratory.trash import Trashed, to_trash


def check_step(run: RunFolder, step: int) -> None:
    """Raises UserError unless the run has a whole checkpoint of so many steps; 0 is its beginning."""
    steps = [each.step for each in run.checkpoints()]
    if step == 0 or step in steps:
        return
    there = f"it has {', '.join(map(str, steps))} (0 is the beginning)" if steps else "it has none; 0 is the beginning"
    raise UserError(f"The run {run.path} has no checkpoint of step {step}: {there}.", code="no_checkpoint")


def rewind(run: RunFolder, step: int) -> list[Trashed]:
    """Make the checkpoint of `step` the newest one; 0 begins again. Needs the run's lock. Returns what was moved.

    Metrics are cut where the run goes on; events stay, and one says what was done. Raises UserError for a step that
    is not there, and then nothing was moved; DiskFull.
    """
    check_step(run, step)
    moved = [to_trash(group, "checkpoints and files of later steps") for group in _later(run, step) if group]
    if moved:
        run.emit("rewound", step=step, trash=[each.id for each in moved])
    return moved


def _later(run: RunFolder, step: int) -> list[list[Path]]:
    """What is of a later step, by the folder that it is in. The final and the best file are later than any."""
    checkpoints = [each.path for each in run.checkpoints() if each.step > step]
    exports = [each.path for each in run.exports() if each.step is None or each.step > step]
    samples = [path for number, paths in run.samples().items() if number > step for path in paths]
    return [checkpoints, exports, samples]
