"""A running mean of the trained weights."""

from __future__ import annotations

from typing import Any

from loratory.config.base import StrictModel, param


def _field(default: Any, **facts: Any) -> Any:
    return param(default, tab="Advanced", group="Weights", **{"level": "advanced", "on_resume": "forbid", **facts})


class EmaConfig(StrictModel):
    decay: float | None = _field(
        None, gt=0, lt=1,
        help="Share of the mean that stays in each step; samples and files then have the mean of the last "
        "1 / (1 - decay) steps or so. 0.99 to 0.9999 is usual. Left out, there is no mean.",
        aitoolkit=("train.ema_config.ema_decay", "train.ema_config.use_ema"),
    )  # fmt: skip
    warm_up: bool = _field(
        True, level="expert", help="Begin with a shorter mean, so that the first steps are forgotten soon.",
    )  # fmt: skip
    every_n_steps: int = _field(
        1, ge=1, le=10_000, level="expert", help="Take the weights in only every so many optimizer steps.",
    )  # fmt: skip
