"""The layers: a Linear or Conv2d in place of which a packed one stands, under the same name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_input

from loratory.models.common.storage.base import Format

_IN_A_BLOCK = re.compile(r"\.\d+\.")
"""Blocks are numbered. What stands outside of them (first and last layers, embeddings of time) is small and matters."""


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
    """What a layer needs that was a plain frozen one before. `weight` reads as ever, so nobody sees what is kept."""

    form: Format
    kept: tuple[str, ...]
    """The names of the buffers that stand for the weight."""
    compute_dtype: torch.dtype
    """The format of `weight`."""
    full_shape: torch.Size
    """Its shape."""

    @property
    def weight(self) -> Tensor:
        """In the format of the arithmetic; made anew at each use."""
        kept = {name: self._buffers[name] for name in self.kept}
        return self.form.unpack(cast(Mapping[str, Tensor], kept), self.full_shape, self.compute_dtype)

    def set_weight(self, weight: Tensor) -> None:
        """Keep another weight, in any format; it is rounded as the first one was."""
        for name, tensor in self.form.pack(weight.to(self.compute_dtype)).items():
            self.get_buffer(name).copy_(tensor)

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


def pack_weights(
    module: nn.Module,
    form: Format | None,
    full_if_contains: Sequence[str] = (),
    own: Mapping[str, Format] | None = None,
    device: torch.device | None = None,
) -> list[str]:
    """Keep the weights of the layers inside of the module's blocks in a format, in place. Returns their paths.

    Layers with one of `full_if_contains` in their path stay as they are, and so do all without `form`. Those in `own`,
    wherever they stand, get that format; they have to be such that `can_be_packed`. Each is packed on `device`, if it
    is given, comes back, and its full weight is let go of before the next one's turn. Paths, names of modules and hooks
    do not change; in the state_dict what is kept stands for `weight`.
    """
    own = own or {}
    chosen = {}
    for path, layer in module.named_modules():
        is_usual = _IN_A_BLOCK.search(path) and not any(text in path for text in full_if_contains)
        its_form = own.get(path, form if is_usual else None)
        if its_form is not None and can_be_packed(layer):
            chosen[path] = (layer, its_form)
    for layer, its_form in chosen.values():
        _pack_layer(layer, its_form, device)
    return list(chosen)


def _pack_layer(layer: nn.Module, form: Format, device: torch.device | None) -> None:
    weight = cast(Tensor, layer.weight)
    kept = form.pack(weight.to(device or weight.device))
    del layer.weight
    for name, tensor in kept.items():
        layer.register_buffer(name, tensor.to(weight.device))
    # The layer itself, so that whoever holds it (a parent, a hook) need not be told.
    layer.__class__ = PackedLinear if isinstance(layer, nn.Linear) else PackedConv2d
    packed = cast(_Packed, layer)
    packed.form, packed.kept = form, tuple(kept)
    packed.compute_dtype, packed.full_shape = weight.dtype, weight.shape
