"""Stable Diffusion XL base and what was made from it (Pony, Illustrious, NoobAI, Turbo, Lightning)."""

from __future__ import annotations

from loratory.config.architectures import unet
from loratory.config.architectures.base import ArchitectureSpec, TensorTest
from loratory.config.architectures.sgm import sgm_places

# Told apart by structure: a pooled conditioning (`label_emb`) and three levels, where the refiner, SD 2 unCLIP and
# Stable Video Diffusion, which have it too, have four.
_ORIGINAL_NAMES = (
    TensorTest("input_blocks.0.0.weight", axis=1, size=4),
    TensorTest("label_emb.0.0.weight"),
    TensorTest("input_blocks.9.0.op.weight", absent=True),
)
# Kolors has three levels too, and a projection of its text encoder's output.
_DIFFUSERS_NAMES = (
    TensorTest("conv_in.weight", axis=1, size=4),
    TensorTest("add_embedding.linear_1.weight"),
    TensorTest("down_blocks.3.resnets.0.conv1.weight", absent=True),
    TensorTest("encoder_hid_proj.weight", absent=True),
)

SPEC = ArchitectureSpec(
    name="sdxl",
    title="Stable Diffusion XL",
    status="stable",
    code="loratory.models.sdxl:load",
    pipeline_class="StableDiffusionXLPipeline",
    denoiser="unet",
    text_encoders=("text_encoder", "text_encoder_2"),
    trainable_text_encoders=("text_encoder", "text_encoder_2"),
    objective="ddpm",
    size_multiple=8,
    default_resolution=1024,
    signatures=(_ORIGINAL_NAMES, _DIFFUSERS_NAMES),
    true_config="sdxl",
    usual_repository="stabilityai/stable-diffusion-xl-base-1.0",
    base_model_version="sdxl_base_v1-0",
    modelspec_architecture="stable-diffusion-xl-v1-base",
    modelspec_implementation="https://github.com/Stability-AI/generative-models",
    kohya_network_module="networks.lora",
    native_places=sgm_places,
    kohya_names="native",
    layer_groups=unet.LAYER_GROUPS,
    trained_groups=unet.TRAINED_GROUPS,
    convolution_groups=unet.CONVOLUTION_GROUPS,
    block_pattern=unet.BLOCK_PATTERN,
    shared_inputs=unet.SHARED_INPUTS,
    unreached={
        r"text_encoder\.(?:text_model\.)?encoder\.layers\.(\d+)\..+": "the UNet is told what the last layer but one of "
        "the first text encoder says",
    },
    text_encoder_prefixes={"text_encoder": "lora_te1", "text_encoder_2": "lora_te2"},
    comfyui_text_encoders={"text_encoder": "clip_l.transformer", "text_encoder_2": "clip_g.transformer"},
    text_settings=("max_token_length", "weighted"),
    sample_steps=28,
    sample_scale=6.0,
    licence="CreativeML OpenRAIL++-M",
    text_tokens=75,
    added_tokens=2,
    memory={8: "gradient checkpointing, low_vram", 12: "gradient checkpointing", 24: "nothing special"},
    notes=("Its autoencoder may leave fp16's range; such pictures are done again in fp32 by themselves.",),
)
