"""LoRA: a frozen layer W gets a narrow path beside it, y = W x + (alpha / rank) · up(down(x)).

Hu et al. 2021 (arXiv 2106.09685). For a Conv2d, `down` keeps the kernel and `up` is 1x1 (LoCon); with Tucker `down` is
1x1 too and `mid` has the kernel between them. Rank-stabilised (Kalajdzievski 2023, arXiv 2312.03732) divides alpha by
the root of the rank; PiSSA (Meng et al. 2024, arXiv 2404.02948) starts from W's largest singular directions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from loratory.config.network import LoraConfig
from loratory.config.network_shapes import is_larger, kernel_of, lora_shapes, ones, rank_of
from loratory.errors import UserError
from loratory.networks.layer import (
    NO_DROPOUT,
    AdapterLayer,
    Dropouts,
    Frozen,
    alpha_factor,
    device_of,
    dropouts_of,
    operation_of,
    take_over,
    weight_shape,
)
from loratory.networks.state import (
    LayerTensors,
    alpha_of,
    as_shape,
    block_diagonal,
    misfit,
    stored,
)

REQUIRED = frozenset({"down", "up"})
ALSO_READ = frozenset({"up_bias"})
SUFFIXES = {"down": "lora_down.weight", "up": "lora_up.weight", "mid": "lora_mid.weight", "alpha": "alpha"}


class LoraLayer(AdapterLayer):
    """down (rank, in) or (rank, in, kh, kw) and up (out, rank) or (out, rank, 1, 1), in fp32 whatever the base has.

    With `tucker`: down (rank, in, 1, 1) and mid (rank, rank, kh, kw). The pair of factors that PiSSA begins with,
    `start_*`, is taken off again, so that training begins at the base model and its weights stay what they are.
    """

    FASTER = SCALED = ("up",)
    start_down: Tensor | None
    start_up: Tensor | None

    def __init__(
        self, base: nn.Module, rank: int, alpha: float, *, tucker: bool = False, dropouts: Dropouts = NO_DROPOUT
    ) -> None:
        super().__init__(dropouts)
        shape = weight_shape(base)
        self.rank = rank
        self.alpha, self.scale, self.divisor = alpha, alpha / rank, rank
        self.operation = operation_of(base)
        device = device_of(base)
        sizes = lora_shapes(shape, rank, tucker)
        self.down = nn.Parameter(torch.zeros(sizes["down"], device=device))
        self.mid = nn.Parameter(torch.zeros(sizes["mid"], device=device)) if tucker else None
        self.up = nn.Parameter(torch.zeros(sizes["up"], device=device))
        self.register_buffer("start_down", None)
        self.register_buffer("start_up", None)
        self.has_start = False

    @torch.no_grad()
    def begin(self, generator: torch.Generator) -> None:
        """The usual start: down as the reference implementation has it, up zero."""
        for factor in (self.down, self.mid):
            if factor is not None:
                fresh = torch.empty(factor.shape)
                nn.init.kaiming_uniform_(fresh, a=math.sqrt(5), generator=generator)
                factor.copy_(fresh)

    @torch.no_grad()
    def begin_at_principal_directions(self, weight: Tensor, generator: torch.Generator) -> None:
        """PiSSA: down and up from the largest singular values of the frozen weight."""
        up, down = principal_factors(weight.flatten(1), self.rank, generator)
        self.down.copy_(down.view_as(self.down))
        self.up.copy_((up / self.scale).view_as(self.up))
        self.start_down, self.start_up = self.down.detach().clone(), self.up.detach().clone()
        self.has_start = True

    def forward(self, x: Tensor, base_output: Tensor) -> Tensor:
        """Base output plus the low-rank path.

        The path runs in the base's dtype: the fp32 parameters are cast, as autocast would, and get fp32 gradients.
        In fp32 throughout it would cost several times as much on a bf16 base.
        """
        if self.strength == 0:
            return base_output
        dtype = base_output.dtype
        down, up = (factor.to(dtype) for factor in self.factors())
        x = x.to(dtype)
        if self.operation.convolution is None:
            hidden = self._inner(F.linear(x, down), -1)
            # One operation for product and sum saves a pass over the whole output.
            flat = torch.addmm(base_output.reshape(-1, up.shape[0]), hidden.reshape(-1, up.shape[1]), up.t())
            return flat.view(base_output.shape)
        if self.mid is not None:
            x, down = F.conv2d(x, down), self.mid.to(dtype)
        hidden = self.operation(x, down)
        return base_output + F.conv2d(self._inner(hidden, 1), up)

    def factors(self) -> tuple[Tensor, Tensor]:
        """Down and up as they act: with what PiSSA began with taken off."""
        if self.start_down is None or self.start_up is None:
            return self.down, self.up
        return torch.cat((self.down, self.start_down)), torch.cat((self.up, -self.start_up), dim=1)

    def _inner(self, hidden: Tensor, axis: int) -> Tensor:
        """Dropout and strength on the rank activations, the smallest tensor on the way."""
        return self.drop_ranks(self.drop_inner(hidden), axis) * (self.scale * self.amount(hidden))

    def delta(self) -> Tensor:
        """(alpha / rank) · up · down, through mid if there is one."""
        down, up = (factor.float() for factor in self.factors())
        if self.mid is not None:
            down = torch.einsum("mnhw,ni->mihw", self.mid.float(), down.flatten(1))
        return self.scale * (up.flatten(1) @ down.flatten(1)).view(up.shape[0], *down.shape[1:])

    def row_norms(self, weight: Tensor) -> Tensor:
        """From products with the narrow factors: |w + s·u·D|² = |w|² + 2s·u·(D·w) + s²·u·(D·Dᵀ)·uᵀ for every row."""
        if self.mid is not None:
            return super().row_norms(weight)
        down, up = (factor.float().flatten(1) for factor in self.factors())
        flat = weight.flatten(1)
        cross = (up * (flat @ down.t())).sum(dim=1)
        square = (up * (up @ (down @ down.t()))).sum(dim=1)
        return (flat.square().sum(dim=1) + 2 * self.scale * cross + self.scale**2 * square).clamp(min=0).sqrt()

    def tensors(self) -> LayerTensors:
        return stored(
            down=self.down, up=self.up, mid=self.mid, alpha=self.alpha, start_down=self.start_down,
            start_up=self.start_up,
        )  # fmt: skip

    @torch.no_grad()
    def load_tensors(self, tensors: LayerTensors) -> None:
        factor = alpha_factor(tensors, self.alpha)
        take_over(self, tensors, factor=factor, scaled=self.SCALED, beside=("start_down", "start_up"))
        self.has_start = "start_down" in tensors
        self.start_down = self.start_up = None
        if self.has_start:
            up = tensors["start_up"] if factor == 1 else tensors["start_up"] * factor
            self.start_down, self.start_up = tensors["start_down"].to(self.down), up.to(self.up)


def principal_factors(weight: Tensor, rank: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """up (out, rank) and down (rank, in), whose product is the best of this rank for a matrix (out, in).

    By subspace iteration (Halko, Martinsson and Tropp 2011, arXiv 0909.4061): a full decomposition of each of a large
    model's layers would take hours. The singular values are shared evenly between the two.
    """
    width = min(rank + 8, *weight.shape)
    basis = torch.randn(weight.shape[1], width, generator=generator).to(weight)
    for _ in range(6):
        basis = torch.linalg.qr(weight.t() @ torch.linalg.qr(weight @ basis).Q).Q
    left, values, right = torch.linalg.svd(weight @ basis, full_matrices=False)
    root = values[:rank].sqrt()
    return left[:, :rank] * root, (right[:rank] @ basis.t()) * root[:, None]


def _check(rank: int, alpha: float) -> None:
    if rank < 1:
        raise UserError(f"the rank is {rank}; it must be at least 1.")
    if alpha == 0:
        raise UserError("alpha is 0, with which a LoRA can learn nothing; set it to the rank, or to auto.")


def make_layer(base: nn.Module, config: LoraConfig, generator: torch.Generator, path: str) -> LoraLayer:
    """A fresh adapter for `base` as the config wants it. Raises UserError when `base` cannot have one."""
    operation_of(base)
    larger = is_larger(weight_shape(base))
    rank = rank_of(config, weight_shape(base))
    alpha = config.resolved_conv_alpha() if larger else config.resolved_alpha()
    _check(rank, alpha)
    if config.rank_stabilized:
        alpha *= math.sqrt(rank)
    layer = LoraLayer(base, rank, alpha, tucker=config.tucker and larger, dropouts=dropouts_of(config, larger))
    layer.alpha_unit = math.sqrt(rank) if config.rank_stabilized else 1.0
    if config.initialization == "pissa" and not (config.tucker and larger):
        if rank > min(layer.up.shape[0], layer.down[0].numel()):
            raise UserError(f"PiSSA needs a rank of at most {min(layer.up.shape[0], layer.down[0].numel())} here.")
        layer.begin_at_principal_directions(Frozen(base).weight(), generator)
    else:
        layer.begin(generator)
    return layer


def layer_from_tensors(base: nn.Module, tensors: LayerTensors) -> LoraLayer:
    """An adapter for `base` with the rank, alpha and weights of stored tensors. Raises UserError for a misfit."""
    rank, alpha = tensors["down"].shape[0], float(tensors["alpha"])
    _check(rank, alpha)
    layer = LoraLayer(base, rank, alpha, tucker="mid" in tensors)
    layer.load_tensors(tensors)
    return layer


# In files


def checked(tensors: Mapping[str, Tensor], shape: Sequence[int]) -> LayerTensors:
    """A file's tensors in fp32 and in the shapes of a weight. Raises UserError for what does not fit."""
    rank = tensors["down"].shape[0]
    tucker = "mid" in tensors
    down = as_shape(tensors["down"], (rank, shape[1], *(ones(shape) if tucker else kernel_of(shape))))
    up = as_shape(tensors["up"], (shape[0], rank, *ones(shape)))
    mid = as_shape(tensors["mid"], (rank, rank, *kernel_of(shape))) if tucker else None
    if rank == 0 or down is None or up is None or (tucker and mid is None):
        raise misfit(tensors, shape)
    alpha = alpha_of(tensors, rank)
    # PEFT can have a bias behind up, which the scale multiplies, too.
    change = tensors["up_bias"].to(torch.float32).flatten() * (alpha / rank) if "up_bias" in tensors else None
    if change is not None and change.numel() != shape[0]:
        raise misfit(tensors, shape)
    return stored(down=down, up=up, mid=mid, alpha=alpha, diff_bias=change)


