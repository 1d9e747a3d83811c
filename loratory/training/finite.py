"""Steps whose loss or gradient is not a number: noticed, counted, and after too many in a row the end of a run."""

from __future__ import annotations

import math

from loratory.errors import UserError
from loratory.training.metrics import StepNumbers


class NotFinite(UserError):
    """The loss is not a number for several steps in a row. The weights of the last checkpoint are untouched by it."""

    code = "not_a_number"


class FiniteWatch:
    """Counts steps in a row whose loss or gradient is not a number."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_a_row: list[StepNumbers] = []

    def look(self, numbers: StepNumbers, what: str) -> None:
        """`what` is not a number in this step; empty: all is well. Raises NotFinite at the limit."""
        if not what:
            self.in_a_row = []
            return
        self.in_a_row.append(numbers)
        if len(self.in_a_row) >= self.limit:
            first = self.in_a_row[0]
            pictures = ", ".join(dict.fromkeys(first.names))
            raise NotFinite(
                f"The {what} is not a number since step {first.step + 1} (pictures: {pictures}). Those steps changed "
                "nothing; the run can go on from its last checkpoint. Try a lower learning rate, memory.precision bf16 "
                "or fp32, or look at those pictures."
            )


def not_finite(numbers: StepNumbers, scaled: bool) -> str:
    """What is not a number in a step; empty if all is. Gradient scalers make gradients infinite on purpose."""
    if not math.isfinite(numbers.loss):
        return "loss"
    return "" if scaled or math.isfinite(numbers.grad_norm) else "gradient"
