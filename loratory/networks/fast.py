"""The fast path of plain LoRA: a frozen Linear and its adapter in one operation, y = x·Wᵀ + bias + s·(x·Aᵀ)·Bᵀ.

Layers that read the same input (q, k and v) are computed together when the first of them is called: one product with
all their A, one gradient of the input. Only x and x·Aᵀ are kept for the backward pass. The result is that of
`LoraLayer.forward` within rounding; wherever something else is asked for (dropout, another type or number format, a
compiler, strength 0) the plain form does the work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from loratory.networks.layer import FLOATS, AdapterLayer, Packed, dtype_of
from loratory.networks.types.lora import LoraLayer

Forward = Callable[..., Tensor]

SMALL = 2**17
"""Numbers in an input below which Python in the backward pass costs more than it saves."""


class _Together(torch.autograd.Function):
    """Frozen layers with one input, and their adapters. The frozen weights get no gradient."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, frozen: Sequence[nn.Linear], scales: Sequence[float], *factors: Tensor
    ) -> tuple[Tensor, ...]:
        """x (…, in); `factors` are all A (rank, in), then all B (out, rank). One output (…, out) for each layer."""
        count = len(frozen)
        down = factors[0] if count == 1 else torch.cat(factors[:count])
        ups = factors[count:]
        if x.dtype != down.dtype:
            down, ups = down.to(x.dtype), tuple(up.to(x.dtype) for up in ups)
        flat = x.reshape(-1, x.shape[-1])
        hidden = F.linear(flat, down)
        outputs = []
        for base, scale, up, part in zip(frozen, scales, ups, _parts(hidden, ups), strict=True):
            output = F.linear(flat, base.weight, base.bias).addmm_(part, up.t(), alpha=scale)
            outputs.append(output.view(*x.shape[:-1], -1))
        ctx.save_for_backward(flat, hidden, down, *ups)
        ctx.frozen, ctx.scales, ctx.shape, ctx.dtype = frozen, scales, x.shape, factors[0].dtype
        ctx.set_materialize_grads(False)
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError("the fast path of LoRA has no second derivative")
        flat, hidden, down, *ups = ctx.saved_tensors
        of_hidden = torch.empty_like(hidden)
        of_input: Tensor | None = None
        of_ups: list[Tensor | None] = []
        layers = zip(ctx.frozen, ctx.scales, gradients, ups, _parts(hidden, ups), _parts(of_hidden, ups), strict=True)
        for base, scale, gradient, up, part, of_part in layers:
            if gradient is None:
                of_part.zero_()
                of_ups.append(None)
                continue
            rows = gradient.reshape(-1, gradient.shape[-1])
            # beta = 0: what is added to is not read, but only this form of a product has a factor.
            torch.addmm(of_part, rows, up, beta=0, alpha=scale, out=of_part)
            of_ups.append(torch.addmm(up, rows.t(), part, beta=0, alpha=scale))
            if ctx.needs_input_grad[0]:
                of_input = rows.mm(base.weight) if of_input is None else of_input.addmm_(rows, base.weight)
        if of_input is not None:
            of_input = of_input.addmm_(of_hidden, down).view(ctx.shape)
        of_down = of_hidden.t().mm(flat)
        if of_down.dtype != ctx.dtype:
            of_down = of_down.to(ctx.dtype)
            of_ups = [None if of_up is None else of_up.to(ctx.dtype) for of_up in of_ups]
        of_downs = (of_down,) if len(ups) == 1 else of_down.split([up.shape[1] for up in ups])
        return of_input, None, None, *of_downs, *of_ups


def _small(x: Tensor, frozen: Sequence[nn.Linear], scales: Sequence[float], *factors: Tensor) -> Sequence[Tensor]:
    """The same in the library's own operations, which keep the same for the backward pass.

    They add once more in the gradient of x, but need no Python there.
    """
    count = len(frozen)
    down = factors[0] if count == 1 else torch.cat(factors[:count])
    ups = factors[count:]
    if x.dtype != down.dtype:
        down, ups = down.to(x.dtype), tuple(up.to(x.dtype) for up in ups)
    flat = x.reshape(-1, x.shape[-1])
    parts = _parts(F.linear(flat, down), ups)
    return [
        torch.addmm(F.linear(flat, base.weight, base.bias), part, up.t(), alpha=scale).view(*x.shape[:-1], -1)
        for base, scale, up, part in zip(frozen, scales, ups, parts, strict=True)
    ]


