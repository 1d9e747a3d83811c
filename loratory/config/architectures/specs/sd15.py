"""Stable Diffusion 1.5 and what was made from it; the bundled demo model has the same layout."""

from __future__ import annotations

from loratory.config.architectures import unet
from loratory.config.architectures.base import ArchitectureSpec, TensorTest
from loratory.config.architectures.sgm import sgm_places

# Told apart by structure, not by widths, so that small models of the same layout are recognised too: projections are
# 1x1 convolutions (in SD 2.x and SDXL they are linear) and there is no second, pooled conditioning.
_ORIGINAL_NAMES = (
    TensorTest("input_blocks.0.0.weight", axis=1, size=4),
    TensorTest("middle_block.1.proj_in.weight", axis=3, size=1),
    TensorTest("label_emb.0.0.weight", absent=True),
)
_DIFFUSERS_NAMES = (
    TensorTest("conv_in.weight", axis=1, size=4),
    TensorTest("mid_block.attentions.0.proj_in.weight", axis=3, size=1),
    TensorTest("add_embedding.linear_1.weight", absent=True),
    TensorTest("class_embedding.weight", absent=True),
)

SPEC = ArchitectureSpec(
    name="sd15",
    title="Stable Diffusion 1.5",
    status="stable",
    code="loratory.models.sd15:load",
    pipeline_class="StableDiffusionPipeline",
    denoiser_config={"use_linear_projection": (None, False)},
    denoiser="unet",
    text_encoders=("text_encoder",),
    trainable_text_encoders=("text_encoder",),
    objective="ddpm",
    size_multiple=8,
    default_resolution=512,
    signatures=(_ORIGINAL_NAMES, _DIFFUSERS_NAMES),
    true_config="sd15",
    usual_repository="stable-diffusion-v1-5/stable-diffusion-v1-5",
    base_model_version="sd_v1",
    modelspec_architecture="stable-diffusion-v1",
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
    comfyui_text_encoders={"text_encoder": "clip_l.transformer"},
    text_settings=("clip_skip", "max_token_length", "weighted"),
    sample_steps=25,
    sample_scale=7.0,
    licence="CreativeML OpenRAIL-M",
    text_tokens=75,
    added_tokens=2,
    memory={6: "nothing special"},
    notes=("text.max_token_length: 225 reads longer captions, in pieces of 75 tokens.",),
)
