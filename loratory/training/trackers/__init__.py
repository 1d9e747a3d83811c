"""Other programs that show a run: one file each, alike. They are fed from the lines of the metrics file."""

from __future__ import annotations

from importlib.util import find_spec
from types import ModuleType

from loratory.config.runtime import LoggingConfig
from loratory.errors import UserError
from loratory.training.trackers import csv, tensorboard, wandb
from loratory.training.trackers.base import Beginning, Tracker

__all__ = ["TRACKERS", "Beginning", "Tracker", "check_available", "wanted"]

TRACKERS: tuple[ModuleType, ...] = (csv, tensorboard, wandb)


def check_available(config: LoggingConfig) -> None:
    """Raises UserError, which says what to do, when something that is asked for cannot be used."""
    for each in wanted(config):
        if each.PACKAGE and find_spec(each.PACKAGE) is None:
            raise UserError(
                f"logging.{each.NAME} needs the package {each.PACKAGE}, which is not installed; run pip install "
                "'loratory[trackers]', or switch it off."
            )
        each.check(config)


def wanted(config: LoggingConfig) -> list[ModuleType]:
    """Those that the job asks for."""
    return [each for each in TRACKERS if each.is_wanted(config)]
