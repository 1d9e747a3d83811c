"""In which phase of alpha a run is, and why it is still there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from loratory.errors import UserError
from loratory.jobs.facts import newest_numbers
from loratory.jobs.folders import config_of
from loratory.runs import RunFolder, read_events
from loratory.runs.phases import Criterion, Known, criteria, leading


@dataclass(frozen=True, slots=True)
class PhaseFacts:
    """A phase as the config has it."""

    name: str
    alpha: float
    min_steps: int


@dataclass(frozen=True, slots=True)
class PhaseChange:
    """A phase that began."""

    step: int
    message: str


@dataclass(frozen=True, slots=True)
class AlphaPhases:
    """The phases of a run; none where its alpha stays what it is."""

    phases: list[PhaseFacts] = field(default_factory=list)
    current: int | None = None
    """Which one is in force; None before the first numbers."""
    steps_in_phase: int | None = None
    criteria: list[Criterion] = field(default_factory=list)
    """What the phase in force waits for; none in the last one, which never ends."""
    changes: list[PhaseChange] = field(default_factory=list)


def alpha_phases_of(run: RunFolder) -> AlphaPhases:
    """Judged by the newest lines of the metrics, with the engine's own rule."""
    try:
        config = config_of(run.path).alpha_schedule
    except UserError:
        return AlphaPhases()  # the config's own page says what is wrong with it
    kinds = config.phases()
    if not kinds:
        return AlphaPhases()
    phases = leading(kinds)
    shown = [PhaseFacts(each.name, each.alpha, each.min_steps) for each in phases]
    numbers = newest_numbers(run.metrics_path)
    if not 0 <= (current := int(numbers.get("phase_idx", -1))) < len(phases):
        return AlphaPhases(shown)
    known = Known(
        steps_in_phase=int(numbers.get("steps_in_phase", 0)),
        count=int(numbers.get("loss_samples", 0)),
        slope=numbers.get("loss_slope"),
        r2=numbers.get("loss_r2"),
        variation=numbers.get("loss_variation"),
        stability=numbers.get("gradient_stability_avg"),
    )
    waits = [] if current == len(phases) - 1 else criteria(phases[current], known, config.rule)
    return AlphaPhases(shown, current, known.steps_in_phase, waits, _changes(run.events_path))


def _changes(events_path: Path) -> list[PhaseChange]:
    changes: list[PhaseChange] = []
    cursor: str | None = None
    while True:
        events, cursor = read_events(events_path, cursor)
        if not events:
            return changes
        for event in events:
            if event.kind == "alpha_phase":
                changes.append(PhaseChange(int(event.data["step"]), str(event.data["message"])))
            elif event.kind == "rewound":
                changes = [each for each in changes if each.step <= int(event.data["step"])]
