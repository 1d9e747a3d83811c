"""A whole plan: steps, disk, memory and time of one job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.targets import Layer
from loratory.config.train import TrainConfig
from loratory.planner.calculator import Calculation, calculate
from loratory.planner.clock import Clock, clock_of
from loratory.planner.counts import Counts, Shapes, count
from loratory.planner.disk import Disk, disk_of
from loratory.planner.fitting import Fit, fit
from loratory.planner.machine import CPU, Machine
from loratory.planner.measured import Correction, Measurement, correction, kind_of
from loratory.planner.memory import Memory, memory_of
from loratory.planner.model import Model, model_of


@dataclass(frozen=True)
class Estimate:
    """Everything about a job that can be known before it starts. Sizes in bytes, times in seconds."""

    counts: Counts
    disk: Disk
    memory: Memory
    clock: Clock
    fit: Fit | None
    """Does it fit on the card? None where no card is known."""
    machine: Machine
    correction: Correction
    trained_numbers: int
    trained_layers: int
    notes: tuple[str, ...]
    calculation: Calculation
    """The same steps as people count them."""

    @property
    def peak_bytes(self) -> int:
        """On the card at the most, corrected by what was measured here."""
        return max(phase.corrected(self.correction.memory_factor) for phase in self.memory.phases)

    def as_json(self) -> dict[str, Any]:
        """Plain data with units in the names, for programs and forms."""
        counts, disk, clock = self.counts, self.disk, self.clock
        return {
            "datasets": [
                {name: getattr(each, name) for name in (
                    "path", "pictures", "samples", "seen_per_epoch", "dropped", "cropped", "cut_share", "enlarged")}
                for each in counts.datasets
            ],
            "buckets": [{"width": size[0], "height": size[1], "pictures": number}
                        | ({"batch_group": size[2]} if len(size) == 3 else {})
                        for size, number in counts.buckets.items()],
            "pictures": counts.pictures, "seen_per_epoch": counts.seen_per_epoch, "batch_size": counts.batch_size,
            "batches_per_epoch": counts.batches_per_epoch, "steps_per_epoch": counts.steps_per_epoch,
            "calculation": {
                **{name: getattr(self.calculation, name) for name in (
                    "text", "plain_steps", "plain_epochs", "true_steps", "true_epochs", "differs")},
                "reasons": list(self.calculation.reasons),
            },
            "total_steps": counts.total_steps, "epochs": round(counts.epochs, 3),
            "empty_places_in_batches": counts.missing_from_full_batches,
            "trained_layers": self.trained_layers, "trained_numbers": self.trained_numbers,
            "disk_bytes": {name: getattr(disk, name) for name in (
                "latents", "texts", "checkpoints", "exports", "samples", "one_export", "one_checkpoint", "total")},
            "memory_bytes": {phase.name: {
                "total": phase.bytes, **{part.name: part.bytes for part in phase.parts},
                "driver and gaps": phase.reserve}
                             for phase in self.memory.phases},
            "peak_bytes": self.peak_bytes, "peak_phase": self.memory.highest.name,
            "flops_per_step": clock.flops_per_step, "seconds_per_step": clock.seconds_per_step,
            "seconds": clock.seconds,
            "machine": {"name": self.machine.name, "memory_bytes": self.machine.memory_bytes},
            "measured_runs": self.correction.speed_runs, "memory_factor": round(self.correction.memory_factor, 3),
            "fit": None if self.fit is None else self.fit.as_json(),
            "notes": list(self.notes),
        }  # fmt: skip


def estimate(
    config: TrainConfig, spec: ArchitectureSpec, layers: Sequence[Layer], datasets: Sequence[Shapes],
    machine: Machine = CPU, known: Sequence[Measurement] = (), texts: int | None = None,
) -> Estimate:  # fmt: skip
    """Plan one job on one machine. `layers` are the model's, `datasets` in the config's order, `known` the runs
    measured here, `texts` the number of different captions where it is known. Raises UserError for what cannot be."""
    model = model_of(config, spec, layers)
    counts = count(config, spec, datasets)
    found = correction(known, machine.name, spec.name, kind_of(config))
    memory = memory_of(model, counts.largest)
    limit = machine.memory_bytes
    fitting = None if limit is None else fit(model, counts.largest, limit, found.memory_factor)
    return Estimate(
        counts=counts,
        disk=disk_of(model, counts, texts),
        memory=memory,
        clock=clock_of(model, counts, found.flops_per_second),
        fit=fitting,
        machine=machine,
        correction=found,
        trained_numbers=model.shown.parameters,
        trained_layers=len(model.shown.layers),
        notes=(*counts.notes, *_notes(model)),
        calculation=calculate(config, datasets, counts),
    )


def _notes(model: Model) -> list[str]:
    """What the numbers do not know."""
    config, spec = model.config, model.spec
    found = []
    if config.optimizer.type == "custom":
        found.append("Of optimizer.type custom it is assumed that it remembers two numbers for each trained one.")
    if spec.masks_texts:
        found.append(f"Captions are counted with {model.tokens} tokens; this model keeps their own lengths.")
    if config.network.shape_from_start:
        found.append("The network's sizes are those of a file (network.start_from); here they are the config's.")
    if config.model.side_adapters:
        found.append("What model.side_adapters take is not counted.")
    if any(dataset.augmentation.varies() and not dataset.augmentation.variants for dataset in config.datasets):
        found.append("Pictures are drawn anew in each step, so the autoencoder is at work in every one.")
    if any(abs(scale - 1) > 0.01 for scale in model.scales.values()):
        found.append("The model has other sizes than usual; activations are those of the usual one, scaled by widths.")
    return found
