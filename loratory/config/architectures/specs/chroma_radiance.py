"""Chroma Radiance: Chroma in pixels. Each patch of 16x16 is a token; a small network of its own paints its pixels."""

from __future__ import annotations

from loratory.config.architectures.base import ArchitectureSpec, TensorTest
from loratory.config.architectures.bfl import RADIANCE
from loratory.config.architectures.chroma import LAYER_GROUPS, SHARED_INPUTS

_ORIGINAL_NAMES = (
    TensorTest("img_in_patch.weight", axis=1, size=3),
    TensorTest("distilled_guidance_layer.in_proj.weight"),
    TensorTest("double_blocks.0.img_attn.qkv.weight"),
    TensorTest("nerf_blocks.0.param_generator.weight"),
)
_DIFFUSERS_NAMES = (
    TensorTest("patch_embedder.weight", axis=1, size=3),
    TensorTest("distilled_guidance_layer.in_proj.weight"),
    TensorTest("transformer_blocks.0.attn.add_q_proj.weight"),
    TensorTest("nerf_blocks.0.param_generator.weight"),
)

SPEC = ArchitectureSpec(
    name="chroma_radiance",
    title="Chroma Radiance",
    status="experimental",
    code="loratory.models.chroma_radiance:load",
    pipeline_class="ChromaRadiancePipeline",
    denoiser="transformer",
    text_encoders=("text_encoder",),
    trainable_text_encoders=(),
    objective="flow",
    size_multiple=16,
    default_resolution=1024,
    signatures=(_ORIGINAL_NAMES, _DIFFUSERS_NAMES),
    true_config="chroma_radiance",
    usual_repository="lodestones/Chroma1-HD",
    usual_path="./chroma-radiance.safetensors",
    base_model_version="chroma_radiance",
    modelspec_architecture="chroma-radiance",
    modelspec_implementation="https://huggingface.co/lodestones/Chroma",
    kohya_network_module="networks.lora_flux",
    native_places=RADIANCE.places,
    kohya_names="native",
    layer_groups=LAYER_GROUPS,
    trained_groups=("attention", "mlp"),
    convolution_groups=(),
    block_pattern=r"(double_blocks|single_blocks)\.\d+",
    shared_inputs=SHARED_INPUTS,
    text_encoder_prefixes={"text_encoder": "lora_te3"},
    comfyui_text_encoders={"text_encoder": "t5xxl.transformer"},
    large_text_encoders=("text_encoder",),
    fuses_layers=True,
    aitoolkit_names="native",
    sample_steps=28,
    sample_scale=4.0,
    default_flow_shift=None,
    pixel_space=True,
    token_size=16,
    masks_texts=True,
    pipeline_arguments={"negative": "negative_prompt", "scale": "guidance_scale"},
    experimental_because="diffusers has no such model, so the network is our own; it was compared with its authors' "
    "code on small random weights only",
    memory={24: "weights in fp8, gradient checkpointing, low_vram"},
    licence="Apache-2.0",
    text_tokens=512,
    text_settings=("max_tokens",),
    notes=(
        "It works on pixels, without an autoencoder; set caching.latents to off, because cached pictures are large.",
        "The usual repository gives the text encoder only; the model itself is a single file.",
    ),
)
