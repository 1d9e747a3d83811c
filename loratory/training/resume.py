"""A new run or one that exists: what may differ, and where training goes on."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loratory.config.fields import values
from loratory.config.load import load
from loratory.config.train import TrainConfig
from loratory.errors import UserError
from loratory.runs import Checkpoint, RunFolder, home_folder
from loratory.training.checkpoint import check_format, read_facts

log = logging.getLogger(__name__)


@dataclass
class Start:
    """Where a run begins or goes on."""

    run: RunFolder
    is_new: bool
    weights_only: bool
    changed: list[str] = field(default_factory=list)
    """One line for each parameter that is not what it was."""
    checkpoint: Checkpoint | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return 0 if self.checkpoint is None else self.checkpoint.step

    def begin(self, config_text: str) -> None:
        """Freeze the config and write down how the run starts. Needs the run's lock."""
        self.checkpoint = self.run.newest_checkpoint()
        if self.checkpoint is not None:
            self.facts = read_facts(self.checkpoint.path)
            if not self.weights_only:
                check_format(self.checkpoint.path, self.facts)
        self.run.write_config(f"# The config of run {self.run.id}, as it was when it was last started.\n{config_text}")
        for request in self.run.pending_requests():
            # Asked while nobody worked on the run: a stop from yesterday must not end today's training.
            self.run.answer(request, ok=False, message="the run was not running when this was asked")
        if self.is_new:
            self.run.emit("started")
            return
        log.info("The run %s exists; it goes on after step %d.", self.run.path, self.step)
        for line in self.changed:
            log.warning("Changed since the run began: %s", line)
        self.run.emit("resumed", step=self.step, weights_only=self.weights_only, changed=self.changed)

    def check_dataset(self, fingerprint: str) -> None:
        """Say it when the pictures are not those of the checkpoint."""
        before = self.facts.get("dataset")
        if before is not None and before != fingerprint:
            log.warning(
                "The pictures are not the same as before the pause (added, removed or resized). Training goes on with "
                "the present ones; the result is not the one an uninterrupted run would have had."
            )
            self.run.emit("dataset_changed", before=before, now=fingerprint)


def run_path(config: TrainConfig) -> Path:
    output = Path(config.saving.output_dir) if config.saving.output_dir else home_folder("output")
    return output / config.name


def open_run(config: TrainConfig, path: Path | None, *, weights_only: bool) -> Start:
    """Make the run's folder, or open it if it is there. `path` is given when a run was named by its folder.

    Raises UserError when the folder belongs to a config that differs where it must not, or to something else.
    """
    path = path or run_path(config)
    if not path.exists():
        return Start(RunFolder.create(path.parent, path.name), is_new=True, weights_only=weights_only)
    run = RunFolder.open(path)
    if not run.config_path.exists():
        return Start(run, is_new=True, weights_only=weights_only)
    before = load(run.config_path, frozen=True)
    forbidden, allowed = differences(before, config)
    if forbidden:
        raise UserError(
            f"The run {path} was started with another config: {'; '.join(forbidden)}. Give this run another name, or "
            "set these back to go on with the old one."
        )
    return Start(run, is_new=False, weights_only=weights_only, changed=allowed)


def differences(before: TrainConfig, now: TrainConfig) -> tuple[list[str], list[str]]:
    """What differs between two configs of one run, in words: what must not differ, and what is worth saying."""
    old = {path: (value, facts) for path, value, facts, _ in values(before)}
    new = {path: (value, facts) for path, value, facts, _ in values(now)}
    forbidden: list[str] = []
    allowed: list[str] = []
    for path in dict.fromkeys([*old, *new]):
        value_before, facts = old.get(path, (None, None))
        value_now, facts_now = new.get(path, (None, None))
        facts = facts or facts_now
        assert facts is not None
        if value_before == value_now or facts.on_resume == "free" or path == "name":
            continue
        line = f"{path} was {value_before!r} and is now {value_now!r}"
        (forbidden if facts.on_resume == "forbid" else allowed).append(line)
    return forbidden, allowed
