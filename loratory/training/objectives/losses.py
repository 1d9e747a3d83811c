"""How a miss is measured: one function (prediction, target, c) -> loss per element, all of one shape, for each name.

`c` (B, 1, …) is the loss's own number, if it has one. A new loss is a function and a line in LOSSES.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as functional
from torch import Tensor

from loratory.config.objective import LossConfig

ElementLoss = Callable[[Tensor, Tensor, Tensor], Tensor]


def mse(prediction: Tensor, target: Tensor, c: Tensor) -> Tensor:
    """d², with d = prediction - target. No c."""
    return (prediction - target).square()


def mae(prediction: Tensor, target: Tensor, c: Tensor) -> Tensor:
    """|d|. No c."""
    return (prediction - target).abs()


def pseudo_huber(prediction: Tensor, target: Tensor, c: Tensor) -> Tensor:
    """sqrt(d² + c²) - c (Charbonnier et al. 1994): d²/2c near zero, |d| - c far away. ai-toolkit's, where c is 0.01."""
    square = (prediction - target).square()
    # The same number without subtracting two that are nearly equal.
    return square / ((square + c.square()).sqrt() + c)


def huber(prediction: Tensor, target: Tensor, c: Tensor) -> Tensor:
    """2c(sqrt(d² + c²) - c) as in kohya's trainer: d² near zero."""
    return 2 * c * pseudo_huber(prediction, target, c)


def smooth_l1(prediction: Tensor, target: Tensor, c: Tensor) -> Tensor:
    """2(sqrt(d² + c²) - c) as in kohya's trainer: 2|d| far away."""
    return 2 * pseudo_huber(prediction, target, c)


def log_cosh(prediction: Tensor, target: Tensor, c: Tensor) -> Tensor:
    """log(cosh(d)): d²/2 near zero, |d| - log 2 far away. No c."""
    size = (prediction - target).abs()
    near = torch.log1p(2 * torch.sinh(size.clamp(max=1) / 2).square())
    far = size + torch.log1p(torch.exp(-2 * size)) - math.log(2)
    return torch.where(size < 1, near, far)


def wavelet(prediction: Tensor, target: Tensor, c: Tensor) -> Tensor:
    """Square of the miss in the low band of one level of Haar wavelets, plus c times that in the three detail bands.

    Divided by the mean of the four bands' weights, so that a miss without structure counts as in mse. The low band of
    a 2×2 block is its mean and the details are what is left, which gives every pixel a loss of its own; the sum over a
    block is that of the coefficients. With c = 1 (ai-toolkit's) it is the mse, because the bands are orthogonal. A last
    odd row or column is a block of its own.
    """
    miss = prediction - target
    means = functional.avg_pool2d(miss, 2, ceil_mode=True, count_include_pad=False)
    low = means.repeat_interleave(2, -2).repeat_interleave(2, -1)[..., : miss.shape[-2], : miss.shape[-1]]
    return (low.square() + c * (miss - low).square()) * (4 / (1 + 3 * c))


LOSSES: Mapping[str, ElementLoss] = {
    "mse": mse,
    "mae": mae,
    "huber": huber,
    "smooth_l1": smooth_l1,
    "pseudo_huber": pseudo_huber,
    "log_cosh": log_cosh,
    "wavelet": wavelet,
}


def loss_number(times: Tensor, signal: Tensor, config: LossConfig) -> Tensor:
    """The loss's own number c for each picture (B,).

    `times` (B,): 0 (picture) to 1 (noise). `signal` (B,): the picture's share a/(a+b) of x = a·picture + b·noise, which
    is 1/(1+σ) in kohya's terms, is defined for flow models too, and stays finite where nothing of the picture is left.
    """
    if config.loss_type == "wavelet":
        return torch.full_like(times, config.wavelet_detail)
    if config.huber_schedule == "constant":
        c = torch.full_like(times, config.huber_c)
    elif config.huber_schedule == "exponential":
        c = config.huber_c**times
    else:
        c = (1 - config.huber_c) * signal**2 + config.huber_c
    return config.huber_scale * c
