"""Jobs of true size, and what is really there where they run: on the meta device, counted."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch

from loratory.config.architectures import SPECS
from loratory.config.load import parse
from loratory.config.modules import layers
from loratory.config.train import TrainConfig
from loratory.networks.base import inject
from loratory.planner.model import Model, model_of
from loratory.training.checkpointing import Recompute
from scripts.without_content import Live, architecture, conditioning, latent_layout, without_content

GIB = 2**30


def job(architecture: str = "sd15", **sections: Any) -> TrainConfig:
    data: dict[str, Any] = {
        "name": "a", "model": {"architecture": architecture, "path": "demo"}, "datasets": [{"path": "photos"}],
    }  # fmt: skip
    return parse(data | sections, "test")


def model(config: TrainConfig) -> Model:
    name = config.model.architecture
    assert name is not None
    return model_of(config, SPECS[name], layers(name))


@functools.cache
def truth(name: str) -> Any:
    return architecture(SPECS[name])


def peak_of_step(config: TrainConfig, side: int, tokens: int) -> int:
    """Bytes that a forward and a backward pass of the true denoiser take at the most, weights and adapters left out;
    gradients of adapters are in it."""
    assert config.model.architecture is not None
    found = truth(config.model.architecture)
    denoiser: Any = found.components.denoiser
    channels, factor = latent_layout(found)
    edge, pictures, memory = side // factor, config.batching.size, config.memory
    network = inject(found, config.network, seed=0).to("meta").train()
    if memory.gradient_checkpointing != "off":
        keeps = memory.gradient_checkpointing == "selective"
        denoiser.enable_gradient_checkpointing(
            Recompute(memory.checkpoint_every, keeps_attention=keeps, on_cpu=False, pin=False)
        )
    try:
        with without_content(), Live() as live:
            noisy = torch.empty(pictures, channels, edge, edge, device="meta")
            times, sizes = torch.empty(pictures, device="meta"), torch.empty(pictures, 6, device="meta")
            found.predict(noisy, times, conditioning(found, tokens, pictures), sizes).float().sum().backward()
    finally:
        network.detach()
        if denoiser.is_gradient_checkpointing:
            denoiser.disable_gradient_checkpointing()
    return live.most


def numbers(shapes: list[tuple[int, ...]]) -> int:
    return sum(map(math.prod, shapes))
