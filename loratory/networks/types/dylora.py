"""DyLoRA: a LoRA that works at every smaller rank, too. Each step trains one unit of ranks and uses those before it.

Valipour et al. 2022 (arXiv 2210.07558); files are plain LoRA. In training the shortened path is multiplied by
√(rank / used ranks), as kohya's trainer does, so that its size stays alike.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from loratory.config.network import DyloraConfig
from loratory.config.network_shapes import lora_shapes
from loratory.errors import UserError
from loratory.networks.layer import (
    AdapterLayer,
    Dropouts,
    alpha_factor,
    device_of,
    dropouts_of,
    keep_mask,
    operation_of,
    take_over,
    weight_shape,
)
from loratory.networks.state import LayerTensors, stored


class DyloraLayer(AdapterLayer):
    """down (rank, in) or (rank, in, kh, kw) and up (out, rank) or (out, rank, 1, 1)."""

    FASTER = SCALED = ("up",)

    def __init__(self, base: nn.Module, rank: int, unit: int, alpha: float, dropouts: Dropouts) -> None:
        super().__init__(dropouts)
        shape = weight_shape(base)
        self.rank, self.unit = rank, unit
        self.alpha, self.scale, self.divisor = alpha, alpha / rank, rank
        self.operation = operation_of(base)
        device = device_of(base)
        sizes = lora_shapes(shape, rank)
        self.down = nn.Parameter(torch.zeros(sizes["down"], device=device))
        self.up = nn.Parameter(torch.zeros(sizes["up"], device=device))

    @property
    def draws(self) -> bool:
        """Which ranks a step uses is drawn."""
        return True

    def used_ranks(self) -> tuple[Tensor, Tensor]:
        """(rank,) masks of this step: the ranks that are used, and those of them that are trained.

        Every unit is as likely as the others. The draw is the mask operator's, so that nothing breaks a compiled graph.
        """
        units = self.rank // self.unit
        noise = keep_mask(self.down.new_empty(24), self.seed(3), 0.5)
        # 24 fair bits make a number in 0..1, and that the unit's turn.
        number = (noise * 0.5 ** torch.arange(1, 25, device=noise.device)).sum()
        unit = (number * units).floor().clamp(max=units - 1)
        of_rank = torch.arange(self.rank, device=noise.device) // self.unit
        return (of_rank <= unit).float(), (of_rank == unit).float()

    def forward(self, x: Tensor, base_output: Tensor) -> Tensor:
        if self.strength == 0:
            return base_output
        dtype = base_output.dtype
        factors: tuple[Tensor, Tensor] = (self.down, self.up)
        scale: float | Tensor = self.scale
        if self.training:
            used, trained = self.used_ranks()
            factors = _only(self.down, used, trained, 0), _only(self.up, used, trained, 1)
            scale = self.scale * (self.rank / used.sum()).sqrt()
        x, down, up = x.to(dtype), factors[0].to(dtype), factors[1].to(dtype)
        if self.operation.convolution is None:
            hidden = self.drop_ranks(self.drop_inner(F.linear(x, down)), -1) * (scale * self.amount(x))
            return self.operation.added(base_output, hidden.to(dtype), up)
        hidden = self.drop_ranks(self.drop_inner(self.operation(x, down)), 1) * (scale * self.amount(x))
        return base_output + F.conv2d(hidden.to(dtype), up)

    def delta(self) -> Tensor:
        product = self.up.float().flatten(1) @ self.down.float().flatten(1)
        return self.scale * product.view(self.up.shape[0], *self.down.shape[1:])

    def tensors(self) -> LayerTensors:
        return stored(down=self.down, up=self.up, alpha=self.alpha)

    def load_tensors(self, tensors: LayerTensors) -> None:
        take_over(self, tensors, factor=alpha_factor(tensors, self.alpha), scaled=self.SCALED)


def _only(factor: Tensor, used: Tensor, trained: Tensor, axis: int) -> Tensor:
    """The used ranks of a factor, with a gradient only for the trained ones."""
    size = [1] * factor.ndim
    size[axis] = -1
    used, trained = used.view(size), trained.view(size)
    return factor * trained + factor.detach() * (used - trained)


def make_layer(base: nn.Module, config: DyloraConfig, generator: torch.Generator, path: str) -> DyloraLayer:
    """A fresh adapter for `base` as the config wants it. Raises UserError when `base` cannot have one."""
    operation_of(base)
    if config.rank % config.unit:
        raise UserError(f"the rank {config.rank} is not a multiple of the unit {config.unit}.")
    layer = DyloraLayer(base, config.rank, config.unit, config.resolved_alpha(), dropouts_of(config))
    fresh = torch.empty(layer.down.shape)
    nn.init.kaiming_uniform_(fresh, a=math.sqrt(5), generator=generator)
    with torch.no_grad():
        layer.down.copy_(fresh)
    return layer