def _parts(hidden: Tensor, ups: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Each layer's own ranks of (tokens, all ranks)."""
    return (hidden,) if len(ups) == 1 else hidden.split([up.shape[1] for up in ups], dim=1)


@dataclass(frozen=True)
class Adapted:
    """A frozen layer with its adapter, and the plain form of both."""

    layer: AdapterLayer
    base: nn.Module
    plain: Forward


def can_be_fast(layer: AdapterLayer, base: nn.Module) -> bool:
    """Is it plain LoRA on an ordinary frozen Linear that nobody else has changed?"""
    return (
        type(layer) is LoraLayer
        and isinstance(base, nn.Linear)
        and (type(base) is nn.Linear or isinstance(base, Packed))
        and "forward" not in base.__dict__
        and dtype_of(base) in FLOATS
        and not any(parameter.requires_grad for parameter in base.parameters())
    )


class SharedInput:
    """Layers that read the same input. The first one called with it computes all; the others take theirs."""

    def __init__(self, members: Sequence[Adapted]) -> None:
        self.members = tuple(members)
        self._layers = [member.layer for member in members if isinstance(member.layer, LoraLayer)]
        self._frozen = [member.base for member in members if isinstance(member.base, nn.Linear)]
        assert len(self._layers) == len(self._frozen) == len(self.members)
        # Of packed weights the library's own operations would keep the unpacked ones for the backward pass.
        self._packed_dtype = next((base.compute_dtype for base in self._frozen if isinstance(base, Packed)), None)
        self._factors = [layer.down for layer in self._layers] + [layer.up for layer in self._layers]
        self._input: Tensor | None = None
        self._circumstances: object = None
        self._waiting: dict[int, Tensor] = {}

    def forward_of(self, number: int) -> Forward:
        """What stands in for the forward of one of the frozen layers."""
        plain = self.members[number].plain

        def forward(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            if args or kwargs or torch.compiler.is_compiling():
                return plain(x, *args, **kwargs)
            if x is self._input and number in self._waiting and self._circumstances == _circumstances(x):
                output = self._waiting.pop(number)
                if not self._waiting:
                    self._input = None
                return output
            return self._compute(number, x) if self._applies(x) else plain(x)

        return forward

    def _applies(self, x: Tensor) -> bool:
        dtype = self._packed_dtype or self._frozen[0].weight.dtype
        if x.dtype != dtype or x.ndim < 2 or torch.is_autocast_enabled(x.device.type):
            return False
        for layer in self._layers:
            if layer.strength == 0 or layer.has_start or (layer.training and layer.dropouts):
                return False
        return True

    def _compute(self, number: int, x: Tensor) -> Tensor:
        scales = [layer.scale * layer.strength for layer in self._layers]
        run = _small if x.numel() < SMALL and self._packed_dtype is None else _Together.apply
        outputs: Sequence[Tensor] = run(x, self._frozen, scales, *self._factors)
        if len(outputs) > 1:
            self._input, self._circumstances = x, _circumstances(x)
            self._waiting = {other: each for other, each in enumerate(outputs) if other != number}
        return outputs[number]


def _circumstances(x: Tensor) -> tuple[bool, int | None]:
    """What must not have changed between two calls with the same tensor."""
    return torch.is_grad_enabled(), None if x.is_inference() else x._version


def fast_forwards(group: Sequence[Adapted]) -> list[Forward]:
    """Stand-ins for the forwards of frozen layers that read the same input; the plain ones where it doesn't apply."""
    fitting = [member for member in group if can_be_fast(member.layer, member.base)]
    shared = SharedInput(fitting) if fitting else None
    return [
        shared.forward_of(fitting.index(member)) if shared is not None and member in fitting else member.plain
        for member in group
    ]
