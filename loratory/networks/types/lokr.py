"""LoKr: the change of a weight is a Kronecker product, (alpha / rank) · w1 ⊗ w2, of a small and a larger matrix.

Yeh et al. 2023 (LyCORIS, arXiv 2309.14859). Out is split into a · b and in into c · d; w1 is (a, c) and w2 (b, d), in
full or as a low-rank product. A convolution's kernel belongs to w2. Where both are in full there is no rank, and alpha
has no effect: the scale is 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from loratory.config.network import LokrConfig
from loratory.config.network_shapes import is_larger, kernel_of, lokr_shapes, rank_of
from loratory.errors import UserError
from loratory.networks.layer import (
    NO_DROPOUT,
    AdapterLayer,
    Dropouts,
    alpha_factor,
    device_of,
    dropouts_of,
    operation_of,
    take_over,
    weight_shape,
)
from loratory.networks.state import LayerTensors, alpha_of, fitted, misfit, stored

REQUIRED = frozenset[str]()
"""Either half may be in full or factored; `recognised` tells."""
NAMES = ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")
SUFFIXES = {name: f"lokr_{name}" for name in NAMES} | {"alpha": "alpha"}


def recognised(names: frozenset[str], tensors: Mapping[str, Tensor]) -> bool:
    return ("w1" in names or {"w1_a", "w1_b"} <= names) and ("w2" in names or {"w2_a", "w2_b"} <= names)


class LokrLayer(AdapterLayer):
    """Parameters as `shapes` says. Applied without building the product: two small products by reshaping the input."""

    SCALED = ("w1", "w1_a")

    def __init__(
        self, base: nn.Module, shapes: Mapping[str, Sequence[int]], alpha: float, dropouts: Dropouts = NO_DROPOUT
    ) -> None:
        super().__init__(dropouts)
        self.shape = weight_shape(base)
        self.operation = operation_of(base)
        self.alpha = alpha
        rank = inner_rank(shapes)
        self.scale = 1.0 if rank is None else alpha / rank
        self.divisor = rank
        for name, size in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.zeros(tuple(size), device=device_of(base))))

    @torch.no_grad()
    def begin(self, generator: torch.Generator) -> None:
        """w1 random; w2, or the right one of its factors, zero."""
        for name, parameter in self.named_parameters():
            if name not in ("w2", "w2_b"):
                fresh = torch.empty(parameter.shape)
                nn.init.kaiming_uniform_(fresh, a=math.sqrt(5), generator=generator)
                parameter.copy_(fresh)

    def _w1(self) -> Tensor:
        return self.w1 if hasattr(self, "w1") else self.w1_a @ self.w1_b  # type: ignore[return-value, operator]

    def _w2(self) -> Tensor:
        """(b, d) or (b, d, kh, kw)."""
        if hasattr(self, "w2"):
            return self.w2  # type: ignore[return-value]
        a, b = self.get_parameter("w2_a"), self.get_parameter("w2_b")
        if hasattr(self, "t2"):
            return torch.einsum("ijhw,ip,jq->pqhw", self.get_parameter("t2"), a, b).contiguous()
        if not kernel_of(self.shape):
            return a @ b
        sides = kernel_of(self.shape)
        return (a @ b).view(a.shape[0], b.shape[1] // math.prod(sides), *sides)

    def forward(self, x: Tensor, base_output: Tensor) -> Tensor:
        if self.strength == 0:
            return base_output
        dtype = base_output.dtype
        w1, w2 = self.drop_rows(self._w1() * (self.scale * self.amount(x))).to(dtype), self._w2().to(dtype)
        x = self.drop_inner(x.to(dtype))
        (a, c), (b, d) = w1.shape, w2.shape[:2]
        if self.operation.convolution is None:
            inner = F.linear(x.reshape(*x.shape[:-1], c, d), w2)  # (…, c, b)
            return base_output + (w1 @ inner).reshape(base_output.shape)
        batch, _, height, width = x.shape
        inner = self.operation(x.reshape(batch * c, d, height, width), w2)  # (batch · c, b, h, w)
        return base_output + (w1 @ inner.reshape(batch, c, -1)).view(batch, a * b, *inner.shape[2:])

    def delta(self) -> Tensor:
        w1, w2 = self._w1().float(), self._w2().float()
        return self.scale * torch.kron(w1.view(*w1.shape, *(1 for _ in w2.shape[2:])), w2).reshape(self.shape)

    def tensors(self) -> LayerTensors:
        return stored(**dict(self.named_parameters()), alpha=self.alpha)

    def load_tensors(self, tensors: LayerTensors) -> None:
        factor = alpha_factor(tensors, self.alpha) if inner_rank(_shapes(tensors)) else 1.0
        take_over(self, tensors, factor=factor, scaled=self.SCALED)


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensors[name].shape) for name in NAMES if name in tensors}


def inner_rank(shapes: Mapping[str, Sequence[int]]) -> int | None:
    """The rank that alpha is divided by: that of w2 where it is factored, else that of w1; None where neither is."""
    for name in ("w2_b", "w1_b"):
        if name in shapes:
            return shapes[name][0]
    return None


def make_layer(base: nn.Module, config: LokrConfig, generator: torch.Generator, path: str) -> LokrLayer:
    """A fresh adapter for `base` as the config wants it. Raises UserError when `base` cannot have one."""
    operation_of(base)
    larger = is_larger(weight_shape(base))
    rank = rank_of(config, weight_shape(base))
    alpha = config.resolved_conv_alpha() if larger else config.resolved_alpha()
    if rank < 1:
        raise UserError(f"the rank is {rank}; it must be at least 1.")
    layer = LokrLayer(base, lokr_shapes(weight_shape(base), rank, config), alpha, dropouts_of(config, larger))
    layer.begin(generator)
    return layer


def layer_from_tensors(base: nn.Module, tensors: LayerTensors) -> LokrLayer:
    """An adapter for `base` with the factors and weights of stored tensors. Raises UserError for a misfit."""
    layer = LokrLayer(base, _shapes(tensors), float(tensors["alpha"]))
    layer.load_tensors(tensors)
    return layer


# In files


def checked(tensors: Mapping[str, Tensor], shape: Sequence[int]) -> LayerTensors:
    """A file's tensors in fp32 and in the shapes of a weight. Raises UserError for what does not fit."""
    tucker = "t2" in tensors
    a, c = (tensors["w1"].shape[0], tensors["w1"].shape[1]) if "w1" in tensors else (
        tensors["w1_a"].shape[0], tensors["w1_b"].shape[1])  # fmt: skip
    if not a or not c or shape[0] % a or shape[1] % c:
        raise UserError(f"its first factor ({a}, {c}) does not divide the model's weight {tuple(shape)}.")
    b, d, kernel = shape[0] // a, shape[1] // c, kernel_of(shape)
    wanted: dict[str, tuple[int, ...]] = {}
    if "w1" in tensors:
        wanted["w1"] = (a, c)
    else:
        wanted |= {"w1_a": (a, tensors["w1_b"].shape[0]), "w1_b": (tensors["w1_b"].shape[0], c)}
    if "w2" in tensors:
        wanted["w2"] = (b, d, *kernel)
    elif tucker:
        rank = tensors["w2_b"].shape[0]
        wanted |= {"t2": (rank, rank, *kernel), "w2_a": (rank, b), "w2_b": (rank, d)}
    else:
        rank = tensors["w2_b"].shape[0]
        wanted |= {"w2_a": (b, rank), "w2_b": (rank, d * math.prod(kernel))}
    rank_or_none = inner_rank(wanted)
    if rank_or_none == 0:
        raise misfit(tensors, shape)
    # Without a rank alpha means nothing; it is kept out of the way at 1.
    alpha = 1.0 if rank_or_none is None else alpha_of(tensors, rank_or_none)
    return fitted(tensors, wanted, shape) | stored(alpha=alpha)


