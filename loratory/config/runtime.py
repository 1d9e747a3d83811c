"""What is recorded, and on which device."""

from __future__ import annotations

from typing import Any, Literal

from loratory.config.base import StrictModel, param


def _tracking(default: Any, **facts: Any) -> Any:
    usual = {"tab": "Logging", "group": "Trackers", "level": "advanced", "owner": "job", "on_resume": "free"}
    return param(default, **usual | facts)


class WandbConfig(StrictModel):
    """Weights & Biases. The key comes from WANDB_API_KEY (environment or `.env`) or from `wandb login`."""

    mode: Literal["off", "online", "offline"] = _tracking(
        "off",
        help="Send metrics and samples to Weights & Biases (online), or keep them in the run's folder for `wandb sync` "
        "(offline).",
        kohya=("log_with",), aitoolkit=("logging.use_wandb",),
    )  # fmt: skip
    project: str = _tracking(
        "loratory", min_length=1, help="The project that the run stands in.",
        kohya=("log_tracker_name",), aitoolkit=("logging.project_name",),
    )  # fmt: skip
    entity: str | None = _tracking(None, help="The team or user; left out, the one of the key.")
    run_name: str | None = _tracking(
        None, help="What the run is called there; left out, its own name.",
        kohya=("wandb_run_name",), aitoolkit=("logging.run_name",),
    )  # fmt: skip
    tags: tuple[str, ...] = _tracking((), help="Tags of the run.")


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
    tensorboard: bool = _tracking(
        False,
        help="Also write metrics and samples for TensorBoard, into `tensorboard` in the run's folder. `tensorboard "
        "--logdir` with the output folder shows all runs.",
        kohya=("log_with",),
    )  # fmt: skip
    csv: bool = _tracking(False, help="Also write the metrics as a table, `metrics_<name>.csv` in the run's folder.")
    wandb: WandbConfig = param(WandbConfig(), help="Weights & Biases.", tab="Logging", group="Trackers")


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
