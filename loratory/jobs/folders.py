"""What the queue does in run folders: make them, make them ready to go on, throw them away.

The config's classes are imported where they are used: the server begins without them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loratory.errors import UserError
from loratory.jobs.problems import NameIsTaken
from loratory.rewind import check_step, rewind
from loratory.runs import NameTaken, RunFolder, check_name, home_folder
from loratory.runs.folder import frozen
from loratory.runs.status import read_status_file
from loratory.trash import Trashed, to_trash

if TYPE_CHECKING:
    from loratory.config.train import TrainConfig

_NUMBER = re.compile(r"(?P<stem>.*?)_(?P<number>[0-9]{1,6})")
_MOST_NAMES = 100_000


def output_folder(config: TrainConfig) -> Path:
    """Where the job's run will lie."""
    return Path(config.saving.output_dir) if config.saving.output_dir else home_folder("output")


def free_name(folder: Path, name: str) -> str:
    """The name itself if nothing has it, else with the next free number: my_dog, my_dog_2, my_dog_3."""
    if not (folder / name).exists():
        return name
    match = _NUMBER.fullmatch(name)
    stem, first = (match["stem"], int(match["number"]) + 1) if match else (name, 2)
    for number in range(first, first + _MOST_NAMES):
        if not (folder / f"{stem}_{number}").exists():
            return f"{stem}_{number}"
    raise UserError(f"There is no free name after {name}; take another one.")


def make(config: TrainConfig, *, numbered: bool) -> RunFolder:
    """Make the run's folder with its config frozen in it, in the state "queued". `numbered`: where the name is taken,
    take the next free one. Raises NameIsTaken, UserError for a job that cannot run, DiskFull."""
    from loratory.config.load import dump

    check_name(config.name)
    _check_rules(config)
    folder = output_folder(config)
    while True:
        name = free_name(folder, config.name) if numbered else config.name
        named = config.model_copy(update={"name": name})
        try:
            return RunFolder.create(folder, name, dump(named))
        except NameTaken as error:
            if not numbered:
                raise NameIsTaken(name, free_name(folder, name)) from error


def _check_rules(config: TrainConfig) -> None:
    """What is known without looking at the model's files; its engine looks at all of it."""
    from loratory.config.architectures import get_spec
    from loratory.config.rules import check

    if config.model.architecture is None:
        return
    errors = [str(each) for each in check(config, get_spec(config.model.architecture)) if each.level == "error"]
    if errors:
        raise UserError("The job cannot run: " + "; ".join(errors) + ".")


def config_of(folder: Path, changes: Sequence[str] = ()) -> TrainConfig:
    """The config that is frozen in a run, with changes as in `--set`. Raises UserError."""
    from loratory.config.load import load

    path = folder / "config.yaml"
    if not path.is_file():
        raise UserError(f"{folder} has no config.yaml: that run never began; delete it.", code="no_config")
    return load(path, changes, frozen=True)


def make_ready(folder: Path, changes: Sequence[str], from_step: int | None) -> RunFolder:
    """Let a run that rests wait again: with these changes, from an older checkpoint if one is named.

    Raises UserError, also for what must not change in a run that has a checkpoint; RunBusy while an engine has it.
    """
    from loratory.config.load import dump
    from loratory.config.resume import differences

    run = RunFolder.open(folder)
    with run.lock():
        if from_step is not None:
            check_step(run, from_step)
        before, config = config_of(folder), config_of(folder, changes)
        if config.name != before.name:
            raise UserError("A run keeps its name; run it again with changes to give the new run another one.")
        has_weights = bool(run.checkpoints()) and from_step != 0
        forbidden, warned = differences(before, config)
        if forbidden and has_weights:
            raise UserError(
                f"The run {run.name!r} cannot go on so: {'; '.join(forbidden)}. Run it again with changes as a new "
                "run, or go on from step 0.", code="other_run",
            )  # fmt: skip
        _check_rules(config)
        if from_step is not None:
            rewind(run, from_step)
        if changes:
            run.write_config(frozen(run.id, dump(config)))
            run.emit("changed", changed=[*forbidden, *warned], overrides=list(changes))
        step = {} if from_step is None else {"step": from_step}
        run.write_status("queued", **step)  # type: ignore[arg-type]
    return run


def names_a_device(changes: Sequence[str]) -> bool:
    """Is `runtime.device` among what they set, be it to what it was?"""
    from loratory.config.load import apply_override

    data: dict[str, Any] = {}
    for change in changes:
        apply_override(data, change)
    runtime = data.get("runtime")
    return isinstance(runtime, dict) and "device" in runtime


def throw_away(folder: Path) -> Trashed | None:
    """Move a run's folder into the trash; None where it is gone already. Raises RunBusy while an engine has it."""
    if not folder.is_dir():
        return None
    with RunFolder.open(folder).lock():
        pass  # somebody on the command line may have it
    return to_trash(folder, "run")


def say_state(folder: Path, state: str, message: str) -> None:
    """Write a resting state into a run's folder and log. Raises RunBusy, UserError, DiskFull."""
    run = RunFolder.open(folder)
    with run.lock():
        run.write_status(state, message=message)  # type: ignore[arg-type]
        run.emit(state, message=message)


def is_run(folder: Path, run_id: str) -> bool:
    """Is this still the folder of that run?"""
    try:
        return read_status_file(folder).id == run_id
    except UserError:
        return False
