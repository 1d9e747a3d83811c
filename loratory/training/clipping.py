"""Shorten gradients before a step: all together, number by number, or by the size of the weights they belong to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

SMALLEST_WEIGHT = 1e-3
"""Weights count as at least so long (Brock et al. 2021), or those that begin at zero would never move."""


def clip(parameters: Sequence[nn.Parameter], limit: float, by: str, norm: Tensor) -> None:
    """Shorten gradients in place. `norm` is the length of all of them together; nothing waits for the device.

    `norm`: together, to at most `limit`. `value`: every number to -limit..limit. `adaptive`: each row of a matrix to at
    most `limit` times the length of that row of the weights (Brock et al. 2021, arXiv 2102.06171, eq. 3).
    """
    if by == "norm":
        torch.nn.utils.clip_grads_with_norm_(parameters, limit, norm)
    elif by == "value":
        torch.nn.utils.clip_grad_value_(parameters, limit)
    else:
        for parameter in parameters:
            if parameter.grad is not None:
                _shorten_rows(parameter, parameter.grad, limit)


@torch.no_grad()
def _shorten_rows(weight: Tensor, gradient: Tensor, limit: float) -> None:
    longest = limit * _row_lengths(weight).clamp(min=SMALLEST_WEIGHT)
    lengths = _row_lengths(gradient)
    # What is not a number stays what it is: the step is left out because of it.
    gradient.mul_(torch.where(lengths > longest, longest / lengths, torch.ones_like(lengths)).to(gradient.dtype))


def _row_lengths(values: Tensor) -> Tensor:
    """Of each row, (out, 1, …); of a vector its whole length."""
    if values.ndim < 2:
        return values.float().norm()
    return values.float().flatten(1).norm(dim=1).view(-1, *[1] * (values.ndim - 1))
