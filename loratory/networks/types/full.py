"""Full: the difference itself, one number for every number of the frozen weight; "native fine-tuning" as an adapter.

Stored as `diff` and, where the frozen layer has a bias, `diff_b` (`types/bias.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from loratory.config.network import FullConfig
from loratory.networks.layer import NO_DROPOUT, DenseLayer, Dropouts, device_of, dropouts_of, take_over, weight_shape
from loratory.networks.state import LayerTensors, as_shape, misfit, stored

REQUIRED = frozenset({"diff"})
SUFFIXES = {"diff": "diff"}


class FullLayer(DenseLayer):
    """diff in the weight's shape. `types/bias.py` has the bias' part."""

    def __init__(self, base: nn.Module, dropouts: Dropouts = NO_DROPOUT) -> None:
        super().__init__(base, dropouts)
        self.diff = nn.Parameter(torch.zeros(weight_shape(base), device=device_of(base)))

    def delta(self) -> Tensor:
        return self.diff.float()

    def tensors(self) -> LayerTensors:
        return stored(diff=self.diff)

    def load_tensors(self, tensors: LayerTensors) -> None:
        take_over(self, tensors)


def make_layer(base: nn.Module, config: FullConfig, generator: torch.Generator, path: str) -> FullLayer:
    """A fresh adapter for `base`, all zero. Raises UserError when `base` cannot have one."""
    return FullLayer(base, dropouts_of(config))


def layer_from_tensors(base: nn.Module, tensors: LayerTensors) -> FullLayer:
    """An adapter for `base` with stored differences. Raises UserError for a misfit."""
    layer = FullLayer(base)
    layer.load_tensors(tensors)
    return layer


# In files


def checked(tensors: Mapping[str, Tensor], shape: Sequence[int]) -> LayerTensors:
    """A file's tensors in fp32 and in the shapes of a weight. Raises UserError for what does not fit."""
    diff = as_shape(tensors["diff"], shape)
    if diff is None:
        raise misfit(tensors, shape)
    return stored(diff=diff)


def fuse(parts: Sequence[LayerTensors | None], rows: Sequence[int]) -> LayerTensors | None:
    """The parts' differences one under the other, zeros where a part has none."""
    inner = next(part["diff"].shape[1:] for part in parts if part is not None)
    return stored(
        diff=torch.cat([torch.zeros(height, *inner) if part is None else part["diff"]
                        for part, height in zip(parts, rows, strict=True)])
    )  # fmt: skip


def split(fused: LayerTensors, rows: Sequence[int]) -> list[LayerTensors]:
    """Rows of the difference."""
    return [stored(diff=part) for part in fused["diff"].split(list(rows))]
