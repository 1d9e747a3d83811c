"""Bring the model to the device in the way that `memory` says, and its encoders away from it while they are idle."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import Any

import torch
from torch import nn

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.memory import MemoryConfig
from loratory.config.rules_memory import is_packed
from loratory.config.targets import trained_text_encoders
from loratory.config.train import TrainConfig
from loratory.errors import UserError
from loratory.hub.download import resolve_model
from loratory.models import load
from loratory.models.base import Architecture, Components
from loratory.networks.files import merge_into
from loratory.training.devices import DTYPES
from loratory.training.packing import check_formats, pack_module

log = logging.getLogger(__name__)

COMPILER: str | Callable[..., Any] = "inductor"
"""What torch.compile hands its graphs to."""


def check_memory(config: TrainConfig, device: torch.device) -> None:
    """What this machine cannot do is said before the model is loaded, and what has no effect on it is logged.

    Raises UserError for what does not work here.
    """
    memory = config.memory
    check_formats(memory, device)
    if memory.attention != "auto":
        from loratory.models.common.attention import check_attention

        check_attention(memory.attention, device, DTYPES[memory.precision])
    if memory.compile:
        check_compiler(device)
    for sentence in without_effect(memory, device):
        log.warning("%s", sentence)


def check_compiler(device: torch.device) -> None:
    """Compile something tiny. Raises UserError where that does not work, instead of training without it."""
    try:
        torch.compile(lambda x: x * 2 + 1, backend=COMPILER)(torch.ones(8, device=device))
    except Exception as error:  # compilers, their caches and Triton have many kinds
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(
            f"memory.compile: torch.compile does not work here: {reason.rstrip('.')}. It needs a C++ compiler and, on "
            "a card, Triton; or set memory.compile to false."
        ) from error


def compile_blocks(architecture: Architecture) -> None:
    """Compile the blocks of the denoiser, with the adapters on them, at their first use."""
    denoiser: Any = architecture.components.denoiser
    denoiser.compile_repeated_blocks(backend=COMPILER)


def without_effect(memory: MemoryConfig, device: torch.device) -> list[str]:
    """What was asked for and changes nothing on this device."""
    found = []
    if memory.tf32 == "on" and device.type != "cuda":
        found.append(f"memory.tf32 has no effect on {device.type}: it belongs to NVIDIA's cards.")
    if device.type == "cpu":
        here = "has no effect on the CPU: everything is in the computer's memory already."
        if memory.gradient_checkpointing == "offload":
            found.append(f"The offload of memory.gradient_checkpointing {here} The blocks are computed twice.")
        if memory.low_vram:
            found.append(f"memory.low_vram {here}")
        if memory.blocks_to_swap:
            found.append(f"memory.blocks_to_swap {here}")
    return found


def load_model(config: TrainConfig, spec: ArchitectureSpec, device: torch.device) -> Architecture:
    """The model, with LoRAs merged, weights packed, and the kernels chosen.

    It is on the device, but with `memory.low_vram` all of it waits on the CPU, and with swapped blocks the denoiser:
    `at_work` and `bring_denoiser` bring it. Raises UserError for files that do not fit, and for an attention that does
    not work here.
    """
    memory, precision = config.memory, DTYPES[config.memory.precision]

    def place(component: str, module: nn.Module) -> nn.Module:
        pack_module(component, module, config, spec, device)
        prepare_module(component, module, memory, spec)
        waits = memory.low_vram or (memory.blocks_to_swap and component == spec.denoiser)
        return module.to("cpu" if waits else device)

    # What is merged must not be rounded twice: packing has to wait for it, and the device for packing.
    merges_first = bool(config.model.merge) and is_packed(memory)
    architecture = load(
        config.model,
        precision=precision,
        device=torch.device("cpu") if merges_first else device,
        resolve=resolve_model,
        place=None if merges_first else place,
    )
    merge_into(architecture, config.model.merge, allow_pickle=config.model.allow_pickle)
    if merges_first:
        for component, module in modules_of(architecture.components, spec):
            place(component, module)
    if memory.attention != "auto":
        from loratory.models.common.attention import set_attention

        set_attention(architecture.components.denoiser, memory.attention, device, precision)
    return architecture


def modules_of(components: Components, spec: ArchitectureSpec) -> list[tuple[str, nn.Module]]:
    """All modules by component name."""
    return [(spec.denoiser, components.denoiser), *components.text_encoders.items(), ("vae", components.vae)]


def prepare_module(component: str, module: nn.Module, memory: MemoryConfig, spec: ArchitectureSpec) -> None:
    """Lay out a loaded module, still on the CPU, as the config asks for."""
    is_denoiser, is_vae = component == spec.denoiser, component == "vae"
    if memory.channels_last and spec.convolution_groups and (is_denoiser or is_vae):
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        ways_in = ("",) if is_denoiser else ("encoder", "decoder")
        for way in ways_in:
            module.get_submodule(way).register_forward_pre_hook(_channels_last, with_kwargs=True)
    if is_vae:
        cut_pictures(module, memory)


def cut_pictures(vae: nn.Module, memory: MemoryConfig) -> None:
    """Let the autoencoder take pictures one by one or in tiles. Raises UserError where its class cannot."""
    for name, wanted in (("slicing", memory.vae_slicing), ("tiling", memory.vae_tiling)):
        if hasattr(vae, f"use_{name}"):
            setattr(vae, f"use_{name}", wanted)
        elif wanted and next(vae.parameters(), None) is not None:  # where there is no autoencoder a rule has said so
            raise UserError(f"memory.vae_{name}: this model's autoencoder, {type(vae).__name__}, has no {name}.")


def _channels_last(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Pictures that a module is given, in the layout of its weights."""

    def turned(value: Any) -> Any:
        is_picture = isinstance(value, torch.Tensor) and value.ndim == 4
        return value.contiguous(memory_format=torch.channels_last) if is_picture else value

    return tuple(map(turned, args)), {name: turned(value) for name, value in kwargs.items()}


