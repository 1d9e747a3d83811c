"""Alpha in phases: which phase it is, when it ends, and a change of alpha that makes no jump.

Decisions are taken from numbers of a fixed number of steps ago, so that nothing waits for the device and a resumed run
decides the same.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from loratory.config.alpha_schedule import AlphaPhase, AlphaScheduleConfig
from loratory.errors import UserError
from loratory.networks.base import Network
from loratory.networks.types.lora import LoraLayer
from loratory.runs.phases import Known, criteria, leading
from loratory.training.ema import Ema
from loratory.training.metrics import LAG
from loratory.training.statistics import Reading, Statistics

log = logging.getLogger(__name__)


def is_over(phase: AlphaPhase, steps: int, reading: Reading, rule: str) -> bool:
    """Has a phase had its steps, and do its criteria hold?"""
    known = Known(steps, reading.count, reading.slope, reading.r2, reading.variation, reading.stability)
    return all(each.holds for each in criteria(phase, known, rule))


def described(old: AlphaPhase, new: AlphaPhase) -> dict[str, Any]:
    """A change of phases, as the history has it."""
    return {"from_phase": old.name, "to_phase": new.name, "from_alpha": old.alpha, "to_alpha": new.alpha}


def alpha_between(before: float | None, phase: AlphaPhase, share: float) -> float:
    """On the way from an alpha to that of a phase; exactly the phase's at the end."""
    return phase.alpha if before is None or share >= 1 else before + (phase.alpha - before) * share


class Phases:
    """The phases of one kind of layer."""

    def __init__(self, phases: tuple[AlphaPhase, ...], rule: str) -> None:
        self.phases = phases
        self.rule = rule
        self.index = 0
        self.steps = 0
        """Optimizer steps in this phase."""
        self.before: float | None = None
        """Alpha of the phase before; None in the first."""
        self.history: list[dict[str, Any]] = []

    @property
    def phase(self) -> AlphaPhase:
        return self.phases[self.index]

    def advance(self, step: int, reading: Reading | None) -> bool:
        """One more step is done, and perhaps an older step's numbers are known. True when another phase begins."""
        self.steps += 1
        last = self.index == len(self.phases) - 1
        if last or reading is None or not is_over(self.phase, self.steps, reading, self.rule):
            return False
        change = described(self.phase, self.phases[self.index + 1])
        self.index, self.before = self.index + 1, change["from_alpha"]
        self.history.append({"step": step, **change, "steps_in_phase": self.steps})
        self.steps = 0
        return True

    def alpha(self, ramp_steps: int) -> float:
        """Alpha now; on the way from the phase before during a ramp (0 steps: none)."""
        share = 1.0 if self.before is None or self.steps >= ramp_steps else self.steps / ramp_steps
        return alpha_between(self.before, self.phase, share)


