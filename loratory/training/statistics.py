"""How the loss goes: slope, share explained by a line, spread, and running means; each step costs the same.

Everything is a function of the numbers in their order, and its state is plain numbers, so that a resumed run goes on
bit for bit.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Any

WINDOW = 200
SPREAD_WINDOW = 50
LEAST_FOR_SLOPE = 20
PERIODS = (10, 50, 100)


class Line:
    """Least squares of the last values against 0, 1, 2, …, in running sums (no pass over the window).

    Values are kept as differences from the first one, so that large ones lose no digits.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._values: deque[float] = deque()
        self._origin: float | None = None
        self._sum = self._weighted = self._squares = 0.0

    def __len__(self) -> int:
        return len(self._values)

    def add(self, value: float) -> None:
        if self._origin is None:
            self._origin = value
        value -= self._origin
        if len(self._values) == self.size:
            first = self._values.popleft()
            self._sum -= first
            self._squares -= first * first
            # Every other value moves one place to the left.
            self._weighted -= self._sum
        self._weighted += len(self._values) * value
        self._values.append(value)
        self._sum += value
        self._squares += value * value

    def slope(self) -> float | None:
        """Change for each value; None while there are too few."""
        n = len(self._values)
        if n < LEAST_FOR_SLOPE:
            return None
        places = n * (n - 1) / 2
        return (n * self._weighted - places * self._sum) / (n * self._spread_of_places(n))

    def r2(self) -> float | None:
        """The share of the values' variance that the line explains, 0..1."""
        slope, n = self.slope(), len(self._values)
        if slope is None:
            return None
        variance = self._squares - self._sum**2 / n
        if variance <= 1e-12 * max(self._squares, 1e-300):
            return 0.0
        return min(1.0, slope**2 * self._spread_of_places(n) / variance)

    @staticmethod
    def _spread_of_places(n: int) -> float:
        """Σ (i - mean)² over 0..n-1."""
        return n * (n * n - 1) / 12

    def state(self) -> dict[str, Any]:
        sums = [self._sum, self._weighted, self._squares]
        return {"values": list(self._values), "sums": sums, "origin": self._origin}

    def load(self, state: dict[str, Any]) -> None:
        self._values, self._origin = deque(state["values"]), state["origin"]
        self._sum, self._weighted, self._squares = state["sums"]


class RunningMean:
    """Exponential mean with weight 2 / (period + 1), beginning at the first value."""

    def __init__(self, period: int, value: float | None = None) -> None:
        self.weight = 2 / (period + 1)
        self.value = value

    def add(self, value: float) -> None:
        self.value = value if self.value is None else self.value + self.weight * (value - self.value)


@dataclass(frozen=True)
class Reading:
    """What is known after a step. None: not yet."""

    step: int
    count: int
    """Losses in the window."""
    slope: float | None
    r2: float | None
    variation: float | None
    """Standard deviation of the last 50 losses divided by their mean."""
    stability: float | None
    """Running mean, over about 50 steps, of the share of gradient signs that stayed."""


class Statistics:
    """Of one stream of steps."""

    def __init__(self) -> None:
        self._line = Line(WINDOW)
        self._recent: deque[float] = deque(maxlen=SPREAD_WINDOW)
        self._losses = {period: RunningMean(period) for period in PERIODS}
        self._stabilities = {period: RunningMean(period) for period in PERIODS}

    def add(self, step: int, loss: float, stability: float | None) -> Reading:
        """Take a step's numbers in; what is not a number is left out. Returns what is known now."""
        if math.isfinite(loss):
            self._line.add(loss)
            self._recent.append(loss)
            for mean in self._losses.values():
                mean.add(loss)
        if stability is not None and math.isfinite(stability):
            for mean in self._stabilities.values():
                mean.add(stability)
        return Reading(
            step, len(self._line), self._line.slope(), self._line.r2(), self._variation(), self._stabilities[50].value
        )

    def _variation(self) -> float | None:
        if len(self._recent) < 10:
            return None
        mean = math.fsum(self._recent) / len(self._recent)
        spread = math.sqrt(math.fsum((each - mean) ** 2 for each in self._recent) / len(self._recent))
        return spread / mean if mean > 0 else None

    def means(self) -> dict[str, float]:
        """Running means under their names in metrics."""
        found = {f"loss_ema_{period}": mean.value for period, mean in self._losses.items()}
        found |= {f"grad_ema_{period}": mean.value for period, mean in self._stabilities.items()}
        return {name: value for name, value in found.items() if value is not None}

    def state(self) -> dict[str, Any]:
        """Plain numbers, for a checkpoint."""
        return {
            "line": self._line.state(),
            "recent": list(self._recent),
            "losses": [mean.value for mean in self._losses.values()],
            "stabilities": [mean.value for mean in self._stabilities.values()],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's numbers."""
        self._line.load(state["line"])
        self._recent = deque(state["recent"], maxlen=SPREAD_WINDOW)
        for mean, value in zip(self._losses.values(), state["losses"], strict=True):
            mean.value = value
        for mean, value in zip(self._stabilities.values(), state["stabilities"], strict=True):
            mean.value = value
