"""A finished run tells the planner what it took, so that the next plan on this machine knows better."""

from __future__ import annotations

import logging

import torch

from loratory.errors import UserError
from loratory.networks.base import layers_of
from loratory.planner.clock import clock_of
from loratory.planner.counts import counts_of
from loratory.planner.measured import Measurement, add, kind_of, table_path
from loratory.planner.memory import memory_of
from loratory.planner.model import model_of
from loratory.training.loop import Training

log = logging.getLogger(__name__)

LEAST_STEPS = 20
"""The first ones are slower: what fewer say is not worth knowing."""
OF_A_STEP = ("data", "forward", "backward", "optimizer")
COUNTS_MEMORY = ("cuda", "xpu")


def begin(device: torch.device) -> None:
    """What was at the most on the card before this run does not count."""
    if device.type in COUNTS_MEMORY:
        torch.accelerator.reset_peak_memory_stats(device)


def measurement(training: Training) -> Measurement | None:
    """What this run took; None where it was too short, or its network is a file's, whose sizes no plan knows."""
    config, steps = training.config, training.steps_done - training.first_step
    if steps < LEAST_STEPS or config.network.shape_from_start:
        return None
    device, counts = training.device, counts_of(training.plan)
    model = model_of(config, training.architecture.spec, layers_of(training.architecture))
    peak = torch.accelerator.max_memory_allocated(device) if device.type in COUNTS_MEMORY else None
    return Measurement(
        hardware=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        architecture=model.spec.name,
        kind=kind_of(config),
        estimated_bytes=max(phase.tensors for phase in memory_of(model, counts.largest).phases),
        peak_bytes=peak,
        flops_per_step=clock_of(model, counts, None).flops_per_step,
        seconds_per_step=sum(training.meter.totals[phase] for phase in OF_A_STEP) / steps,
    )


def remember(training: Training) -> None:
    """Enter the run into the table. The run is over: a table that cannot be written is said, and that is all."""
    try:
        found = measurement(training)
        if found is not None and found.seconds_per_step > 0:
            add(found, table_path())
    except UserError as error:
        log.warning("What this run took was not written down for later plans: %s", error)
