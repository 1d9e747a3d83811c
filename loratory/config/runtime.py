"""What is recorded, and on which device."""

from __future__ import annotations

from typing import Literal

from loratory.config.base import StrictModel, param


class LoggingConfig(StrictModel):
    every_n_steps: int = param(
        1,
        ge=1,
        help="Write loss and learning rate to the metrics file every so many steps.",
        tab="Logging",
        group="Metrics",
        level="advanced",
        owner="job",
        on_resume="free",
        aitoolkit=("logging.log_every",),
    )
    level: Literal["debug", "info", "warning"] = param(
        "info",
        help="How much is printed. The log file always holds everything.",
        tab="Logging",
        group="Console",
        owner="job",
        on_resume="free",
        kohya=("console_log_level",),
    )


class RuntimeConfig(StrictModel):
    device: str = param(
        "auto",
        help="auto takes the first of CUDA (also ROCm), XPU, MPS, CPU. Or say it: cpu, cuda, cuda:1, mps, xpu.",
        tab="Advanced",
        group="Device",
        level="advanced",
        owner="job",
        aitoolkit=("device",),
    )
    deterministic: bool = param(
        False,
        help="Use only repeatable kernels on a GPU: a resumed run then equals an unbroken one bit for bit. Slower. "
        "On the CPU this is always so.",
        tab="Advanced",
        group="Device",
        level="expert",
        owner="job",
    )
    prefetch: int = param(
        2,
        ge=0,
        le=64,
        help="Batches prepared ahead by a background thread; 0 prepares each when it is needed.",
        tab="Advanced",
        group="Device",
        level="expert",
        owner="job",
        on_resume="free",
        kohya=("max_data_loader_n_workers",),
    )
    max_nonfinite_steps: int = param(
        10,
        ge=1,
        help="Steps with a loss that is not a number are skipped; so many in a row stop the run.",
        tab="Advanced",
        group="Safety",
        level="expert",
    )
