"""A change of the frozen layer's bias beside any other adapter, W' x + b + Δb: stored as `diff_b`.

It comes with `full`, which changes all numbers of a layer, and with files of other programs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from loratory.errors import UserError
from loratory.networks.layer import AdapterLayer, device_of, operation_of
from loratory.networks.state import LayerTensors, stored

NAME = "diff_bias"
SUFFIXES = {NAME: "diff_b"}


class BiasedLayer(AdapterLayer):
    """An inner adapter and diff_bias (out,)."""

    def __init__(self, base: nn.Module, inner: AdapterLayer) -> None:
        super().__init__(inner.dropouts)
        bias = getattr(base, "bias", None)
        if not isinstance(bias, Tensor):
            raise UserError("it changes a bias, and the model's layer has none; it was made for another model.")
        self.inner = inner
        self.operation = operation_of(base)
        self.diff_bias = nn.Parameter(torch.zeros(bias.shape, device=device_of(base)))

    @property
    def draws(self) -> bool:
        return self.inner.draws

    def set_dropout_seed(self, seed: int) -> None:
        super().set_dropout_seed(seed)
        self.inner.set_dropout_seed(seed)

    def forward(self, x: Tensor, base_output: Tensor) -> Tensor:
        if self.strength == 0:
            return base_output
        self.inner.strength = self.strength
        change = self.operation.per_output(self.diff_bias * self.amount(x))
        return self.inner(x, base_output) + change.to(base_output.dtype)

    def delta(self) -> Tensor:
        return self.inner.delta()

    def delta_bias(self) -> Tensor:
        return self.diff_bias.detach().float()

    def tensors(self) -> LayerTensors:
        return self.inner.tensors() | stored(diff_bias=self.diff_bias)

    @torch.no_grad()
    def load_tensors(self, tensors: LayerTensors) -> None:
        if NAME not in tensors or tensors[NAME].shape != self.diff_bias.shape:
            raise UserError(f"its change of the bias is missing or has not the {len(self.diff_bias)} numbers of here.")
        self.inner.load_tensors({name: tensor for name, tensor in tensors.items() if name != NAME})
        self.diff_bias.copy_(tensors[NAME])


def checked(change: Tensor, outputs: int) -> Tensor:
    """A file's change of a bias, (out,) in fp32. Raises UserError for another number."""
    if change.numel() != outputs:
        raise UserError(f"its change of the bias {tuple(change.shape)} does not fit the model's {outputs} outputs.")
    return change.to(torch.float32).flatten().contiguous()


def wrap(base: nn.Module, inner: AdapterLayer, change: Tensor | None = None) -> BiasedLayer:
    """Put a change of the bias beside an adapter: none yet, or a stored one. Raises UserError without a bias."""
    layer = BiasedLayer(base, inner)
    if change is not None:
        with torch.no_grad():
            layer.diff_bias.copy_(change)
    return layer
