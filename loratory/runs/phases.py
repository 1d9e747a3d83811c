"""When a phase of alpha ends, criterion by criterion: the engine decides by it, and a run's page shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from loratory.config.alpha_schedule import AlphaPhase

LEAST_LOSSES = 100
"""Before so many losses are known no phase ends."""

_MOST_VARIATION = 0.5
"""ai-toolkit's code asked for less spread than this in every phase."""

Name = Literal["min_steps", "loss_samples", "loss_slope", "gradient_stability_avg", "loss_variation", "loss_r2"]
Each = TypeVar("Each")


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a run after a step. None: not yet."""

    steps_in_phase: int
    count: int
    """Losses behind the slope."""
    slope: float | None
    r2: float | None
    variation: float | None
    stability: float | None


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing that a phase waits for. `name` is that of the number in the metrics; one of the limits may be None."""

    name: Name
    value: float | None
    above: float | None
    below: float | None
    holds: bool


def criteria(phase: AlphaPhase, known: Known, rule: str) -> list[Criterion]:
    """Everything that must hold for a phase to end. What is unknown does not hold.

    `ai-toolkit`: the rule that its code had. A rising loss blocks, a falling one passes up to five times the limit, R²
    is not looked at, and the loss must vary by less than half of its mean; what is unknown there holds.
    """
    steps, count = known.steps_in_phase, known.count
    found = [
        Criterion("min_steps", steps, phase.min_steps, None, steps >= phase.min_steps),
        Criterion("loss_samples", count, LEAST_LOSSES, None, count >= LEAST_LOSSES and known.slope is not None),
    ]
    return found + (_there(phase, known) if rule == "ai-toolkit" else _documented(phase, known))


def _documented(phase: AlphaPhase, known: Known) -> list[Criterion]:
    found = []
    if (limit := phase.loss_slope_below) is not None:
        holds = known.slope is not None and abs(known.slope) < limit
        found.append(Criterion("loss_slope", known.slope, -limit, limit, holds))
    if (limit := phase.loss_variation_below) is not None:
        holds = known.variation is not None and known.variation < limit
        found.append(Criterion("loss_variation", known.variation, None, limit, holds))
    if (floor := phase.gradient_stability_above) is not None:
        holds = known.stability is not None and known.stability > floor
        found.append(Criterion("gradient_stability_avg", known.stability, floor, None, holds))
    if (floor := phase.loss_r2_above) is not None:
        holds = known.r2 is not None and known.r2 > floor
        found.append(Criterion("loss_r2", known.r2, floor, None, holds))
    return found


def _there(phase: AlphaPhase, known: Known) -> list[Criterion]:
    found = []
    slope = known.slope or 0.0
    if (limit := phase.loss_slope_below) is not None:
        holds = not (slope > 0.05 * limit or (slope < 0 and abs(slope) >= 5 * limit))
        found.append(Criterion("loss_slope", known.slope, -5 * limit, 0.05 * limit, holds))
    if (floor := phase.gradient_stability_above) is not None:
        holds = known.stability is None or known.stability >= floor
        found.append(Criterion("gradient_stability_avg", known.stability, floor, None, holds))
    holds = (known.variation or 0.0) < _MOST_VARIATION
    return [*found, Criterion("loss_variation", known.variation, None, _MOST_VARIATION, holds)]


def leading(kinds: Mapping[str, Sequence[Each]]) -> Sequence[Each]:
    """Of linear layers and convolutions, the phases that the metrics name; `kinds` is not empty."""
    found = kinds.get("conv") or kinds["linear"]
    return found if len(found) > 1 else max(kinds.values(), key=len)
