"""Numbers from the device without waiting for it, and honest speed and time left."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from loratory.training.meter import Seen, by_band
from loratory.training.statistics import Reading

LAG = 4
"""Steps between a number's making and its reading. Fixed, so that decisions taken from numbers repeat on a resume."""


@dataclass(frozen=True)
class StepNumbers:
    """One finished step. `loss` is the mean over its pictures; `grad_norm` is before clipping."""

    step: int
    loss: float
    grad_norm: float
    stability: float
    """The share of gradient signs that stayed; NaN in the first step."""
    measures: dict[str, float]
    """By its name in the metrics: the rate of each group, and what else the optimizer measures."""
    names: tuple[str, ...]
    facts: dict[str, float | str]
    """What was in force in this step, as metrics name it."""
    bands: dict[str, float] = field(default_factory=dict)
    """The mean loss of its pictures by band of time, before weights."""
    seconds: dict[str, float] = field(default_factory=dict)
    """By phase: of this step, and of what was done between the step before and it."""


@dataclass
class _Waiting:
    step: int
    host: Tensor
    event: torch.cuda.Event | None
    known: dict[str, float]
    measured: tuple[str, ...]
    names: tuple[str, ...]
    facts: dict[str, float | str]
    seen: Seen


class LateNumbers:
    """Copies each step's numbers off the device in the background and hands them out LAG steps later."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._waiting: deque[_Waiting] = deque()

    def put(
        self,
        step: int,
        numbers: Tensor,
        measures: Mapping[str, float | Tensor],
        names: tuple[str, ...],
        facts: dict[str, float | str],
        seen: Seen | None = None,
    ) -> None:
        """`numbers`, on the device, is (loss, gradient norm, share of signs that stayed); measures are numbers, or
        tensors with one number."""
        seen = seen or Seen()
        known = {name: value for name, value in measures.items() if not isinstance(value, Tensor)}
        found = {name: value for name, value in measures.items() if isinstance(value, Tensor)}
        if found:
            numbers = torch.stack([*numbers, *(value.to(numbers) for value in found.values())])
        if seen.losses:
            numbers = torch.cat([numbers, *seen.losses])
        event = None
        if self._device.type == "cuda":
            host = torch.empty(numbers.shape, dtype=torch.float32, pin_memory=True)
            host.copy_(numbers.detach(), non_blocking=True)
            event = torch.cuda.Event()
            event.record()
        else:
            host = numbers.detach().clone()
        self._waiting.append(_Waiting(step, host, event, known, tuple(found), names, facts, seen))

    def due(self, *, all_of_them: bool = False) -> list[StepNumbers]:
        """The steps that are old enough, oldest first; at the end of training all of them."""
        ready = []
        while self._waiting and (all_of_them or len(self._waiting) > LAG):
            first = self._waiting.popleft()
            if first.event is not None:
                first.event.synchronize()
            loss, norm, stability, *others = first.host.tolist()
            measured, losses = others[: len(first.measured)], others[len(first.measured) :]
            measures = first.known | dict(zip(first.measured, measured, strict=True))
            bands, seconds = by_band("loss_band", first.seen.times, losses), first.seen.all_seconds()
            numbers = StepNumbers(
                first.step, loss, norm, stability, measures, first.names, first.facts, bands, seconds
            )  # fmt: skip
            ready.append(numbers)
        return ready


class Terms:
    """Sums of the further terms of a step's loss, on the device."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    def add(self, name: str, part: Tensor) -> None:
        self._sums[name] = self._sums[name] + part if name in self._sums else part

    def take(self) -> dict[str, Tensor]:
        """By their names in the metrics; the next step begins with none."""
        sums, self._sums = self._sums, {}
        return {f"loss_{name}": total for name, total in sums.items()}


def line_of(numbers: StepNumbers, reading: Reading) -> dict[str, float | str]:
    """A step's numbers under their names in the metrics; what is not known yet is left out.

    Rates stand there twice: by the part they belong to, and under ai-toolkit's names.
    """
    line: dict[str, float | str] = {"loss": numbers.loss, "grad_norm": numbers.grad_norm, **numbers.bands}
    line |= numbers.measures
    rates = [value for name, value in numbers.measures.items() if name.startswith("lr/")]
    line |= {"learning_rate": rates[0]} if len(rates) == 1 else {f"lr_{i}": rate for i, rate in enumerate(rates)}
    line["loss_samples"] = reading.count
    known = {
        "gradient_stability": numbers.stability,
        "gradient_stability_avg": reading.stability,
        "loss_slope": reading.slope,
        "loss_r2": reading.r2,
        "loss_variation": reading.variation,
    }
    line |= {name: value for name, value in known.items() if value is not None and math.isfinite(value)}
    return line | {f"seconds/{name}": round(value, 6) for name, value in sorted(numbers.seconds.items())}


class Speed:
    """Steps per second over the last minute or so, without start-up and without pauses (samples, saving)."""

    def __init__(self, window: int = 200) -> None:
        self._durations: deque[float] = deque(maxlen=window)
        self._last: float | None = None

    def step_done(self) -> None:
        now = time.perf_counter()
        if self._last is not None:
            self._durations.append(now - self._last)
        self._last = now

    def pause(self) -> None:
        """What happens until the next step is not counted."""
        self._last = None

    def per_second(self) -> float | None:
        """None until two steps were seen."""
        total = sum(self._durations)
        return len(self._durations) / total if total > 0 else None

    def seconds_left(self, steps: int) -> float | None:
        speed = self.per_second()
        return None if speed is None else steps / speed