# Encoders that wait


def idle_parts(architecture: Architecture, config: TrainConfig) -> dict[str, nn.Module]:
    """What no step needs once everything is encoded, by name."""
    components, caching = architecture.components, config.caching
    idle: dict[str, nn.Module] = {}
    if caching.latents != "off":
        idle["vae"] = components.vae
    if caching.text_embeddings != "off" and not trained_text_encoders(architecture.spec, config.network):
        idle |= components.text_encoders
    return idle


def change_places(architecture: Architecture, config: TrainConfig, device: torch.device) -> list[str]:
    """Everything is encoded: with `memory.low_vram`, what steps need of the encoders comes to the device for good.

    Returns the names of the components that came.
    """
    if not config.memory.low_vram:
        return []
    idle = {*idle_parts(architecture, config), architecture.spec.denoiser}
    needed = {
        name: module for name, module in modules_of(architecture.components, architecture.spec) if name not in idle
    }
    for module in needed.values():
        module.to(device)
    return list(needed)


@contextmanager
def at_work(modules: Iterable[nn.Module], device: torch.device) -> Iterator[None]:
    """Within the block the modules are on the device; those that came for it go back afterwards."""
    # cuda and cuda:0 are different names; a model is on one device or on the CPU.
    visitors = [
        each for each in modules if any(tensor.device.type != device.type for tensor in islice(each.parameters(), 1))
    ]
    try:
        for module in visitors:
            module.to(device)
        yield
    finally:
        for module in visitors:
            module.to("cpu")


def text_encoders_at_work(
    architecture: Architecture, config: TrainConfig, device: torch.device
) -> AbstractContextManager[None]:
    """Within the block the text encoders are on the device, read again from their files if they were unloaded."""
    components = architecture.components
    if not any(parameter.is_meta for module in components.text_encoders.values() for parameter in module.parameters()):
        return at_work(components.text_encoders.values(), device)
    return _read_again(architecture, config, device)


@contextmanager
def _read_again(architecture: Architecture, config: TrainConfig, device: torch.device) -> Iterator[None]:
    components = architecture.components
    log.info("The text encoders are read again, for new prompts.")
    components.text_encoders = {name: load() for name, load in components.again.items()}
    names = set(components.text_encoders)
    merge_into(architecture, config.model.merge, allow_pickle=config.model.allow_pickle, only=names)
    for name, module in components.text_encoders.items():
        pack_module(name, module, config, architecture.spec, device)
        prepare_module(name, module, config.memory, architecture.spec)
    try:
        with at_work(components.text_encoders.values(), device):
            yield
    finally:
        unload_text_encoders(architecture)


def unload_text_encoders(architecture: Architecture) -> None:
    """Give their memory back. They stay as outlines, on the meta device, from which names and shapes can be read."""
    for module in architecture.components.text_encoders.values():
        module.to("meta")
