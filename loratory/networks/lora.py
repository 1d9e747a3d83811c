"""LoRA: a frozen layer W gets a narrow path beside it, y = W x + (alpha / rank) · up(down(x)).

Hu et al. 2021 (arXiv 2106.09685). For a Conv2d, `down` keeps the kernel and `up` is 1x1 (LoCon).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from loratory.config.network import LoraConfig
from loratory.errors import UserError
from loratory.networks.base import AdapterLayer, seeded_dropout, weight_shape
from loratory.networks.formats import LayerTensors


class LoraLayer(AdapterLayer):
    """down (rank, in) or (rank, in, kh, kw) and up (out, rank) or (out, rank, 1, 1), in fp32 whatever the base has."""

    def __init__(self, base: nn.Module, rank: int, alpha: float, dropout: float, generator: torch.Generator) -> None:
        super().__init__(dropout)
        out, *inputs = weight_shape(base)
        self.rank = rank
        self.alpha = alpha
        self.scale = alpha / rank
        self.convolution = (base.stride, base.padding, base.dilation) if isinstance(base, nn.Conv2d) else None
        device = base.weight.device
        assert isinstance(device, torch.device)
        down = torch.empty(rank, *inputs)
        # As the reference implementation does it; up begins at zero, so that training begins at the base model.
        nn.init.kaiming_uniform_(down, a=math.sqrt(5), generator=generator)
        self.down = nn.Parameter(down.to(device))
        self.up = nn.Parameter(torch.zeros(out, rank, *(1 for _ in inputs[1:]), device=device))

    def forward(self, x: Tensor, base_output: Tensor) -> Tensor:
        """Base output plus the low-rank path.

        The path runs in the base's dtype: the fp32 parameters are cast, as autocast would, and get fp32 gradients.
        In fp32 throughout it would cost several times as much on a bf16 base.
        """
        if self.strength == 0:
            return base_output
        dtype = base_output.dtype
        x, down, up = x.to(dtype), self.down.to(dtype), self.up.to(dtype)
        if self.convolution is None:
            hidden = self._inner(F.linear(x, down))
            # One operation for product and sum saves a pass over the whole output.
            flat = torch.addmm(base_output.reshape(-1, up.shape[0]), hidden.reshape(-1, self.rank), up.t())
            return flat.view(base_output.shape)
        stride, padding, dilation = self.convolution
        return base_output + F.conv2d(self._inner(F.conv2d(x, down, None, stride, padding, dilation)), up)

    def _inner(self, hidden: Tensor) -> Tensor:
        """Dropout and strength on the rank activations, the smallest tensor on the way."""
        if self.dropout > 0 and self.training:
            if not torch.compiler.is_compiling() and self.dropout_seed < 0:
                raise RuntimeError("dropout is on: call Network.set_dropout_seed before each training forward")
            hidden = seeded_dropout(hidden, self.dropout, self.dropout_seed)
        return hidden * (self.scale * self.strength)

    @torch.no_grad()
    def delta_weight(self) -> Tensor:
        """(alpha / rank) · up · down in fp32, in the shape of the base's weight."""
        product = self.up.float().flatten(1) @ self.down.float().flatten(1)
        return (self.scale * product).view(self.up.shape[0], *self.down.shape[1:])

    def tensors(self) -> LayerTensors:
        return {
            "down": self.down.detach().to("cpu", copy=True).contiguous(),
            "up": self.up.detach().to("cpu", copy=True).contiguous(),
            "alpha": torch.tensor(self.alpha, dtype=torch.float32),
        }

    @torch.no_grad()
    def load_tensors(self, tensors: LayerTensors) -> None:
        down, up, alpha = tensors["down"], tensors["up"], float(tensors["alpha"])
        if down.shape != self.down.shape or up.shape != self.up.shape:
            raise UserError(
                f"rank {down.shape[0]} with shapes {tuple(down.shape)} and {tuple(up.shape)} does not fit this "
                f"network's rank {self.rank} with {tuple(self.down.shape)} and {tuple(self.up.shape)}; "
                f"set the rank that it was trained with."
            )
        # Compared as it is stored: alpha 0.3 is another number in fp32, and one's own tensors must come back bit-equal.
        factor = alpha / torch.tensor(self.alpha, dtype=torch.float32).item()
        self.down.copy_(down)
        self.up.copy_(up if factor == 1 else up * factor)


def _check(base: nn.Module, rank: int, alpha: float) -> None:
    if not isinstance(base, (nn.Linear, nn.Conv2d)):
        raise UserError(f"a {type(base).__name__} cannot have a LoRA; only Linear and Conv2d layers can.")
    if isinstance(base, nn.Conv2d) and (base.groups != 1 or base.padding_mode != "zeros"):
        raise UserError("a convolution with groups or with other than zero padding cannot have a LoRA.")
    if rank < 1:
        raise UserError(f"the rank is {rank}; it must be at least 1.")
    if alpha == 0:
        raise UserError("alpha is 0, with which a LoRA can learn nothing; set it to the rank, or to auto.")


def make_layer(base: nn.Module, config: LoraConfig, generator: torch.Generator) -> LoraLayer:
    """A fresh adapter for `base` as the config wants it. Raises UserError when `base` cannot have one."""
    larger = isinstance(base, nn.Conv2d) and base.kernel_size != (1, 1)
    rank = (config.conv_rank or 0) if larger else config.rank
    alpha = config.resolved_conv_alpha() if larger else config.resolved_alpha()
    _check(base, rank, alpha)
    return LoraLayer(base, rank, alpha, config.dropout, generator)


def layer_from_tensors(base: nn.Module, tensors: LayerTensors) -> LoraLayer:
    """An adapter for `base` with the rank, alpha and weights of stored tensors. Raises UserError for a misfit."""
    rank, alpha = tensors["down"].shape[0], float(tensors["alpha"])
    _check(base, rank, alpha)
    layer = LoraLayer(base, rank, alpha, 0.0, torch.Generator())
    layer.load_tensors(tensors)
    return layer
