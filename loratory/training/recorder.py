"""The numbers and samples of a run on their way to the metrics file and to the trackers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import SupportsFloat

from loratory.config.recipe import recipe
from loratory.config.runtime import LoggingConfig
from loratory.config.train import TrainConfig
from loratory.files import DiskFull
from loratory.runs import MetricsLog, RunFolder
from loratory.secrets import redact_values
from loratory.training.trackers import Beginning, Tracker, wanted

log = logging.getLogger(__name__)

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp"})


class Recorder:
    """Writes every line once. A tracker that fails is reported and left behind; the training goes on.

    Only a full disk ends it (DiskFull), as everywhere: nothing else could be written either.
    """

    def __init__(self, run: RunFolder, metrics: MetricsLog) -> None:
        self._run, self._metrics = run, metrics
        self._trackers: list[Tracker] = []

    def start(self, config: LoggingConfig, beginning: Beginning) -> None:
        """Begin with the trackers that the job asks for."""
        for each in wanted(config):
            try:
                self._trackers.append(each.start(config, beginning))
            except DiskFull:
                raise
            except Exception as error:
                self._report(each.NAME, error)

    def append(self, step: int, **numbers: SupportsFloat | str) -> None:
        """As `MetricsLog.append`."""
        line = self._metrics.append(step, **numbers)
        self._each(lambda tracker: tracker.write(line))

    def samples(self, step: int, files: Sequence[Path]) -> None:
        """Show samples where there is a place for them."""
        pictures = [file for file in files if file.suffix.lower() in PICTURES]
        if pictures:
            self._each(lambda tracker: tracker.pictures(step, pictures))

    def flush(self) -> None:
        """Write what is buffered, the metrics file first. Raises DiskFull if that cannot be."""
        self._metrics.flush()
        self._each(lambda tracker: tracker.flush())

    def close(self) -> None:
        """Write what is buffered and let the trackers end."""
        self._metrics.close()
        self._each(lambda tracker: tracker.close())
        self._trackers = []

    def _each(self, do: Callable[[Tracker], None]) -> None:
        for tracker in list(self._trackers):
            try:
                do(tracker)
            except DiskFull:
                raise
            except Exception as error:
                self._trackers.remove(tracker)
                self._report(tracker.name, error)

    def _report(self, name: str, error: Exception) -> None:
        """A chart elsewhere is worth less than the training, whose own numbers are in the metrics file."""
        log.warning("%s failed and is left out from now on; training goes on: %s", name, error, exc_info=error)
        self._run.emit("tracker_failed", tracker=name, error=type(error).__name__, message=str(error))


def make_recorder(config: TrainConfig, run: RunFolder, step: int, without: str) -> Recorder:
    """The recorder of a run that goes on after `step` steps; later lines, and as `without` says, are dropped."""
    metrics = run.metrics()
    metrics.truncate_after(step, without)
    recorder = Recorder(run, metrics)
    recorder.start(config.logging, Beginning(run, step, redact_values(recipe(config))))
    return recorder
