"""Models for the tests of networks: true ones without weights, small ones, and networks that do something."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from loratory.config.architectures import SPECS
from loratory.config.architectures.base import ArchitectureSpec
from loratory.networks.base import Network, weight_shapes
from scripts import module_tables
from scripts.module_tables import Model


@dataclass(frozen=True)
class StandInComponents:
    denoiser: nn.Module
    text_encoders: dict[str, nn.Module]


@dataclass(frozen=True)
class StandInModel:
    """As much of a loaded architecture as a network needs."""

    spec: ArchitectureSpec
    components: StandInComponents


@functools.cache
def true_model(name: str) -> Model:
    """The architecture in its true sizes, on the meta device: shapes without weights."""
    return module_tables.true_model(SPECS[name])


def pipeline_model(spec: ArchitectureSpec, pipeline: object) -> StandInModel:
    """The modules of a diffusers pipeline, frozen."""
    modules = {name: getattr(pipeline, name) for name in (spec.denoiser, *spec.text_encoders)}
    for module in modules.values():
        module.requires_grad_(False)
    denoiser = modules.pop(spec.denoiser)
    return StandInModel(spec, StandInComponents(denoiser, modules))


def matrix_shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """Weight shapes of every Linear and convolution, without the normalisations."""
    return {path: shape for path, shape in weight_shapes(model).items() if len(shape) > 1}


def stir(network: Network, seed: int = 0, size: float = 0.1) -> None:
    """Random weights also in what begins at zero, so that every layer does something."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * size)


def tiny_unet(**changes: object) -> nn.Module:
    """A UNet of two levels, one of them with attention."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    settings = {
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "cross_attention_dim": 24,
        "attention_head_dim": 4,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    }
    return UNet2DConditionModel(**{**settings, **changes}).requires_grad_(False)


def tiny_flux() -> nn.Module:
    """A Flux transformer of one double and one single block."""
    from diffusers import FluxTransformer2DModel

    torch.manual_seed(0)
    return FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=24,
        pooled_projection_dim=20,
        axes_dims_rope=(4, 4, 8),
    ).requires_grad_(False)


def flux_inputs(batch: int = 1, tokens: int = 9) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "hidden_states": torch.randn(batch, tokens, 16, generator=generator),
        "encoder_hidden_states": torch.randn(batch, 5, 24, generator=generator),
        "pooled_projections": torch.randn(batch, 20, generator=generator),
        "timestep": torch.full((batch,), 0.5),
        "img_ids": torch.zeros(tokens, 3),
        "txt_ids": torch.zeros(5, 3),
    }


def unet_inputs(batch: int = 1) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "sample": torch.randn(batch, 4, 16, 16, generator=generator),
        "timestep": torch.full((batch,), 500),
        "encoder_hidden_states": torch.randn(batch, 7, 24, generator=generator),
    }
