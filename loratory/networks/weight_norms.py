"""Keep the change of each weight below a length: a LoRA that has grown too strong in some layers burns pictures."""

from __future__ import annotations

import torch
from torch import Tensor

from loratory.networks.base import Network
from loratory.networks.types.dylora import DyloraLayer
from loratory.networks.types.lora import LoraLayer


@torch.no_grad()
def change_length(layer: LoraLayer | DyloraLayer) -> Tensor:
    """‖ΔW‖ (Frobenius), 0-d. Through the ranks: ‖U·D‖² = Σ (UᵀU) ∘ (D·Dᵀ), so the product is never built."""
    if isinstance(layer, LoraLayer) and (layer.mid is not None or layer.has_start):
        return layer.delta().norm()
    up, down = layer.up.float().flatten(1), layer.down.float().flatten(1)
    return abs(layer.scale) * ((up.t() @ up) * (down @ down.t())).sum().clamp(min=0).sqrt()


@torch.no_grad()
def limit_lengths(network: Network, limit: float) -> None:
    """Shorten every LoRA layer's change to at most `limit`: both matrices × √(limit / length), as kohya's
    scale_weight_norms does it. Nothing waits for the device.
    """
    for layer in network.layers.values():
        for part in layer.modules():
            if isinstance(part, LoraLayer | DyloraLayer):
                length = change_length(part)
                factor = (limit / length.clamp(min=limit)).sqrt()
                part.up.mul_(factor)
                part.down.mul_(factor)
