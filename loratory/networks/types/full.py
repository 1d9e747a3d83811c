"""Full: the difference itself, one number for every number of the frozen weight; "native fine-tuning" as an adapter.

Stored as `diff` and, where the frozen layer has a bias, `diff_b`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from loratory.config.network import FullConfig
from loratory.networks.layer import NO_DROPOUT, DenseLayer, Dropouts, device_of, dropouts_of, take_over, weight_shape
from loratory.networks.state import LayerTensors, as_shape, misfit, stored

REQUIRED = frozenset({"diff"})
SUFFIXES = {"diff": "diff", "diff_bias": "diff_b"}


class FullLayer(DenseLayer):
    """diff in the weight's shape and diff_bias (out,)."""

    def __init__(self, base: nn.Module, bias: bool, dropouts: Dropouts = NO_DROPOUT) -> None:
        super().__init__(base, dropouts)
        shape, device = weight_shape(base), device_of(base)
        self.diff = nn.Parameter(torch.zeros(shape, device=device))
        self.diff_bias = nn.Parameter(torch.zeros(shape[0], device=device)) if bias else None

    def forward(self, x: Tensor, base_output: Tensor) -> Tensor:
        output = super().forward(x, base_output)
        if self.strength == 0 or self.diff_bias is None:
            return output
        return output + self.operation.per_output(self.diff_bias * self.amount(x)).to(output.dtype)

    def delta(self) -> Tensor:
        return self.diff.float()

    def delta_bias(self) -> Tensor | None:
        return None if self.diff_bias is None else self.diff_bias.detach().float()

    def tensors(self) -> LayerTensors:
        return stored(diff=self.diff, diff_bias=self.diff_bias)

    def load_tensors(self, tensors: LayerTensors) -> None:
        take_over(self, tensors)


def make_layer(base: nn.Module, config: FullConfig, generator: torch.Generator, path: str) -> FullLayer:
    """A fresh adapter for `base`, all zero. Raises UserError when `base` cannot have one."""
    return FullLayer(base, getattr(base, "bias", None) is not None, dropouts_of(config))


def layer_from_tensors(base: nn.Module, tensors: LayerTensors) -> FullLayer:
    """An adapter for `base` with stored differences. Raises UserError for a misfit."""
    layer = FullLayer(base, "diff_bias" in tensors)
    layer.load_tensors(tensors)
    return layer


# In files


def checked(tensors: Mapping[str, Tensor], shape: Sequence[int]) -> LayerTensors:
    """A file's tensors in fp32 and in the shapes of a weight. Raises UserError for what does not fit."""
    diff = as_shape(tensors["diff"], shape)
    bias = as_shape(tensors["diff_bias"], shape[:1]) if "diff_bias" in tensors else None
    if diff is None or ("diff_bias" in tensors and bias is None):
        raise misfit(tensors, shape)
    return stored(diff=diff, diff_bias=bias)


def fuse(parts: Sequence[LayerTensors | None], rows: Sequence[int]) -> LayerTensors | None:
    """The parts' differences one under the other, zeros where a part has none."""
    first = next(part for part in parts if part is not None)
    fused: dict[str, Tensor | float | None] = {}
    for name in ("diff", "diff_bias"):
        if any(part is not None and name in part for part in parts):
            fused[name] = torch.cat([
                part[name] if part is not None and name in part
                else torch.zeros(height, *first["diff"].shape[1:] if name == "diff" else ())
                for part, height in zip(parts, rows, strict=True)
            ])  # fmt: skip
    return stored(**fused)


def split(fused: LayerTensors, rows: Sequence[int]) -> list[LayerTensors]:
    """Rows of the differences."""
    pieces = {name: tensor.split(list(rows)) for name, tensor in fused.items()}
    return [{name: part[turn].clone() for name, part in pieces.items()} for turn in range(len(rows))]