class AlphaScheduler:
    """Holds the phases of a network's layers, and sets their alphas. Without phases it does nothing."""

    def __init__(
        self, config: AlphaScheduleConfig, network: Network, optimizer: torch.optim.Optimizer, ema: Ema
    ) -> None:
        self._config, self._optimizer, self._ema = config, optimizer, ema
        self._kinds = {kind: Phases(phases, config.rule) for kind, phases in config.phases().items()}
        self._layers = {kind: network.with_alpha(larger_convolutions=kind == "conv") for kind in self._kinds}
        self._ramp = config.ramp_steps if config.transition == "ramp" else 0
        self._readings: deque[Reading] = deque()
        self.statistics = Statistics()
        for kind in self._kinds:
            self._set(kind)

    @property
    def active(self) -> bool:
        return bool(self._kinds)

    def describe(self) -> str:
        """For the terminal, when training starts."""
        parts = [f"{kind} {' → '.join(f'{phase.alpha:g}' for phase in each.phases)} ({len(self._layers[kind])} layers)"
                 for kind, each in self._kinds.items()]  # fmt: skip
        return f"alpha scheduler: {max(len(each.phases) for each in self._kinds.values())} phases, {', '.join(parts)}"

    def read(self, step: int, loss: float, stability: float) -> Reading:
        """Take in a step's numbers as soon as they are known; they are used a fixed number of steps later."""
        reading = self.statistics.add(step, loss, stability)
        if self.active:
            self._readings.append(reading)
        return reading

    def advance(self, done: int) -> list[str]:
        """After `done` optimizer steps: end phases and set alphas. Returns a sentence for each phase that began."""
        if not self.active:
            return []
        due = self._readings and self._readings[0].step + LAG < done
        reading = self._readings.popleft() if due else None
        said = []
        for kind, each in self._kinds.items():
            if each.advance(done, reading):
                change = each.history[-1]
                said.append(
                    f"Alpha of {kind} layers goes from {change['from_alpha']:g} to {change['to_alpha']:g} after step "
                    f"{done}: phase {change['to_phase']} begins."
                )
                if self._config.transition == "rescale":
                    self._rescale(kind, change["from_alpha"] / change["to_alpha"])
            self._set(kind)
        return said

    def facts(self) -> dict[str, float | str]:
        """The phase and the alphas that are in force, for metrics."""
        found: dict[str, float | str] = {"alpha_enabled": int(self.active)}
        for kind, each in self._kinds.items():
            found[f"{kind}_alpha"] = each.alpha(self._ramp)
        if self._kinds:
            shown = leading({kind: each.phases for kind, each in self._kinds.items()})
            first = next(each for each in self._kinds.values() if each.phases is shown)
            found |= {"phase": first.phase.name, "phase_idx": first.index, "steps_in_phase": first.steps}
        return found

    def _set(self, kind: str) -> None:
        alpha = self._kinds[kind].alpha(self._ramp)
        for layer in self._layers[kind]:
            layer.set_alpha(alpha)

    @torch.no_grad()
    def _rescale(self, kind: str, factor: float) -> None:
        """Multiply the weights by what the strength is divided by: W + ΔW stays what it is.

        A gradient is then divided by the factor, and with it the optimizer's running means of it.
        """
        for layer in self._layers[kind]:
            for name in layer.SCALED:
                if not hasattr(layer, name):
                    continue
                parameter = layer.get_parameter(name)
                parameter.mul_(factor)
                rescale_memory(self._optimizer, parameter, 1 / factor)
                self._ema.multiply(parameter, factor)
            if isinstance(layer, LoraLayer) and layer.start_up is not None:
                layer.start_up.mul_(factor)

    # Checkpoints

    def state(self) -> dict[str, Any]:
        """Plain numbers and texts, for a checkpoint and for people."""
        return {
            "enabled": self.active,
            "kinds": {
                kind: {"current_phase_idx": each.index, "steps_in_phase": each.steps, "before": each.before,
                       "transition_history": each.history}
                for kind, each in self._kinds.items()
            },
            "readings": [asdict(reading) for reading in self._readings],
            "statistics": self.statistics.state(),
        }  # fmt: skip

    def load(self, state: dict[str, Any] | None) -> None:
        """Go on from a checkpoint; None: from one without phases. The phases are the config's."""
        if state is None:
            return
        self.statistics.load(state["statistics"])
        self._readings = deque(Reading(**reading) for reading in state["readings"])
        for kind, each in self._kinds.items():
            found = state["kinds"][kind]
            each.index, each.steps = found["current_phase_idx"], found["steps_in_phase"]
            each.before, each.history = found["before"], found["transition_history"]
            self._set(kind)


FIRST_MOMENTS, SECOND_MOMENTS = ("exp_avg", "momentum_buffer"), ("exp_avg_sq", "max_exp_avg_sq")


def rescale_memory(optimizer: torch.optim.Optimizer, parameter: nn.Parameter, factor: float) -> None:
    """Multiply what an optimizer remembers of a parameter's gradients, as if they had been `factor` times as large.

    Raises UserError for an optimizer whose memory is not known.
    """
    memory = optimizer.state.get(parameter, {})
    unknown = {name for name, value in memory.items() if isinstance(value, Tensor) and name not in
               (*FIRST_MOMENTS, *SECOND_MOMENTS, "step")}  # fmt: skip
    if unknown:
        raise UserError(
            f"alpha_schedule.transition: rescale cannot change this optimizer's memory ({', '.join(sorted(unknown))}); "
            "use ramp."
        )
    for names, power in ((FIRST_MOMENTS, 1), (SECOND_MOMENTS, 2)):
        for name in names:
            if isinstance(memory.get(name), Tensor):
                memory[name].mul_(factor**power)
