"""The scales and shifts of normalisation layers, trained beside the other adapters: stored as `w_norm` and `b_norm`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from loratory.errors import UserError
from loratory.networks.layer import AdapterLayer, device_of, take_over
from loratory.networks.state import LayerTensors, as_shape, misfit, stored

REQUIRED = frozenset[str]()
"""Either number may be there alone; `recognised` tells."""
SUFFIXES = {"w_norm": "w_norm", "b_norm": "b_norm"}
NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def recognised(names: frozenset[str], tensors: Mapping[str, Tensor]) -> bool:
    return bool(names & {"w_norm", "b_norm"})


def has_scale(module: nn.Module) -> bool:
    """Is it a normalisation with numbers of its own to train?"""
    return isinstance(module, NORMS) and module.weight is not None


class NormLayer(AdapterLayer):
    """w_norm and, where the frozen layer has a shift, b_norm, in the shape of the layer's own.

    A normalisation is linear in its scale and shift, so the change is the same normalisation with the change's numbers.
    """

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        if not has_scale(base):
            raise UserError(f"a {type(base).__name__} without a scale has nothing to train.")
        assert isinstance(base, NORMS)
        shape, device = base.weight.shape, device_of(base)
        self.w_norm = nn.Parameter(torch.zeros(shape, device=device))
        shifted = getattr(base, "bias", None) is not None
        self.b_norm = nn.Parameter(torch.zeros(shape, device=device)) if shifted else None
        self.groups = base.num_groups if isinstance(base, nn.GroupNorm) else None
        self.is_rms = isinstance(base, nn.RMSNorm)
        self.eps = base.eps

    def forward(self, x: Tensor, base_output: Tensor) -> Tensor:
        if self.strength == 0:
            return base_output
        dtype = base_output.dtype
        amount = self.amount(x)
        scale = (self.w_norm * amount).to(dtype)
        shift = None if self.b_norm is None else (self.b_norm * amount).to(dtype)
        x = x.to(dtype)
        if self.groups is not None:
            return base_output + F.group_norm(x, self.groups, scale, shift, self.eps or 1e-5)
        if self.is_rms:
            return base_output + F.rms_norm(x, self.w_norm.shape, scale, self.eps)
        return base_output + F.layer_norm(x, self.w_norm.shape, scale, shift, self.eps or 1e-5)

    def delta(self) -> Tensor:
        return self.w_norm.float()

    def delta_bias(self) -> Tensor | None:
        return None if self.b_norm is None else self.b_norm.detach().float()

    def tensors(self) -> LayerTensors:
        return stored(w_norm=self.w_norm, b_norm=self.b_norm)

    def load_tensors(self, tensors: LayerTensors) -> None:
        take_over(self, tensors)


def layer_from_tensors(base: nn.Module, tensors: LayerTensors) -> NormLayer:
    """An adapter for `base` with stored numbers; without a shift of theirs, the shift stays. Raises UserError for a
    misfit."""
    layer = NormLayer(base)
    if layer.b_norm is not None and "b_norm" not in tensors:
        tensors = tensors | stored(b_norm=torch.zeros_like(layer.b_norm))
    layer.load_tensors(tensors)
    return layer


# In files


def checked(tensors: Mapping[str, Tensor], shape: Sequence[int]) -> LayerTensors:
    """A file's tensors in fp32. Raises UserError for what does not fit."""
    result = {name: as_shape(tensor, shape) for name, tensor in tensors.items()}
    if len(shape) != 1 or any(tensor is None for tensor in result.values()):
        raise misfit(tensors, shape)
    return stored(**{"w_norm": torch.zeros(tuple(shape)), **result})
