"""DoRA: another adapter changes a weight's direction, and a number of its own for each output says how long it is.

W' = m · (W + ΔW) / ‖W + ΔW‖, Liu et al. 2024 (arXiv 2402.09353). The length is taken over the inputs of each output;
older files have one number for each input, with the length over the outputs, and are loaded too. Strength λ means
W + λ (W' - W).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from loratory.errors import UserError
from loratory.networks.layer import AdapterLayer, Dropouts, Frozen, operation_of, weight_shape
from loratory.networks.state import LayerTensors, stored

NAME = "dora_scale"
SUFFIXES = {NAME: NAME}


class DoraLayer(AdapterLayer):
    """An inner adapter and `magnitude`, (out,) or, for older files, (in,)."""

    magnitude: nn.Parameter

    def __init__(self, base: nn.Module, inner: AdapterLayer, on_input: bool = False) -> None:
        super().__init__(Dropouts(module=inner.dropouts.module))
        inner.dropouts = Dropouts(inner.dropouts.inner, inner.dropouts.rank)
        self.inner = inner
        self.on_input = on_input
        self.shape = weight_shape(base)
        self.operation = operation_of(base)
        self.frozen = Frozen(base)
        with torch.no_grad():
            self.magnitude = nn.Parameter(self.lengths().detach().clone())

    def lengths(self) -> Tensor:
        """‖W + ΔW‖, (out,) or (in,), in fp32."""
        if not self.on_input:
            return self.inner.row_norms(self.frozen.weight())
        return (self.frozen.weight() + self.inner.delta()).transpose(0, 1).flatten(1).norm(dim=1)

    def _factors(self) -> Tensor:
        return self.magnitude.float() / self.lengths().clamp(min=torch.finfo(torch.float32).tiny)

    @property
    def draws(self) -> bool:
        return bool(self.dropouts) or self.inner.draws

    def set_dropout_seed(self, seed: int) -> None:
        super().set_dropout_seed(seed)
        self.inner.set_dropout_seed(seed)

    def forward(self, x: Tensor, base_output: Tensor) -> Tensor:
        if self.strength == 0:
            return base_output
        dtype = base_output.dtype
        factors = self.operation.per_output(self._factors()).to(dtype)
        if self.on_input:
            scaled = x.to(dtype) * factors
            changed = self.inner(scaled, self.operation(scaled, self.frozen.weight().to(dtype)))
            return base_output + self.amount(x) * (changed - self.frozen.without_bias(base_output, self.operation))
        plain = self.frozen.without_bias(base_output, self.operation)
        changed = self.inner(x, plain) * factors
        return base_output + self.amount(x) * (changed - plain)

    def delta(self) -> Tensor:
        weight = self.frozen.weight()
        size = [1] * weight.ndim
        size[int(self.on_input)] = -1
        return (weight + self.inner.delta()) * self._factors().view(size) - weight

    def tensors(self) -> LayerTensors:
        size = [1] * len(self.shape)
        size[int(self.on_input)] = -1
        return self.inner.tensors() | stored(dora_scale=self.magnitude.view(size))

    @torch.no_grad()
    def load_tensors(self, tensors: LayerTensors) -> None:
        if NAME not in tensors or tensors[NAME].numel() != self.magnitude.numel():
            raise UserError("its dora_scale is missing or of another size; set `decompose` as it was trained with.")
        self.inner.load_tensors({name: tensor for name, tensor in tensors.items() if name != NAME})
        self.magnitude.copy_(tensors[NAME].flatten())


def is_on_input(scale: Tensor, shape: Sequence[int]) -> bool:
    """Has a stored dora_scale one number for each input? Told by the axis that is not 1, else by the size."""
    if scale.ndim >= 2 and scale.shape[0] != scale.shape[1]:
        return scale.shape[0] == 1
    return scale.numel() != shape[0]


def checked(scale: Tensor, shape: Sequence[int]) -> Tensor:
    """A file's dora_scale in fp32, with the axes of the weight. Raises UserError for what does not fit."""
    on_input = is_on_input(scale, shape)
    if scale.numel() != shape[int(on_input)]:
        raise UserError(f"dora_scale {tuple(scale.shape)} does not fit the model's weight {tuple(shape)}.")
    size = [1] * len(shape)
    size[int(on_input)] = -1
    return scale.to(torch.float32).reshape(size).contiguous()


def wrap(base: nn.Module, inner: AdapterLayer, tensors: Mapping[str, Tensor] | None = None) -> DoraLayer:
    """Put a magnitude around an adapter: that of the frozen weight, or a stored one."""
    if tensors is None:
        return DoraLayer(base, inner)
    scale = tensors[NAME]
    layer = DoraLayer(base, inner, is_on_input(scale, weight_shape(base)))
    with torch.no_grad():
        layer.magnitude.copy_(scale.flatten())
    return layer
