"""Frozen LoRAs beside the base model: they work along in training, in samples, or both, and are never exported.

A training adapter undoes the distillation of a fast model, so that what is trained does not have to; samples, made
without it, are those of the fast model again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.identify import locate
from loratory.config.model import SideAdapterConfig
from loratory.errors import UserError
from loratory.networks.base import Model, Modules, Network, from_state
from loratory.networks.files import read_state
from loratory.networks.state import some

log = logging.getLogger(__name__)

USUAL_NAME = "pytorch_lora_weights.safetensors"
"""What diffusers calls the LoRA of a repository."""

FIELD = "model.side_adapters"


@dataclass(frozen=True)
class SideAdapter:
    """One frozen network on the model, and when it works."""

    network: Network
    config: SideAdapterConfig

    def switch(self, moment: Literal["training", "sampling"]) -> None:
        self.network.strength = self.config.strength if self.config.on in (moment, "always") else 0.0


class SideAdapters:
    """All of a job's, attached in their order over what sits on the model already, and switched for training.

    With strength 0 the model gives bit for bit what it gives without them.
    """

    def __init__(self, adapters: Sequence[SideAdapter]) -> None:
        self._adapters = adapters
        self._switch("training")

    def _switch(self, moment: Literal["training", "sampling"]) -> None:
        for adapter in self._adapters:
            adapter.switch(moment)

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Within the block they are switched as for samples."""
        self._switch("sampling")
        try:
            yield
        finally:
            self._switch("training")

    def detach(self) -> None:
        """Take them off, the last one first."""
        for adapter in reversed(self._adapters):
            adapter.network.detach()


def side_file(config: SideAdapterConfig, resolve: Callable[..., Path]) -> Path:
    """The file of a side adapter; of a folder or repository its only one. `resolve` is that of models.

    Raises UserError when there is none, or a choice.
    """
    path = locate(config.path, resolve, FIELD, allow_patterns=["*.safetensors"])
    if not path.is_dir():
        return path
    files = sorted(path.glob("*.safetensors"))
    if path / USUAL_NAME in files:
        return path / USUAL_NAME
    if len(files) != 1:
        found = f"{len(files)} LoRA files ({some(file.name for file in files)})" if files else "no .safetensors file"
        raise UserError(f"{FIELD}: {config.path} holds {found}; give the path of the one you want.")
    return files[0]


def recovered_layers(
    spec: ArchitectureSpec, modules: Modules, configs: Sequence[SideAdapterConfig], resolve: Callable[..., Path]
) -> dict[str, str]:
    """The layers of the denoiser, by path in it, under an adapter that recovers what their number format loses, with
    that format. Raises UserError for a file that does not fit.
    """
    found: dict[str, str] = {}
    for config in configs:
        if config.recovers is not None:
            state = read_state(side_file(config, resolve), _Bare(spec, modules))
            found |= {path.removeprefix(f"{spec.denoiser}."): config.recovers for path in state}
    return found


@dataclass(frozen=True)
class _Bare:
    """Modules before the rest of the model is there."""

    spec: ArchitectureSpec
    components: Modules


def attach_sides(
    model: Model,
    configs: Sequence[SideAdapterConfig],
    resolve: Callable[..., Path],
    device: torch.device | None = None,
) -> SideAdapters:
    """Read the files and attach them, frozen, on `device`, which else is each layer's own.

    They come after the trained network, so that it keeps its fast path and sees its own frozen layers. Raises UserError
    for a file that is none, does not fit the model, or changes text encoders, whose output is encoded beforehand.
    """
    adapters = []
    for config in configs:
        file = side_file(config, resolve)
        state = read_state(file, model)
        others = [path for path in state if not path.startswith(model.spec.denoiser + ".")]
        if others:
            raise UserError(
                f"{FIELD}: {file} also changes text encoders ({some(others)}), which a side adapter cannot; "
                "leave them out of the file, or use model.merge."
            )
        network = from_state(model, state, device=device)
        network.requires_grad_(False).eval()
        adapters.append(SideAdapter(network, config))
        log.info("Side adapter %s: %d layers, strength %g, on: %s.", file, len(state), config.strength, config.on)
    return SideAdapters(adapters)
