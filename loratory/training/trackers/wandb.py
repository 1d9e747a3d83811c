"""Weights & Biases, online or into `wandb` in the run's folder for `wandb sync`."""

from __future__ import annotations

import netrc
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loratory.config.runtime import LoggingConfig
from loratory.errors import UserError
from loratory.secrets import redact
from loratory.training.trackers.base import Beginning, Line, numbers

NAME = "wandb"
PACKAGE = "wandb"
HOST = "api.wandb.ai"


def is_wanted(config: LoggingConfig) -> bool:
    return config.wandb.mode != "off"


def check(config: LoggingConfig) -> None:
    """Raises UserError when nobody is logged in: wandb itself would ask on the terminal, in the middle of a run."""
    if config.wandb.mode == "online" and not _has_key():
        raise UserError(
            "logging.wandb: no key is known; put WANDB_API_KEY into the environment or .env, run `wandb login`, or set "
            "logging.wandb.mode to offline."
        )


def _has_key() -> bool:
    """A key in the environment, or one that `wandb login` has kept in ~/.netrc."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators(os.environ.get("WANDB_BASE_URL", HOST).rpartition("//")[2]) is not None
    except (FileNotFoundError, netrc.NetrcParseError):
        return False


def start(config: LoggingConfig, beginning: Beginning) -> WandbRun:
    """Begin the run there, or go on with it: it has the run folder's own id."""
    return WandbRun(config, beginning)


class WandbRun:
    name = NAME

    def __init__(self, config: LoggingConfig, beginning: Beginning) -> None:
        import wandb

        settings, run = config.wandb, beginning.run
        assert settings.mode != "off"
        self._wandb = wandb
        # Neither what is printed nor how the program was called: both hold paths of this machine.
        quiet = wandb.Settings(console="off", silent=True, x_disable_meta=True, disable_code=True, disable_git=True)
        self._run: Any = wandb.init(
            mode=settings.mode, project=redact(settings.project), entity=settings.entity,
            name=redact(settings.run_name or run.name), tags=[redact(tag) for tag in settings.tags],
            id=run.id, resume="allow" if settings.mode == "online" else None, dir=str(run.path),
            config=dict(beginning.config), settings=quiet,
        )  # fmt: skip
        # wandb's own counter cannot go back to a checkpoint; charts are drawn over ours.
        self._run.define_metric("step", hidden=True)
        self._run.define_metric("*", step_metric="step")

    def write(self, line: Line) -> None:
        self._run.log({"step": line["step"], **numbers(line)})

    def pictures(self, step: int, files: Sequence[Path]) -> None:
        shown = {f"samples/{number:02d}": self._wandb.Image(str(file)) for number, file in enumerate(files)}
        self._run.log({"step": step, **shown})

    def flush(self) -> None:
        """wandb's own process writes all the time."""

    def close(self) -> None:
        self._run.finish()
