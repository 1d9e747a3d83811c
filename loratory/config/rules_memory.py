"""Rules about precision, memory and speed. `rules` runs them with the others."""

from __future__ import annotations

from collections.abc import Iterator

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.memory import MemoryConfig
from loratory.config.problems import Problem, rule
from loratory.config.targets import trained_text_encoders
from loratory.config.train import TrainConfig

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
def memory_options_that_do_nothing(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    memory, caching = config.memory, config.caching
    if memory.checkpoint_every > 1 and memory.gradient_checkpointing == "off":
        name = "memory.checkpoint_every"
        yield Problem("warning", (name,), "has no effect without memory.gradient_checkpointing", {name: 1})
    if memory.keep_full_if_contains and not is_packed(memory):
        name = "memory.keep_full_if_contains"
        yield Problem("warning", (name,), "has no effect, because all weights are kept in full", {name: ()})
    needs_texts = caching.text_embeddings == "off" or bool(trained_text_encoders(spec, config.network))
    if memory.offload_encoders and caching.latents == "off" and needs_texts:
        name = "memory.offload_encoders"
        yield Problem("warning", (name,), "has no effect, because every step needs the encoders", {name: False})
    if memory.vae_slicing and (config.batching.size if caching.latents == "off" else caching.batch_size) == 1:
        name = "memory.vae_slicing"
        yield Problem("warning", (name,), "has no effect: pictures are encoded one by one already", {name: False})
