"""Lumina-Image 2.0."""

from __future__ import annotations

from loratory.config.architectures.base import ArchitectureSpec, TensorTest
from loratory.config.architectures.nextdit import BLOCK_PATTERN, LUMINA2

# 64 input channels are 16 latent channels in patches of 2x2. Z-Image has the same names, but modulation of another
# depth; NewBie reads CLIP beside Gemma; OmniGen 2 reads other pictures.
_ORIGINAL_NAMES = (
    TensorTest("cap_embedder.1.weight"),
    TensorTest("x_embedder.weight", axis=1, size=64),
    TensorTest("layers.0.attention.qkv.weight"),
    TensorTest("layers.0.adaLN_modulation.1.weight"),
    TensorTest("clip_text_pooled_proj.1.weight", absent=True),
)
_DIFFUSERS_NAMES = (
    TensorTest("time_caption_embed.caption_embedder.1.weight"),
    TensorTest("x_embedder.weight", axis=1, size=64),
    TensorTest("layers.0.attn.to_q.weight"),
    TensorTest("context_refiner.0.norm1.weight"),
    TensorTest("ref_image_patch_embedder.weight", absent=True),
)

SPEC = ArchitectureSpec(
    name="lumina2",
    title="Lumina-Image 2",
    status="stable",
    code="loratory.models.lumina2:load",
    pipeline_class="Lumina2Pipeline",
    denoiser="transformer",
    text_encoders=("text_encoder",),
    trainable_text_encoders=(),
    large_text_encoders=("text_encoder",),
    objective="flow",
    size_multiple=16,
    default_resolution=1024,
    signatures=(_ORIGINAL_NAMES, _DIFFUSERS_NAMES),
    true_config="lumina2",
    usual_repository="Alpha-VLLM/Lumina-Image-2.0",
    base_model_version="lumina2",
    modelspec_architecture="lumina-2",
    modelspec_implementation="https://github.com/Alpha-VLLM/Lumina-Image-2.0",
    kohya_network_module="networks.lora_lumina",
    native_places=LUMINA2.places,
    kohya_names="native",
    layer_groups={
        r"\.attn\.to_|self_attn\.": "attention",
        r"\.feed_forward\.|\.mlp\.": "mlp",
        r"\.norm1\.linear": "modulation",
        r"\.norm_out\.linear_": "final",
    },
    trained_groups=("attention", "mlp", "modulation"),
    convolution_groups=(),
    block_pattern=BLOCK_PATTERN,
    shared_inputs=(
        r"(.*\.attn)\.to_[qkv]",
        r"(.*\.feed_forward)\.linear_[13]",
        r"(.*\.self_attn)\.[qkv]_proj",
        r"(.*\.mlp)\.(?:gate|up)_proj",
    ),
    unreached={
        r"text_encoder\.layers\.(\d+)\..+": "the transformer reads what the layer before the last has made",
    },
    text_encoder_prefixes={"text_encoder": "lora_te"},
    comfyui_text_encoders={"text_encoder": "gemma2_2b.transformer.model"},
    fuses_layers=True,
    sample_steps=30,
    sample_scale=4.0,
    default_flow_shift=6.0,
    masks_texts=True,
    pipeline_arguments={"negative": "negative_prompt", "scale": "guidance_scale"},
    licence="Apache-2.0; its text encoder, Gemma 2, has terms of its own",
    text_tokens=256,
    text_settings=("max_tokens",),
    memory={16: "gradient checkpointing, low_vram", 24: "gradient checkpointing"},
    notes=("It was made with long captions: write whole sentences.",),
)
