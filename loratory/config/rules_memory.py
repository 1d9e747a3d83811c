"""Rules about precision, memory and speed. `rules` runs them with the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.memory import MemoryConfig
from loratory.config.problems import Problem, rule
from loratory.config.targets import Layer, blocks_of, trained_text_encoders
from loratory.config.train import TrainConfig
from loratory.config.weight_formats import BESIDE_RECOVERED
from loratory.errors import UserError

WITHOUT_MASKS = ("flash", "flash_attn", "flash_attn_3", "flash_hub", "flash_3_hub")
HALF_ONLY = ("cudnn", "flash_attn", "flash_attn_3", "flash_hub", "flash_3_hub")


def is_packed(memory: MemoryConfig) -> bool:
    return memory.denoiser_weights != "full" or memory.text_encoder_weights != "full"


@rule
def attention_fits_the_precision(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    memory = config.memory
    if memory.precision == "fp32" and memory.attention in HALF_ONLY:
        yield Problem(
            "error",
            ("memory.attention", "memory.precision"),
            f"{memory.attention} computes in bf16 and fp16 only",
            {"memory.attention": "auto"},
        )


@rule
def attention_can_mask(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    name = config.memory.attention
    if spec.masks_texts and name in WITHOUT_MASKS:
        reason = f"{name} knows no masks, which {spec.title} needs for texts of different lengths"
        yield Problem("error", ("memory.attention",), reason, {"memory.attention": "auto"})


@rule
def swapped_blocks_are_not_compiled(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    if config.memory.blocks_to_swap and config.memory.compile:
        yield Problem(
            "error",
            ("memory.compile", "memory.blocks_to_swap"),
            "compiled blocks hold on to their weights, so these cannot be swapped; choose one of the two",
            {"memory.compile": False},
        )


@rule
def unloaded_text_encoders_are_not_needed(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    name = "memory.unload_text_encoders"
    if not config.memory.unload_text_encoders:
        return
    trained = trained_text_encoders(spec, config.network)
    if trained:
        reason = f"every step needs the text encoders, because {', '.join(trained)} is trained"
        yield Problem("error", (name, "network"), reason, {name: False})
    elif config.caching.text_embeddings == "off":
        reason = "every step needs the text encoders, because captions are not cached"
        yield Problem("error", (name, "caching.text_embeddings"), reason, {"caching.text_embeddings": "memory"})


def check_swap(config: TrainConfig, spec: ArchitectureSpec, layers: Sequence[Layer]) -> None:
    """Raise UserError for more swapped blocks than the model, whose layers these are, can do without at a time."""
    count, blocks = config.memory.blocks_to_swap, len(set(blocks_of(spec, layers).values()))
    if count >= max(blocks, 1):
        raise UserError(
            f"memory.blocks_to_swap: {count} is too many: this model has {blocks} blocks, of which the first always "
            f"stays; {max(blocks - 1, 0)} is the most."
        )


def spread(count: int, blocks: int) -> list[int]:
    """Which blocks to swap: far from each other, so that the others compute while one comes; never the first one."""
    return [number for number in range(blocks) if (number + 1) * count // blocks > number * count // blocks]


@rule
def memory_options_that_do_nothing(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    memory, caching = config.memory, config.caching
    if memory.checkpoint_every > 1 and memory.gradient_checkpointing == "off":
        name = "memory.checkpoint_every"
        yield Problem("warning", (name,), "has no effect without memory.gradient_checkpointing", {name: 1})
    if memory.keep_full_if_contains and not is_packed(memory):
        name = "memory.keep_full_if_contains"
        yield Problem("warning", (name,), "has no effect, because all weights are kept in full", {name: ()})
    needs_texts = caching.text_embeddings == "off" or bool(trained_text_encoders(spec, config.network))
    if memory.low_vram and caching.latents == "off" and needs_texts:
        name = "memory.low_vram"
        yield Problem("warning", (name,), "has no effect, because every step needs the encoders", {name: False})
    if memory.vae_slicing and (config.batching.size if caching.latents == "off" else caching.batch_size) == 1:
        name = "memory.vae_slicing"
        yield Problem("warning", (name,), "has no effect: pictures are encoded one by one already", {name: False})


@rule
def recovery_adapters_belong_to_the_base(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    """They undo the loss of one number format, so there is one of them, and it works always, and as it is."""
    model, weights = config.model, config.memory.denoiser_weights
    recovering = {f"model.side_adapters.{i}": each for i, each in enumerate(model.side_adapters) if each.recovers}
    merged = {merge.path for merge in model.merge}
    for name, adapter in recovering.items():
        if adapter.on != "always":
            reason = f"an adapter that recovers {adapter.recovers} works with these weights always, in samples too"
            yield Problem("error", (f"{name}.on",), reason, {f"{name}.on": "always"})
        if adapter.strength != 1:
            reason = f"undoes the loss of {adapter.recovers} at 1 only"
            yield Problem("warning", (f"{name}.strength",), reason, {f"{name}.strength": 1.0})
        if adapter.path in merged:
            reason = f"an adapter that recovers {adapter.recovers} cannot be merged: it belongs beside rounded weights"
            yield Problem("error", (f"{name}.path", "model.merge"), reason)
        if weights != BESIDE_RECOVERED:
            reason = f"an adapter that recovers {adapter.recovers} expects all other layers in {BESIDE_RECOVERED}"
            field = "memory.denoiser_weights"
            yield Problem("error", (field, f"{name}.recovers"), reason, {field: BESIDE_RECOVERED})
    if len(recovering) > 1:
        fields = tuple(f"{name}.recovers" for name in recovering)
        yield Problem("error", fields, "only one adapter can recover what the number format of the weights has lost")