def for_file(tensors: LayerTensors) -> LayerTensors:
    """What a file holds: what PiSSA began with becomes further ranks, so that every program can read it."""
    if "start_down" not in tensors:
        return tensors
    return {
        "down": torch.cat((tensors["down"], tensors["start_down"])),
        "up": torch.cat((tensors["up"], -tensors["start_up"]), dim=1),
        "alpha": tensors["alpha"] * 2,
    }


def fuse(parts: Sequence[LayerTensors | None], rows: Sequence[int]) -> LayerTensors | None:
    """One layer that does what the parts do on the same input; a part that is None has no adapter. Exact.

    Equal downs are written once. Otherwise the rank is the sum of the ranks and up is block-diagonal. Where the parts'
    scales differ they are folded into up. None where it cannot be done (Tucker).
    """
    present = [part for part in parts if part is not None]
    if any("mid" in part for part in present):
        return None
    scales = {_scale(part) for part in present}
    same_scale = len(scales) == 1
    first = present[0]
    ups = [None if part is None else part["up"] if same_scale else part["up"] * _scale(part) for part in parts]
    if len(present) == len(parts) and all(torch.equal(part["down"], first["down"]) for part in present):
        down, up = first["down"], torch.cat([each for each in ups if each is not None])
    else:
        down = torch.cat([part["down"] for part in present])
        up = block_diagonal(ups, rows, [part["down"].shape[0] if part else 0 for part in parts])
    return stored(down=down, up=up, alpha=(scales.pop() if same_scale else 1.0) * down.shape[0])


def split(fused: LayerTensors, rows: Sequence[int]) -> list[LayerTensors]:
    """The parts of a fused layer, exactly: block-diagonal ones get their own rank back, others share a copied down."""
    count, rank, alpha = len(rows), fused["down"].shape[0], float(fused["alpha"])
    slices = fused["up"].split(list(rows))
    if rank % count == 0 and "mid" not in fused:
        each = rank // count
        columns = [slice(turn * each, (turn + 1) * each) for turn in range(count)]
        total = sum(int(part.count_nonzero()) for part in slices)
        diagonal = sum(int(part[:, column].count_nonzero()) for part, column in zip(slices, columns, strict=True))
        if total == diagonal:
            return [
                stored(down=fused["down"][column], up=part[:, column], alpha=alpha / count)
                for part, column in zip(slices, columns, strict=True)
            ]
    return [stored(down=fused["down"], up=part, mid=fused.get("mid"), alpha=alpha) for part in slices]


def _scale(layer: LayerTensors) -> float:
    return float(layer["alpha"]) / layer["down"].shape[0]
