"""What is on the card in each phase of a run, part by part. Torch-free.

Weights, adapters and optimizers are exact; activations are counted (`activations`). What the driver and libraries take
for themselves is a guess until a run was measured here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from loratory.config.memory_tables import Autoencoder, Line
from loratory.config.rules_memory import spread
from loratory.data.buckets import Size
from loratory.planner.activations import Training, activations
from loratory.planner.model import Model
from loratory.planner.samples import Picture, pictures_of
from loratory.planner.weights import ITEM, is_packed, optimizer_bytes, packed_bytes

PhaseName = Literal["encoding pictures", "encoding captions", "training", "samples"]
CONTEXT = 500 * 2**20
"""Of a card's memory, about what CUDA's context and its libraries take, which PyTorch does not count."""
FRAGMENTS = 0.03
"""Share of what tensors take that is lost between them, about."""


@dataclass(frozen=True)
class Part:
    """One part of what is there, in bytes."""

    name: str
    bytes: int


@dataclass(frozen=True)
class Phase:
    """What is on the card at the most in one phase."""

    name: PhaseName
    parts: tuple[Part, ...]

    reserve: int = 0
    """What the driver and libraries take, and what is lost between tensors."""

    @property
    def tensors(self) -> int:
        return sum(part.bytes for part in self.parts)

    @property
    def bytes(self) -> int:
        return self.tensors + self.reserve

    def corrected(self, factor: float) -> int:
        """All of it, where runs on this machine took so many times what was estimated of their tensors."""
        return round(self.tensors * factor) + self.reserve


@dataclass(frozen=True)
class Memory:
    """Every phase, in their order."""

    phases: tuple[Phase, ...]

    @property
    def highest(self) -> Phase:
        return max(self.phases, key=lambda phase: phase.bytes)

    def phase(self, name: PhaseName) -> Phase | None:
        return next((phase for phase in self.phases if phase.name == name), None)


def memory_of(model: Model, largest: Size) -> Memory:
    """Of a run whose largest bucket is `largest`."""
    found: list[tuple[PhaseName, Iterator[Part]]] = [
        ("encoding pictures", _encoding_pictures(model, largest)),
        ("encoding captions", _encoding_captions(model)),
        ("training", training(model, largest)),
        ("samples", _samples(model)),
    ]
    phases = [Phase(name, tuple(part for part in parts if part.bytes > 0)) for name, parts in found]
    return Memory(tuple(_with_reserve(phase) for phase in phases if phase.parts))


def _with_reserve(phase: Phase) -> Phase:
    return Phase(phase.name, phase.parts, CONTEXT + round(FRAGMENTS * phase.tensors))


def idle(model: Model) -> set[str]:
    """Components that no step needs once everything is encoded, as `training.memory.idle_parts`."""
    caching = model.config.caching
    found = {"vae"} if caching.latents != "off" else set()
    if caching.text_embeddings != "off" and not model.trained_text_encoders:
        found |= set(model.text_encoders)
    return found


def _weights(model: Model, components: set[str]) -> Iterator[Part]:
    """Weights of these components, as they are kept."""
    if model.spec.denoiser in components:
        yield Part("denoiser", denoiser_bytes(model))
    encoders = sum(model.weights(name) for name in model.text_encoders if name in components)
    yield Part("text encoders", encoders)
    if "vae" in components:
        yield Part("autoencoder", model.vae_weights())


def denoiser_bytes(model: Model) -> int:
    """On the card: without swapped blocks, but for two of them."""
    total, count = model.weights(model.spec.denoiser), model.config.memory.blocks_to_swap
    if not count:
        return total
    blocks = block_bytes(model)
    swapped = sorted((blocks[number] for number in spread(min(count, len(blocks) - 1), len(blocks))), reverse=True)
    return total - sum(swapped) + sum(swapped[:2])


def block_bytes(model: Model) -> list[int]:
    """Of each block that can be swapped, as it is kept, in the model's order."""
    memory = model.config.memory
    key = ("block_bytes", memory.denoiser_weights, memory.precision, memory.keep_full_if_contains)
    return model.remembered(key, lambda: _block_bytes(model))


def _block_bytes(model: Model) -> list[int]:
    from loratory.config.targets import blocks_of

    memory = model.config.memory
    homes = blocks_of(model.spec, model.layers)
    sizes = {block: round(numbers * model.scales[model.spec.denoiser]) * ITEM[memory.precision]
             for block, numbers in model.table.blocks.items()}  # fmt: skip
    if memory.denoiser_weights != "full":
        for layer in model.layers:
            block, path = homes.get(layer.path), layer.path.partition(".")[2]
            if block in sizes and layer.kind != "norm" and is_packed(path, memory.keep_full_if_contains):
                saved = packed_bytes(layer.shape, memory.denoiser_weights, memory.precision)
                sizes[block] += saved - math.prod(layer.shape) * ITEM[memory.precision]
    return [sizes[block] for block in dict.fromkeys(homes.values()) if block in sizes]


def _everything(model: Model) -> set[str]:
    return {model.spec.denoiser, "vae", *model.text_encoders}


def _encoding_pictures(model: Model, largest: Size) -> Iterator[Part]:
    vae, config = model.table.vae, model.config
    if vae is None or config.caching.latents == "off":
        return
    present = {"vae"} if config.memory.low_vram else _everything(model)
    if config.memory.blocks_to_swap:
        present.discard(model.spec.denoiser)  # it is brought when everything is encoded
    yield from _weights(model, present)
    yield Part("pictures at work", _vae_bytes(model, vae, vae.encode, math.prod(largest), config.caching.batch_size))


