"""Frozen layers whose weights are kept in 8 bits and unpacked where they are used.

A weight w is kept as q · 2^k, q in an 8-bit float and one k for each output, so that its largest number uses the
format's range. Powers of two round nothing: what is unpacked is exactly q · 2^k in every wider format, and a weight
that was in such a format before comes back as it was.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_input

FORMATS = {"fp8_e4m3": torch.float8_e4m3fn, "fp8_e5m2": torch.float8_e5m2}

_IN_A_BLOCK = re.compile(r"\.\d+\.")
"""Blocks are numbered. What stands outside of them (first and last layers, embeddings of time) is small and matters."""


def pack(weight: Tensor, form: torch.dtype) -> tuple[Tensor, Tensor]:
    """q in the shape of `weight`, and 2^k in its format with one number for each output, that multiply to it."""
    largest = weight.detach().float().flatten(1).abs().amax(dim=1)
    # The smallest power of two that brings the largest number into range; of a row of zeros, 1.
    exponent = torch.frexp(largest / torch.finfo(form).max)
    power = torch.where(exponent.mantissa == 0.5, exponent.exponent - 1, exponent.exponent)
    # Not below what the format can hold as a full number: what is smaller there is as good as zero.
    least = math.frexp(torch.finfo(weight.dtype).tiny)[1] - 1
    power = torch.where(largest > 0, power, 0).clamp(min=least)
    factors = torch.ldexp(torch.ones_like(largest), power).view(-1, *(1,) * (weight.ndim - 1))
    return (weight.detach().float() / factors).to(form), factors.to(weight.dtype)


class _FrozenProduct(torch.autograd.Function):
    """A frozen layer whose weight is unpacked anew in the backward pass: kept until then, all of them would be there at
    once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: PackedLinear | PackedConv2d) -> Tensor:
        ctx.layer, ctx.shape = layer, x.shape
        return layer.apply_weight(x, layer.weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None]:
        return (ctx.layer.input_gradient(gradient, ctx.shape) if ctx.needs_input_grad[0] else None), None


class _Packed(nn.Module):
    """What a layer needs that was a plain frozen one before. `weight` reads as ever, so nobody sees q without 2^k."""

    packed: Tensor
    factors: Tensor

    @property
    def weight(self) -> Tensor:
        """In the format of the arithmetic; made anew at each use."""
        return self.packed.to(self.factors.dtype) * self.factors

    @property
    def compute_dtype(self) -> torch.dtype:
        """The format of `weight`, without making it."""
        return self.factors.dtype

    def set_weight(self, weight: Tensor) -> None:
        """Keep another weight, in any format; it is rounded to 8 bits."""
        packed, factors = pack(weight, self.packed.dtype)
        self.packed.copy_(packed)
        self.factors.copy_(factors)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, _FrozenProduct.apply(x, self))


class PackedLinear(_Packed, nn.Linear):  # type: ignore[override]
    """y = x·Wᵀ + bias."""

    def apply_weight(self, x: Tensor, weight: Tensor) -> Tensor:
        """The layer's output with this weight."""
        return F.linear(x, weight, self.bias)

    def input_gradient(self, gradient: Tensor, shape: torch.Size) -> Tensor:
        """Of the input, which had this shape."""
        return gradient @ self.weight


class PackedConv2d(_Packed, nn.Conv2d):  # type: ignore[override]
    """A convolution with zero padding."""

    def apply_weight(self, x: Tensor, weight: Tensor) -> Tensor:
        """The layer's output with this weight."""
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def input_gradient(self, gradient: Tensor, shape: torch.Size) -> Tensor:
        """Of the input, which had this shape."""
        padding = cast(tuple[int, int], self.padding)
        return conv2d_input(shape, self.weight, gradient, self.stride, padding, self.dilation, self.groups)


def can_be_packed(layer: nn.Module) -> bool:
    """Is it an ordinary Linear, or a convolution with zero padding?"""
    if type(layer) is nn.Conv2d:
        return layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return type(layer) is nn.Linear


def pack_weights(module: nn.Module, form: torch.dtype, full_if_contains: Sequence[str] = ()) -> list[str]:
    """Keep the weights of the layers inside of the module's blocks in 8 bits, in place. Returns their paths.

    Layers with one of `full_if_contains` in their path stay as they are. Paths, names of modules and hooks do not
    change; in the state_dict `packed` and `factors` stand for `weight`.
    """
    paths = []
    for path, layer in module.named_modules():
        if not can_be_packed(layer) or not _IN_A_BLOCK.search(path) or any(text in path for text in full_if_contains):
            continue
        packed, factors = pack(cast(Tensor, layer.weight), form)
        del layer.weight
        layer.register_buffer("packed", packed)
        layer.register_buffer("factors", factors)
        # The layer itself, so that whoever holds it (a parent, a hook) need not be told.
        layer.__class__ = PackedLinear if isinstance(layer, nn.Linear) else PackedConv2d
        paths.append(path)
    return paths
