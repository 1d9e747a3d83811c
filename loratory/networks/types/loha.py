"""LoHa: the change of a weight is the elementwise product of two low-rank ones, (alpha / rank) · (A1·B1) ∘ (A2·B2).

Hyeon-Woo et al. 2021 (FedPara, arXiv 2108.06098). Its rank can be as high as the square of the given one. With Tucker
each factor of a convolution is a core of rank × rank × kernel between two matrices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from loratory.config.network import LohaConfig
from loratory.config.network_shapes import is_larger, loha_shapes, rank_of
from loratory.errors import UserError
from loratory.networks.layer import (
    NO_DROPOUT,
    DenseLayer,
    Dropouts,
    alpha_factor,
    device_of,
    dropouts_of,
    take_over,
    weight_shape,
)
from loratory.networks.state import (
    LayerTensors,
    alpha_of,
    block_diagonal,
    fitted,
    misfit,
    stored,
)

REQUIRED = frozenset({"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"})
SUFFIXES = {name: name for name in ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2")} | {
    "alpha": "alpha"
}


class LohaLayer(DenseLayer):
    """w1_a, w2_a (out, rank) and w1_b, w2_b (rank, in · kh · kw); with Tucker w*_a (rank, out), w*_b (rank, in) and
    the cores t1, t2 (rank, rank, kh, kw)."""

    SCALED = ("hada_w1_a",)

    def __init__(
        self, base: nn.Module, rank: int, alpha: float, *, tucker: bool = False, dropouts: Dropouts = NO_DROPOUT
    ) -> None:
        super().__init__(base, dropouts)
        self.shape = weight_shape(base)
        self.alpha, self.scale, self.divisor = alpha, alpha / rank, rank
        for name, size in loha_shapes(self.shape, rank, tucker).items():
            self.register_parameter(name, nn.Parameter(torch.zeros(size, device=device_of(base))))

    @torch.no_grad()
    def begin(self, generator: torch.Generator) -> None:
        """As the reference implementation begins: w2_a at zero, so that the product is."""
        for name, deviation in {
            "hada_t1": 0.1,
            "hada_t2": 0.1,
            "hada_w1_b": 1.0,
            "hada_w1_a": 0.1,
            "hada_w2_b": 1.0,
        }.items():
            if hasattr(self, name):
                parameter = self.get_parameter(name)
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * deviation)

    def delta(self) -> Tensor:
        return self.scale * (self._factor("1") * self._factor("2")).view(self.shape)

    def _factor(self, which: str) -> Tensor:
        a, b = (self.get_parameter(f"hada_w{which}_{side}").float() for side in "ab")
        if not hasattr(self, f"hada_t{which}"):
            return a @ b
        return torch.einsum("ijhw,ip,jq->pqhw", self.get_parameter(f"hada_t{which}").float(), a, b)

    def tensors(self) -> LayerTensors:
        return stored(**dict(self.named_parameters()), alpha=self.alpha)

    def load_tensors(self, tensors: LayerTensors) -> None:
        take_over(self, tensors, factor=alpha_factor(tensors, self.alpha), scaled=self.SCALED)


def make_layer(base: nn.Module, config: LohaConfig, generator: torch.Generator, path: str) -> LohaLayer:
    """A fresh adapter for `base` as the config wants it. Raises UserError when `base` cannot have one."""
    larger = is_larger(weight_shape(base))
    rank = rank_of(config, weight_shape(base))
    alpha = config.resolved_conv_alpha() if larger else config.resolved_alpha()
    if rank < 1:
        raise UserError(f"the rank is {rank}; it must be at least 1.")
    layer = LohaLayer(base, rank, alpha, tucker=config.tucker and larger, dropouts=dropouts_of(config, larger))
    layer.begin(generator)
    return layer


def layer_from_tensors(base: nn.Module, tensors: LayerTensors) -> LohaLayer:
    """An adapter for `base` with the rank, alpha and weights of stored tensors. Raises UserError for a misfit."""
    layer = LohaLayer(base, tensors["hada_w1_b"].shape[0], float(tensors["alpha"]), tucker="hada_t1" in tensors)
    layer.load_tensors(tensors)
    return layer


# In files


def checked(tensors: Mapping[str, Tensor], shape: Sequence[int]) -> LayerTensors:
    """A file's tensors in fp32 and in the shapes of a weight. Raises UserError for what does not fit."""
    rank = tensors["hada_w1_b"].shape[0]
    if rank == 0:
        raise misfit(tensors, shape)
    return fitted(tensors, loha_shapes(shape, rank, "hada_t1" in tensors), shape) | stored(
        alpha=alpha_of(tensors, rank)
    )


def fuse(parts: Sequence[LayerTensors | None], rows: Sequence[int]) -> LayerTensors | None:
    """One layer that does what the parts do on the same input: both factors block-diagonal, so their product is too.

    Exact. None where it cannot be done (Tucker).
    """
    present = [part for part in parts if part is not None]
    if any("hada_t1" in part for part in present):
        return None
    ranks = [part["hada_w1_b"].shape[0] if part else 0 for part in parts]
    total = sum(ranks)
    fused: dict[str, Tensor | float | None] = {"alpha": float(total)}
    for which in ("hada_w1", "hada_w2"):
        scales = [_scale(part) if part is not None and which == "hada_w1" else 1.0 for part in parts]
        blocks = [
            None if part is None else part[f"{which}_a"] * scale for part, scale in zip(parts, scales, strict=True)
        ]
        fused[f"{which}_a"] = block_diagonal(blocks, rows, ranks)
        fused[f"{which}_b"] = torch.cat([part[f"{which}_b"] for part in present])
    return stored(**fused)


def split(fused: LayerTensors, rows: Sequence[int]) -> list[LayerTensors]:
    """The parts of a fused layer, exactly: rows of the left factors, copies of the right ones."""
    axis = 1 if "hada_t1" in fused else 0
    pieces = {name: fused[name].split(list(rows), dim=axis) for name in ("hada_w1_a", "hada_w2_a")}
    return [{**fused, **{name: part[turn].clone() for name, part in pieces.items()}} for turn in range(len(rows))]


def _scale(layer: LayerTensors) -> float:
    return float(layer["alpha"]) / layer["hada_w1_b"].shape[0]
