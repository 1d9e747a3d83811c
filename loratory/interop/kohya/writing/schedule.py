"""The learning-rate schedule."""

from __future__ import annotations

from typing import Any

from loratory.config.schedule import (
    CosineWithMinRateSchedule,
    CosineWithRestartsSchedule,
    InverseSqrtSchedule,
    OneCycleSchedule,
    PiecewiseConstantSchedule,
    PolynomialSchedule,
    RampSchedule,
    WarmupSettings,
    WarmupStableDecaySchedule,
)
from loratory.interop.kohya.writing.sheet import Sheet

_OUR_OWN = {"rex": "cosine", "none": "constant", "one_cycle": "constant", "ramp": "constant"}


def write_schedule(sheet: Sheet) -> None:
    schedule = sheet.config.schedule
    sheet.say(
        [f"schedule.{name}" for name in type(schedule).model_fields],
        lr_scheduler=_OUR_OWN.get(schedule.type, schedule.type),
    )
    if schedule.type == "rex":
        sheet.cannot("schedule.type", "sd-scripts has no REX; cosine, which falls sooner, is written.")
    if isinstance(schedule, WarmupSettings):
        _write_warmup(sheet, schedule)
    given = sheet.arguments
    if isinstance(schedule, CosineWithRestartsSchedule):
        given["lr_scheduler_num_cycles"] = schedule.num_cycles
    elif isinstance(schedule, PolynomialSchedule):
        given["lr_scheduler_power"] = schedule.power
        # Its end is a rate, 1e-7 unless it is told.
        given["lr_scheduler_args"] = [f"lr_end={schedule.min_rate_ratio * sheet.config.optimizer.learning_rate!r}"]
    elif isinstance(schedule, InverseSqrtSchedule):
        if schedule.timescale is not None:
            given["lr_scheduler_timescale"] = schedule.timescale
    elif isinstance(schedule, CosineWithMinRateSchedule):
        given["lr_scheduler_min_lr_ratio"] = schedule.min_rate_ratio
    elif isinstance(schedule, WarmupStableDecaySchedule):
        given["lr_decay_steps"] = _length(schedule.decay_steps, schedule.decay_ratio, 0.1)
        given["lr_scheduler_min_lr_ratio"] = schedule.min_rate_ratio
        if schedule.min_rate_ratio and given["lr_warmup_steps"]:
            sheet.remark("schedule.min_rate_ratio", "sd-scripts begins its warm-up there, too, and not at zero.")
    elif isinstance(schedule, PiecewiseConstantSchedule):
        pairs = zip(schedule.factors, schedule.until_steps, strict=False)
        rules = [f"{factor!r}:{step}" for factor, step in pairs]
        given["lr_scheduler_args"] = [f"step_rules='{','.join([*rules, repr(schedule.factors[-1])])}'"]
    elif isinstance(schedule, OneCycleSchedule):
        _write_one_cycle(sheet, schedule)
    elif isinstance(schedule, RampSchedule):
        _write_ramp(sheet, schedule)


def _length(steps: int | None, ratio: float | None, usual: float | int) -> float | int:
    """A whole number of steps, or a share of all; their config file tells the two by the type."""
    if steps is not None:
        return steps
    return usual if ratio is None else float(ratio)


def _write_warmup(sheet: Sheet, schedule: WarmupSettings) -> None:
    length = _length(schedule.warmup_steps, schedule.warmup_ratio, 0)
    sheet.arguments["lr_warmup_steps"] = length
    if length and sheet.arguments["lr_scheduler"] == "constant":
        sheet.arguments["lr_scheduler"] = "constant_with_warmup"  # the plain one stops at a warm-up


def _write_one_cycle(sheet: Sheet, schedule: OneCycleSchedule) -> None:
    """PyTorch's class, which is told the rate and the length itself."""
    optimizer, total = sheet.config.optimizer, sheet.facts.total_steps
    if total is None:
        sheet.cannot("schedule.type", "sd-scripts must be told the number of steps, which cannot be counted here.")
        return
    if sheet.arguments.get("text_encoder_lr") or "loraplus_lr_ratio" in sheet.network_arguments:
        sheet.cannot("schedule.type", "sd-scripts then gives all parts of the network the one rate.")
    values: dict[str, Any] = {
        "max_lr": optimizer.learning_rate, "total_steps": total, "pct_start": schedule.rise_ratio,
        "div_factor": schedule.start_divisor, "final_div_factor": schedule.end_divisor, "cycle_momentum": False,
    }  # fmt: skip
    sheet.arguments["lr_scheduler_type"] = "OneCycleLR"
    sheet.arguments["lr_scheduler_args"] = [f"{name}={value!r}" for name, value in values.items()]


def _write_ramp(sheet: Sheet, schedule: RampSchedule) -> None:
    """PyTorch's class, which is told the length itself."""
    total = sheet.facts.total_steps
    if total is None:
        sheet.cannot("schedule.type", "sd-scripts must be told the number of steps, which cannot be counted here.")
        return
    if not schedule.start_ratio:
        sheet.cannot("schedule.start_ratio", "PyTorch's LinearLR cannot begin at zero; a millionth is written.")
    values = {"start_factor": schedule.start_ratio or 1e-6, "end_factor": schedule.end_ratio, "total_iters": total}
    sheet.arguments["lr_scheduler_type"] = "LinearLR"
    sheet.arguments["lr_scheduler_args"] = [f"{name}={value!r}" for name, value in values.items()]
