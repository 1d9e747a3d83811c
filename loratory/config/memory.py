"""Precision, memory and speed."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import field_validator

from loratory.config.architectures import names_where
from loratory.config.base import StrictModel, Truth, param
from loratory.config.model import Precision
from loratory.config.weight_formats import Weights, own_name

Attention = Literal[
    "auto", "sdpa", "math", "efficient", "flash", "cudnn", "flash_attn", "flash_attn_3", "flash_hub", "flash_3_hub",
    "xformers",
]  # fmt: skip
Checkpointing = Literal["off", "on", "selective", "offload"]


class MemoryConfig(StrictModel):
    precision: Precision = param(
        "bf16",
        help="Number format of the frozen model and of the arithmetic. fp16 needs a GPU.",
        tab="Advanced",
        group="Precision",
        kohya=("mixed_precision",),
        aitoolkit=("train.dtype",),
        affects_cache=True,
    )
    adapter_precision: Precision = param(
        "fp32",
        help="Number format of the trained weights and their gradients. Steps are calculated in fp32 whatever it is.",
        tab="Advanced",
        group="Precision",
        level="advanced",
        kohya=("full_bf16", "full_fp16"),
        on_resume="forbid",
    )
    denoiser_weights: Weights = param(
        "full",
        help="How the frozen denoiser is kept: full is the format of memory.precision; all others take less memory and "
        "are unpacked layer by layer, for more time. Half of bf16: int8 (least time), fp8_e4m3, fp8_e5m2, uint8. About "
        "a quarter: nf4 (needs bitsandbytes) and uint4. The uints have a scale for each 64 numbers; uint3 and uint2 "
        "lose much and are for accuracy-recovery adapters (model.side_adapters). ai-toolkit's names are read, too.",
        tab="Advanced",
        group="Precision",
        kohya=("fp8_base", "fp8_base_unet"),
        aitoolkit=("model.quantize", "model.qtype"),
    )
    text_encoder_weights: Weights = param(
        "full",
        help="How the frozen text encoders are kept; as memory.denoiser_weights.",
        tab="Advanced",
        group="Precision",
        level="advanced",
        aitoolkit=("model.quantize_te", "model.qtype_te"),
        affects_cache=True,
    )
    keep_full_if_contains: tuple[str, ...] = param(
        (),
        help="Layers with one of these texts in their path stay in full where the others are packed, for example "
        "norm1.linear. Normalisations, embeddings and what stands outside of the blocks always do.",
        tab="Advanced",
        group="Precision",
        level="expert",
        aitoolkit=("model.quantize_kwargs.exclude",),
        affects_cache=True,
    )
    tf32: Literal["auto", "on", "off"] = param(
        "auto",
        help="Let an NVIDIA card round what it multiplies in fp32 to 10 bits, which is several times as fast. auto: on "
        "unless runtime.deterministic is.",
        tab="Advanced",
        group="Precision",
        level="expert",
        kohya=("cuda_allow_tf32",),
    )
    attention: Attention = param(
        "auto",
        help="Who computes the denoiser's attention. auto leaves it to PyTorch, and so does sdpa, whatever the "
        "environment says; math, efficient, flash and cudnn are PyTorch's own kernels; flash_attn, flash_attn_3 and "
        "xformers are packages to install; flash_hub and flash_3_hub are fetched from the Hub by the package kernels.",
        tab="Advanced",
        group="Speed",
        level="advanced",
        kohya=("sdpa", "xformers", "mem_eff_attn", "attn_mode"),
        aitoolkit=("train.attention_backend", "train.xformers", "train.sdp"),
    )
    channels_last: bool = param(
        False,
        help="Keep pictures with the channels last, as convolutions on NVIDIA's tensor cores want them.",
        tab="Advanced",
        group="Speed",
        level="advanced",
        architectures=names_where(lambda spec: spec.convolution_groups),
    )
    compile: bool = param(
        False,
        help="Compile the denoiser's blocks with torch.compile. The first step of each size of pictures then takes "
        "minutes; all others take less time. Needs a C++ compiler, and on a card Triton.",
        tab="Advanced",
        group="Speed",
        level="expert",
        owner="machine",
        kohya=("torch_compile", "compile"),
        aitoolkit=("model.compile", "model.block_compile"),
    )
    gradient_checkpointing: Checkpointing = param(
        "off",
        help="Compute blocks a second time in the backward pass instead of keeping their numbers (on): much less "
        "memory for about a third more time. selective keeps the results of attention, which are dear to compute; "
        "offload moves what is still kept to the computer's memory. true and false mean on and off.",
        tab="Advanced",
        group="Memory",
        kohya=("gradient_checkpointing", "cpu_offload_checkpointing"),
        aitoolkit=("train.gradient_checkpointing",),
        on_resume="free",
    )
    checkpoint_every: int = param(
        1,
        ge=1,
        le=100,
        help="Of all blocks only each so-many-th is computed a second time: 2 saves half the memory for half the time.",
        tab="Advanced",
        group="Memory",
        level="advanced",
        on_resume="free",
    )
    blocks_to_swap: int = param(
        0,
        ge=0,
        help="So many of the denoiser's blocks wait in the computer's memory and come to the card one by one, just "
        "before each is used. Changes no number; costs time where a block comes more slowly than others compute.",
        tab="Advanced",
        group="Memory",
        kohya=("blocks_to_swap",),
        aitoolkit=("model.layer_offloading", "model.layer_offloading_transformer_percent"),
        on_resume="free",
    )
    low_vram: bool = param(
        False,
        help="Nothing is on the card that is not at work: the autoencoder comes while pictures are encoded, the text "
        "encoders while captions are, the denoiser afterwards; in between they wait in the computer's memory.",
        tab="Advanced",
        group="Memory",
        aitoolkit=("model.low_vram",),
        owner="machine",
        on_resume="free",
    )
    unload_text_encoders: bool = param(
        False,
        help="The text encoders are given up when all captions and the prompts of samples are encoded; for prompts "
        "that are new they are read from their files again.",
        tab="Advanced",
        group="Memory",
        owner="machine",
        aitoolkit=("train.unload_text_encoder",),
        on_resume="free",
    )
    vae_slicing: bool = param(
        False,
        help="The autoencoder takes the pictures of a batch one by one.",
        tab="Advanced",
        group="Memory",
        level="advanced",
        owner="machine",
        on_resume="free",
    )
    vae_tiling: bool = param(
        False,
        help="The autoencoder takes large pictures in overlapping tiles, which changes them a little.",
        tab="Advanced",
        group="Memory",
        level="advanced",
        affects_cache=True,
    )

    @field_validator("denoiser_weights", "text_encoder_weights", mode="before")
    @classmethod
    def _foreign_format(cls, given: Any) -> Any:
        """ai-toolkit's names of what there is here, too, are read."""
        return own_name(given)

    @field_validator("gradient_checkpointing", mode="before")
    @classmethod
    def _switch(cls, given: Any) -> Any:
        """It was a switch, and still may be written as one."""
        if isinstance(given, Truth):
            return "on" if given.value else "off"
        return given
