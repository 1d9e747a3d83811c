"""TensorBoard: event files in `tensorboard` in the run's folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from loratory.config.runtime import LoggingConfig
from loratory.training.trackers.base import Beginning, Line, numbers

NAME = "tensorboard"
PACKAGE = "tensorboard"


def is_wanted(config: LoggingConfig) -> bool:
    return config.tensorboard


def check(config: LoggingConfig) -> None:
    """Nothing but the package can be missing."""


def start(config: LoggingConfig, beginning: Beginning) -> EventFiles:
    """Go on behind the step: what an earlier process wrote of later ones is not shown any more."""
    return EventFiles(beginning)


class EventFiles:
    name = NAME

    def __init__(self, beginning: Beginning) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder = beginning.run.path / "tensorboard"
        purged = beginning.step + 1 if folder.exists() else None
        self._writer = SummaryWriter(str(folder), purge_step=purged)
        rows = "\n".join(f"| {name} | {value} |" for name, value in beginning.config.items())
        self._writer.add_text("config", f"| | |\n|---|---|\n{rows}", beginning.step)

    def write(self, line: Line) -> None:
        for name, value in numbers(line).items():
            self._writer.add_scalar(name, value, line["step"], line["time"])

    def pictures(self, step: int, files: Sequence[Path]) -> None:
        for number, file in enumerate(files):
            with Image.open(file) as image:
                pixels = np.asarray(image.convert("RGB"))
            self._writer.add_image(f"samples/{number:02d}", pixels, step, dataformats="HWC")

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
