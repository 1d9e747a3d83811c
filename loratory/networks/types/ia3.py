"""(IA)³: one learned factor per output, or per input, of a layer: W' = W · (1 + v).

Liu et al. 2022 (arXiv 2205.05638): keys, values and the activations between the two layers of an MLP. It has very few
numbers, so it wants a learning rate of about a hundred times the usual one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from loratory.config.network import Ia3Config
from loratory.errors import UserError
from loratory.networks.layer import (
    NO_DROPOUT,
    AdapterLayer,
    Dropouts,
    Frozen,
    device_of,
    dropouts_of,
    operation_of,
    take_over,
    weight_shape,
)
from loratory.networks.state import LayerTensors, misfit, stored

REQUIRED = frozenset({"weight", "on_input"})
SUFFIXES = {"weight": "weight", "on_input": "on_input"}


class Ia3Layer(AdapterLayer):
    """weight (out,) or, on the input, (in,); of a convolution stored as (1, n, 1, 1)."""

    def __init__(self, base: nn.Module, on_input: bool, dropouts: Dropouts = NO_DROPOUT) -> None:
        super().__init__(dropouts)
        self.operation = operation_of(base)
        self.frozen = Frozen(base)
        self.on_input = on_input
        self.weight = nn.Parameter(torch.zeros(weight_shape(base)[int(on_input)], device=device_of(base)))

    def forward(self, x: Tensor, base_output: Tensor) -> Tensor:
        if self.strength == 0:
            return base_output
        dtype = base_output.dtype
        factor = self.operation.per_output(self.drop_rows(self.drop_inner(self.weight)) * self.amount(x)).to(dtype)
        if self.on_input:
            return base_output + self.operation(x.to(dtype) * factor, self.frozen.weight().to(dtype))
        return base_output + self.frozen.without_bias(base_output, self.operation) * factor

    def delta(self) -> Tensor:
        weight = self.frozen.weight()
        size = [1] * weight.ndim
        size[int(self.on_input)] = -1
        return weight * self.weight.float().view(size)

    def tensors(self) -> LayerTensors:
        size = (-1,) if self.operation.convolution is None else (1, -1, 1, 1)
        return stored(weight=self.weight.view(size), on_input=float(self.on_input))

    def load_tensors(self, tensors: LayerTensors) -> None:
        if bool(tensors["on_input"]) != self.on_input:
            sides = ("outputs", "inputs")[:: -1 if self.on_input else 1]
            raise UserError(f"its factors are on the {sides[1]}, here they are on the {sides[0]}; set train_on_input.")
        take_over(self, tensors | {"weight": tensors["weight"].flatten()})


def make_layer(base: nn.Module, config: Ia3Config, generator: torch.Generator, path: str) -> Ia3Layer:
    """A fresh adapter for `base`, all zero; on its input where the config's patterns match the path."""
    on_input = any(re.search(pattern, path) for pattern in config.train_on_input)
    return Ia3Layer(base, on_input, dropouts_of(config))


def layer_from_tensors(base: nn.Module, tensors: LayerTensors) -> Ia3Layer:
    """An adapter for `base` with stored factors. Raises UserError for a misfit."""
    layer = Ia3Layer(base, bool(tensors["on_input"]))
    layer.load_tensors(tensors)
    return layer


# In files


def checked(tensors: Mapping[str, Tensor], shape: Sequence[int]) -> LayerTensors:
    """A file's tensors in fp32 and in the shapes of a weight. Raises UserError for what does not fit."""
    on_input = bool(tensors["on_input"])
    weight = tensors["weight"].to(torch.float32)
    if weight.numel() != shape[int(on_input)]:
        raise misfit(tensors, shape)
    return stored(weight=weight.reshape((1, -1, 1, 1) if len(shape) > 2 else (-1,)), on_input=float(on_input))


def fuse(parts: Sequence[LayerTensors | None], rows: Sequence[int]) -> LayerTensors | None:
    """Factors of outputs one after the other, zeros where a part has none; of inputs only where all parts agree."""
    present = [part for part in parts if part is not None]
    if not any(bool(part["on_input"]) for part in present):
        return stored(
            weight=torch.cat([part["weight"] if part is not None else torch.zeros(height)
                              for part, height in zip(parts, rows, strict=True)]),
            on_input=0.0,
        )  # fmt: skip
    same = all(torch.equal(part["weight"], present[0]["weight"]) for part in present)
    return stored(**present[0]) if same and len(present) == len(parts) else None


def split(fused: LayerTensors, rows: Sequence[int]) -> list[LayerTensors]:
    """Rows of the factors of outputs; copies of those of inputs."""
    if bool(fused["on_input"]):
        return [stored(**fused) for _ in rows]
    return [stored(weight=part, on_input=0.0) for part in fused["weight"].split(list(rows))]
