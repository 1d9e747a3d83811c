"""What a step tells besides its loss: how long its parts took, the loss of every picture by time, memory, speed.

Nothing here waits for the device. Marks on a graphics card's own clock, and the losses, are read with the step's other
numbers a few steps later.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Literal, TypeVar

import psutil
import torch
from torch import Tensor

Phase = Literal["data", "forward", "backward", "optimizer", "validation", "sample", "save", "other"]
ON_DEVICE: tuple[Phase, ...] = ("forward", "backward", "optimizer")
"""The program only hands these over to a graphics card; how long they take there its own clock tells."""

BANDS = ((0, 250), (250, 500), (500, 750), (750, 1000))
"""Quarters of the time, in thousandths, from clean to noise."""
STEPS = 1000
MIB = 2**20
MEMORY_SECONDS = 1.0
"""Memory is looked at no more often than this."""

Thing = TypeVar("Thing")


def thousandths(times: Tensor, is_flow: bool) -> list[float]:
    """Times of a batch on one scale: 0 is the clean picture, 1000 pure noise. `times` are on the CPU."""
    return [float(each) * (STEPS if is_flow else 1) for each in times.tolist()]


def by_band(prefix: str, times: Sequence[float], losses: Sequence[float]) -> dict[str, float]:
    """The mean loss of each band that occurs, by its name: `<prefix>_0_250` and so on. `times` in thousandths."""
    found: dict[str, float] = {}
    for low, high in BANDS:
        # Pure noise (1000) belongs to the last band.
        inside = [loss for at, loss in zip(times, losses, strict=True) if low <= min(at, STEPS - 1) < high]
        if inside:
            found[f"{prefix}_{low}_{high}"] = fmean(inside)
    return found


Mark = torch.cuda.Event


@dataclass
class Seen:
    """One step, as far as it is known before the device has done it."""

    times: list[float] = field(default_factory=list)
    """Of its pictures, in thousandths."""
    losses: list[Tensor] = field(default_factory=list)
    """(B,) on the device for each micro-batch, before weights."""
    seconds: Counter[str] = field(default_factory=Counter)
    """By phase, as the program's clock has it."""
    marks: list[tuple[Phase, Mark, Mark]] = field(default_factory=list)
    """Beginnings and ends on the device's clock."""

    def all_seconds(self) -> dict[str, float]:
        """Seconds of every phase; the device must have come past the marks."""
        found = Counter(self.seconds)
        for phase, begin, end in self.marks:
            found[phase] += begin.elapsed_time(end) / 1000
        return dict(found)


class Meter:
    """Measures one step after the other. Times on a graphics card are those of its own clock."""

    def __init__(self, device: torch.device, is_flow: bool) -> None:
        self._is_flow = is_flow
        self._marks = device.type == "cuda"
        self._phase: Phase = "other"
        self._since = time.perf_counter()
        self._mark: Mark | None = None
        self._seen = Seen()
        self.totals: Counter[str] = Counter()
        """Seconds by phase of the steps that were recorded."""
        self._device = device
        self._process = psutil.Process()
        self._memory: dict[str, float] = {}
        self._looked = float("-inf")

    def begin(self, phase: Phase) -> None:
        """What follows belongs to this phase."""
        now = time.perf_counter()
        if not (self._marks and self._phase in ON_DEVICE):
            self._seen.seconds[self._phase] += now - self._since  # type: ignore[assignment]
        if self._marks and (phase in ON_DEVICE or self._mark is not None):
            mark = Mark(enable_timing=True)
            mark.record()
            if self._mark is not None:
                self._seen.marks.append((self._phase, self._mark, mark))
            self._mark = mark if phase in ON_DEVICE else None
        self._phase, self._since = phase, now

    def timed(self, batches: Iterable[Thing]) -> Iterator[Thing]:
        """The same batches; waiting for one is the phase `data`, and `forward` begins with it."""
        self.begin("data")
        for batch in batches:
            self.begin("forward")
            yield batch
            self.begin("data")

    def pictures(self, times: Tensor, losses: Tensor) -> None:
        """Remember the losses (B,) of a micro-batch, on the device, and its times, on the CPU."""
        self._seen.times += thousandths(times, self._is_flow)
        self._seen.losses.append(losses.detach())

    def take(self) -> Seen:
        """What was seen since the last call: a step, and what was done before it."""
        seen, self._seen = self._seen, Seen()
        return seen

    def spent(self) -> dict[str, float]:
        """Seconds by phase until now, with what belongs to no recorded step."""
        self.begin("other")
        return {name: round(value, 3) for name, value in sorted((self.totals + self._seen.seconds).items())}

    def memory(self) -> dict[str, float]:
        """MiB: of the process now, and on the device at the most so far, in tensors and with what is held ready."""
        now = time.monotonic()
        if now - self._looked >= MEMORY_SECONDS:
            self._looked = now
            self._memory = {"memory/process_mib": self._process.memory_info().rss / MIB} | _on_device(self._device)
        return self._memory


def _on_device(device: torch.device) -> dict[str, float]:
    """Empty where the device does not tell."""
    if device.type not in ("cuda", "xpu"):
        return {}
    return {
        "memory/device_mib": torch.accelerator.max_memory_allocated(device) / MIB,
        "memory/device_reserved_mib": torch.accelerator.max_memory_reserved(device) / MIB,
    }
