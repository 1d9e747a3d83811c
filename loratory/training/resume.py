"""A new run or one that exists: what may differ, and where training goes on."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loratory.config.load import load
from loratory.config.resume import differences
from loratory.config.train import TrainConfig
from loratory.errors import UserError
from loratory.rewind import rewind
from loratory.runs import Checkpoint, RunFolder, home_folder
from loratory.runs.folder import frozen
from loratory.runs.status import read_status_file
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
    from_step: int | None = None
    """Go on from this checkpoint (0: from the beginning); later ones go to the trash. None: from the newest."""
    opened: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return 0 if self.checkpoint is None else self.checkpoint.step

    def begin(self, config_text: str) -> None:
        """Freeze the config and write down how the run starts. Needs the run's lock. Raises UserError for a checkpoint
        that is not there."""
        if self.from_step is not None:
            rewind(self.run, self.from_step)
        self.checkpoint = self.run.newest_checkpoint()
        if self.checkpoint is not None:
            self.facts = read_facts(self.checkpoint.path)
            if not self.weights_only:
                check_format(self.checkpoint.path, self.facts)
        self.run.write_config(frozen(self.run.id, config_text))
        for request in self.run.pending_requests():
            # Asked while nobody worked on the run: a stop from yesterday must not end today's training.
            if request.time < self.opened:
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


def open_run(config: TrainConfig, path: Path | None, *, weights_only: bool, from_step: int | None = None) -> Start:
    """Make the run's folder, or open it if it is there. `path` is given when a run was named by its folder.

    A run that was put into the queue and has never begun is new. Raises UserError when the folder belongs to a config
    that differs where it must not, or to something else.
    """
    path = path or run_path(config)
    if not path.exists():
        return Start(RunFolder.create(path.parent, path.name), is_new=True, weights_only=weights_only)
    run = RunFolder.open(path)
    if not run.config_path.exists():
        return Start(run, is_new=True, weights_only=weights_only)
    is_new = read_status_file(path).started is None
    before = load(run.config_path, frozen=True)
    forbidden, allowed = differences(before, config)
    if forbidden:
        raise UserError(
            f"The run {path} was started with another config: {'; '.join(forbidden)}. Give this run another name, or "
            "set these back to go on with the old one."
        )
    return Start(run, is_new=is_new, weights_only=weights_only, changed=allowed, from_step=from_step)
