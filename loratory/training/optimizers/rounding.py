"""Adapters of 16 bits: they take their steps in 32 bits, and are rounded behind each step.

A step is often smaller than half of the distance between two numbers of bf16, and rounding to the nearest one would
lose it each time. Stochastic rounding takes the upper neighbour as often as the value lies near it, so that steps
arrive on average (Gupta et al. 2015, arXiv 1502.02551; for training in bf16, Zamirai et al. 2020, arXiv 2010.06192).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from loratory.networks.layer import stream_seed

HALVES = (torch.bfloat16, torch.float16)
_LOST_BITS = 16
"""Of fp32's bits, those that bf16 lacks."""


def full_copy(tensor: Tensor) -> Tensor:
    """A copy in fp32, or in its own format where that is wider."""
    tensor = tensor.detach()
    return tensor.float() if tensor.dtype in HALVES else tensor.clone()


@torch.no_grad()
def round_stochastically(values: Tensor, into: Tensor, generator: torch.Generator) -> None:
    """fp32 `values` into `into` (bf16), up or down such that the mean over draws is the value. `values` is used up.

    Adding 0 to 2^16 - 1 to the bits and cutting the lower half off carries as often as the lower half says; the sign
    stands apart in these bits, so that negative numbers are treated alike. What bf16 can hold stays what it is.
    """
    bits = values.view(torch.int32)
    bits += torch.randint(1 << _LOST_BITS, bits.shape, dtype=torch.int32, device=bits.device, generator=generator)
    bits &= -(1 << _LOST_BITS)
    into.copy_(values)


class WorkCopies:
    """What parameters of 16 bits are in a step: copies in 32 bits that live only during it.

    So optimizers calculate and remember in fp32 whatever the adapter's format; Adam's squares would never fall in
    bf16, where 0.999 · v rounds back to v. Parameters of other formats are left alone.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], seed: int, *, stochastic: bool) -> None:
        """With `stochastic`, bf16 is rounded by draws that are a function of (seed, step, number of the parameter)."""
        self._numbers = {each: number for number, each in enumerate(parameters) if each.dtype in HALVES}
        self._seed, self._stochastic = seed, stochastic
        self._generator = torch.Generator(next(iter(self._numbers)).device) if self._numbers else None

    @contextmanager
    def in_full(self, parameters: Sequence[nn.Parameter], step: int) -> Iterator[None]:
        """Within the block these parameters and their gradients are fp32; behind it the parameters are rounded, and
        have no gradients."""
        kept = {each: each.data for each in parameters if each in self._numbers}
        for parameter in kept:
            gradient, parameter.grad = parameter.grad, None
            parameter.data = parameter.data.float()
            parameter.grad = None if gradient is None else gradient.float()
        try:
            yield
        finally:
            for parameter, data in kept.items():
                self._round(parameter, data, step)
                parameter.grad = None
                parameter.data = data

    def _round(self, parameter: nn.Parameter, into: Tensor, step: int) -> None:
        if not self._stochastic or into.dtype != torch.bfloat16:
            into.copy_(parameter.data)
            return
        assert self._generator is not None
        self._generator.manual_seed(stream_seed(self._seed, f"rounding/{step}/{self._numbers[parameter]}"))
        round_stochastically(parameter.data, into, self._generator)
