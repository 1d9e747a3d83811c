"""Optimizers: made from their config classes, stepped, and asked what they do."""

from loratory.training.optimizers.fused import FusedSteps
from loratory.training.optimizers.making import check_available, make_optimizer
from loratory.training.optimizers.rounding import WorkCopies
from loratory.training.optimizers.stepping import averaged, has_a_rate, measures, set_rates, step_if_finite

__all__ = [
    "FusedSteps",
    "WorkCopies",
    "averaged",
    "check_available",
    "has_a_rate",
    "make_optimizer",
    "measures",
    "set_rates",
    "step_if_finite",
]