def for_file(tensors: LayerTensors) -> LayerTensors:
    """What a file holds. Where both factors are in full there is no alpha: programs disagree on what it would mean."""
    if inner_rank(_shapes(tensors)) is None:
        return {name: tensor for name, tensor in tensors.items() if name != "alpha"}
    return tensors


def split(fused: LayerTensors, rows: Sequence[int]) -> list[LayerTensors]:
    """Rows of the product as differences: those of a Kronecker product are none themselves."""
    layer_like = {name: tensor for name, tensor in fused.items() if name != "alpha"}
    w1 = layer_like["w1"] if "w1" in layer_like else layer_like["w1_a"] @ layer_like["w1_b"]
    if "w2" in layer_like:
        w2 = layer_like["w2"]
    elif "t2" in layer_like:
        w2 = torch.einsum("ijhw,ip,jq->pqhw", layer_like["t2"], layer_like["w2_a"], layer_like["w2_b"])
    else:
        w2 = layer_like["w2_a"] @ layer_like["w2_b"]
    rank = inner_rank(_shapes(fused))
    product = torch.kron(w1.view(*w1.shape, *(1 for _ in w2.shape[2:])), w2)
    product = product if rank is None else product * (float(fused["alpha"]) / rank)
    return [stored(diff=part) for part in product.split(list(rows))]
