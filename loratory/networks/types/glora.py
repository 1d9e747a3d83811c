"""GLoRA: the frozen weight is reshaped by a low-rank map of its inputs, and a low-rank change is added.

W' = W + (alpha / rank) · (W · a1 · a2 + b1 · b2). After Chavan et al. 2023 (arXiv 2306.07967), in the form that LyCORIS
trains.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from loratory.config.network import GloraConfig
from loratory.config.network_shapes import glora_shapes, is_larger, rank_of
from loratory.errors import UserError
from loratory.networks.layer import (
    NO_DROPOUT,
    DenseLayer,
    Dropouts,
    Frozen,
    alpha_factor,
    device_of,
    dropouts_of,
    take_over,
    weight_shape,
)
from loratory.networks.state import LayerTensors, alpha_of, fitted, misfit, stored

REQUIRED = frozenset({"a1", "a2", "b1", "b2"})
SUFFIXES = {name: f"{name}.weight" for name in ("a1", "a2", "b1", "b2")} | {"alpha": "alpha"}


class GloraLayer(DenseLayer):
    """a1 (in, rank), a2 (rank, in), b1 (out, rank), b2 (rank, in, kh, kw); of a convolution the others end in ones."""

    SCALED = ("a1", "b1")

    def __init__(self, base: nn.Module, rank: int, alpha: float, dropouts: Dropouts = NO_DROPOUT) -> None:
        super().__init__(base, dropouts)
        self.frozen = Frozen(base)
        self.shape = weight_shape(base)
        self.alpha, self.scale, self.divisor = alpha, alpha / rank, rank
        for name, size in glora_shapes(self.shape, rank).items():
            self.register_parameter(name, nn.Parameter(torch.zeros(size, device=device_of(base))))

    @torch.no_grad()
    def begin(self, generator: torch.Generator) -> None:
        """a1 and b1 random, a2 and b2 zero."""
        for name in ("a1", "b1"):
            parameter = self.get_parameter(name)
            fresh = torch.empty(parameter.shape)
            nn.init.kaiming_uniform_(fresh, a=math.sqrt(5), generator=generator)
            parameter.copy_(fresh)

    def delta(self) -> Tensor:
        a1, a2, b1, b2 = (self.get_parameter(name).float().flatten(1) for name in ("a1", "a2", "b1", "b2"))
        weight = self.frozen.weight()
        # The map acts on the inputs, for every place of the kernel alike.
        mapped = torch.einsum("oi...,ir,rj->oj...", weight, a1, a2)
        return self.scale * (mapped + (b1 @ b2).view(self.shape))

    def tensors(self) -> LayerTensors:
        return stored(**dict(self.named_parameters()), alpha=self.alpha)

    def load_tensors(self, tensors: LayerTensors) -> None:
        take_over(self, tensors, factor=alpha_factor(tensors, self.alpha), scaled=self.SCALED)


def make_layer(base: nn.Module, config: GloraConfig, generator: torch.Generator, path: str) -> GloraLayer:
    """A fresh adapter for `base` as the config wants it. Raises UserError when `base` cannot have one."""
    larger = is_larger(weight_shape(base))
    rank = rank_of(config, weight_shape(base))
    alpha = config.resolved_conv_alpha() if larger else config.resolved_alpha()
    if rank < 1:
        raise UserError(f"the rank is {rank}; it must be at least 1.")
    layer = GloraLayer(base, rank, alpha, dropouts_of(config, larger))
    layer.begin(generator)
    return layer


def layer_from_tensors(base: nn.Module, tensors: LayerTensors) -> GloraLayer:
    """An adapter for `base` with the rank, alpha and weights of stored tensors. Raises UserError for a misfit."""
    layer = GloraLayer(base, tensors["a2"].shape[0], float(tensors["alpha"]))
    layer.load_tensors(tensors)
    return layer


# In files


def checked(tensors: Mapping[str, Tensor], shape: Sequence[int]) -> LayerTensors:
    """A file's tensors in fp32 and in the shapes of a weight. Raises UserError for what does not fit.

    In files of LyCORIS before version 3 the two letters' numbers have each other's part, which shows in the shapes.
    """
    plain = {name: tensors[name] for name in ("a1", "a2", "b1", "b2")}
    if plain["a1"].shape[1] == shape[1] and plain["b2"].shape[0] == shape[0] and plain["a1"].shape[0] < shape[1]:
        plain = {"a1": plain["a2"], "a2": plain["a1"], "b1": plain["b2"], "b2": plain["b1"]}
    rank = plain["a2"].shape[0]
    if rank == 0:
        raise misfit(tensors, shape)
    return fitted(plain, glora_shapes(shape, rank), shape) | stored(alpha=alpha_of(tensors, rank))


def split(fused: LayerTensors, rows: Sequence[int]) -> list[LayerTensors]:
    """Rows of b1, copies of the others: each part's own rows of the frozen weight are mapped by the same a1 and a2."""
    return [{**fused, "b1": part.clone()} for part in fused["b1"].split(list(rows))]
