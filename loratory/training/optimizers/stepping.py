"""What the loop does with an optimizer: rates, steps that must not happen, averaged weights, numbers to log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from loratory.training.optimizers.rounding import full_copy

Numbers = dict[str, float | Tensor]


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Each group's first rate times the schedule's factor. A group without a rate finds its own."""
    for group in optimizer.param_groups:
        if group["initial_lr"] is not None:
            group["lr"] = group["initial_lr"] * factor


def has_a_rate(optimizer: torch.optim.Optimizer) -> bool:
    """Is there anything to do in this step? Estimates of the distance divide by it: at a rate of 0 they stand still."""
    estimates = any("d" in group for group in optimizer.param_groups)
    return not estimates or any(group["lr"] != 0 for group in optimizer.param_groups)


def step_if_finite(optimizer: torch.optim.Optimizer, finite: Tensor) -> None:
    """Step unless `finite` (a boolean on the device) is false; then nothing changes, not even the memory.

    torch's fused kernels look at `found_inf` themselves, the way gradient scalers use, so nothing waits. All other
    optimizers need to know it here: one wait in each step.
    """
    if not has_a_rate(optimizer):
        return
    if getattr(optimizer, "_step_supports_amp_scaling", False):
        optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]
        optimizer.step()
    elif bool(finite):
        optimizer.step()


@contextmanager
def averaged(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Within the block the weights are those to use: the average, for optimizers that keep one.

    They train at another point, between the average and their newest weights. Behind the block it is there again bit
    by bit: going back by calculation would round, and a run that saves more often would be another run.
    """
    if not hasattr(optimizer, "eval"):
        yield
        return
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    kept = [parameter.data for parameter in parameters]
    for parameter in parameters:
        parameter.data = full_copy(parameter)  # what the optimizer remembers is fp32
    optimizer.eval()
    try:
        yield
    finally:
        optimizer.train()  # type: ignore[attr-defined]
        for parameter, value in zip(parameters, kept, strict=True):
            parameter.data = value


def measures(optimizer: torch.optim.Optimizer) -> Numbers:
    """Numbers to log after a step: the rate that each group really moves by, and what else the optimizer measures."""
    found: Numbers = {f"lr/{group['name']}": _real_rate(optimizer, group) for group in optimizer.param_groups}
    if hasattr(optimizer, "take_sign_agreement"):
        agreement = optimizer.take_sign_agreement()
        if agreement is not None:
            found["sign_agreement"] = agreement
    return found


def _real_rate(optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> float | Tensor:
    """The rate with what the optimizer found itself. After a step, estimates are those for the next one."""
    if hasattr(optimizer, "mean_rate"):
        mean: float | Tensor = optimizer.mean_rate(group)
        return mean
    if group.get("relative_step"):
        return _relative_rate(optimizer, group)
    if hasattr(optimizer, "get_dlr"):  # ProdigyPlusScheduleFree
        return float(optimizer.get_dlr(group))
    if "d" in group:
        return float(group["d"] * group["lr"] / group.get("g0_norm", 1.0))
    return float(group["lr"])


def _relative_rate(optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> float | Tensor:
    """Adafactor's own rate (Shazeer and Stern 2018): min(0.01, 1 / √step), times the mean size of the weights."""
    states = [optimizer.state[each] for each in group["params"] if optimizer.state[each]]
    if not states:
        return 0.0
    step = states[0]["step"]
    rate: float = min(1e-6 * step if group["warmup_init"] else 1e-2, step**-0.5)
    if not group["scale_parameter"]:
        return rate
    sizes = torch.stack([torch.as_tensor(state["RMS"]) for state in states])
    return rate * sizes.clamp(min=group["eps"][1]).mean()