def _vae_bytes(model: Model, vae: Autoencoder, way: Line, pixels: int, pictures: int) -> int:
    memory = model.config.memory
    if memory.vae_slicing:
        pictures = 1
    if memory.vae_tiling:
        pixels = min(pixels, vae.tile**2)
    return round(way.by_latent * pixels * pictures * ITEM[model.config.model.vae_precision] / 4)


def _encoding_captions(model: Model) -> Iterator[Part]:
    config = model.config
    if not (idle(model) & set(model.text_encoders)):
        return
    present = set(model.text_encoders) if config.memory.low_vram else _everything(model)
    if config.memory.blocks_to_swap:
        present.discard(model.spec.denoiser)
    yield from _weights(model, present)
    yield Part("captions at work", _texts_bytes(model, config.caching.batch_size))


def _texts_bytes(model: Model, texts: int) -> int:
    """The encoders work one after the other; states of all of their layers are there."""
    tokens, item = model.tokens, ITEM[model.config.memory.precision]
    each = [model.net(name).forward.at(0, tokens) * model.scales[name] for name in model.text_encoders]
    return round(max(each, default=0) * texts * item / 2)


def training(model: Model, largest: Size) -> Iterator[Part]:
    """A step with the largest pictures."""
    config = model.config
    memory, gone = config.memory, set[str]()
    if memory.low_vram:
        gone = idle(model)
    elif memory.unload_text_encoders:
        gone = idle(model) & set(model.text_encoders)
    yield from _weights(model, _everything(model) - gone)
    yield from kept_of_network(model)
    yield Part("activations", activation_bytes(model, largest))
    yield Part("unpacked weight", _unpacked(model))
    yield Part("latents", _latents(model, largest))
    if config.caching.latents == "off" and model.table.vae is not None:
        pixels = math.prod(largest)
        yield Part(
            "pictures at work", _vae_bytes(model, model.table.vae, model.table.vae.encode, pixels, config.batching.size)
        )


def kept_of_network(model: Model) -> Iterator[Part]:
    """The adapter, its gradients, what the optimizer remembers and the running mean."""
    config, shapes = model.config, model.network_shapes
    numbers, item = model.network_numbers, ITEM[config.memory.adapter_precision]
    yield Part("adapter", numbers * item)
    states = model.remembered(
        ("optimizer_bytes", config.optimizer.model_dump_json()), lambda: optimizer_bytes(shapes, config.optimizer)
    )
    yield Part("optimizer", states)
    yield Part("gradients", _gradients(model, item))
    yield Part("running mean", 4 * numbers if config.ema.decay is not None else 0)


def _gradients(model: Model, item: int) -> int:
    optimizer = model.config.optimizer
    numbers = model.network_numbers
    if optimizer.fused_backward_pass:
        return max(map(math.prod, model.network_shapes)) * item
    if optimizer.fused_optimizer_groups:
        return numbers * item // optimizer.fused_optimizer_groups
    return numbers * item


def activation_bytes(model: Model, largest: Size) -> int:
    """Of the denoiser and of trained text encoders."""
    config = model.config
    scene = model.scene(largest, config.batching.size)
    policy, every = config.memory.gradient_checkpointing, config.memory.checkpoint_every
    total = 0.0
    for component in (model.spec.denoiser, *model.trained_text_encoders):
        passes = component == model.spec.denoiser and bool(model.trained_text_encoders)
        how = Training(model.trained(component), config.network, policy, every, passes)
        key = ("activations", component, policy, every, passes, scene)
        total += model.remembered(key, partial(activations, model.net(component), how, scene)) * model.scales[component]
    return round(total)


def _unpacked(model: Model) -> int:
    """The largest packed weight, in the arithmetic's format and once more while it is made."""
    memory = model.config.memory
    if memory.denoiser_weights == "full":
        return 0
    key = ("unpacked", memory.keep_full_if_contains)
    return 2 * model.remembered(key, lambda: _largest_packed(model)) * ITEM[memory.precision]


def _largest_packed(model: Model) -> int:
    memory = model.config.memory
    sizes = [math.prod(layer.shape) for layer in model.layers
             if layer.kind != "norm" and layer.path.startswith(f"{model.spec.denoiser}.")
             and is_packed(layer.path.partition(".")[2], memory.keep_full_if_contains)]  # fmt: skip
    return max(sizes, default=0)


def _latents(model: Model, largest: Size) -> int:
    """Latents, noise, their mixture, the target and the prediction in fp32, and the texts."""
    pictures = model.config.batching.size
    numbers = model.table.channels * model.latents(largest)
    return round(pictures * (5 * 4 * numbers + model.table.text.at(0, model.tokens)))


def _samples(model: Model) -> Iterator[Part]:
    config = model.config
    pictures = pictures_of(model)
    if not pictures:
        return
    remembered = config.memory.low_vram or config.memory.unload_text_encoders
    gone = idle(model) & set(model.text_encoders) if remembered else set()
    yield from _weights(model, _everything(model) - gone)
    yield from (part for part in kept_of_network(model) if part.name != "gradients")
    yield Part("sample at work", round(max(_of_sample(model, each) for each in set(pictures))))


def _of_sample(model: Model, picture: Picture) -> float:
    scene = model.scene(picture.size, picture.at_once)
    work = scene.size(model.table.denoiser.forward) * model.scales[model.spec.denoiser]
    if model.table.vae is None:
        return work
    return max(work, _vae_bytes(model, model.table.vae, model.table.vae.decode, math.prod(picture.size), 1))
