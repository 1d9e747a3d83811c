"""Flux.2 dev: told how strong guidance shall be, with Mistral 3 as its text encoder."""

from __future__ import annotations

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.architectures.bfl import FLUX2
from loratory.config.architectures.flux2 import LAYER_GROUPS, SHARED_INPUTS, diffusers_names, original_names

SPEC = ArchitectureSpec(
    name="flux2",
    title="Flux.2",
    status="stable",
    code="loratory.models.flux2:load",
    pipeline_class="Flux2Pipeline",
    denoiser="transformer",
    text_encoders=("text_encoder",),
    trainable_text_encoders=(),
    objective="flow",
    size_multiple=16,
    default_resolution=1024,
    signatures=(original_names(guided=True), diffusers_names(guided=True)),
    true_config="flux2-dev",
    usual_repository="black-forest-labs/FLUX.2-dev",
    base_model_version="flux_2_dev",
    modelspec_architecture="Flux.2-dev",
    modelspec_implementation="https://github.com/black-forest-labs/flux2",
    kohya_network_module="networks.lora_flux_2",
    native_places=FLUX2.places,
    kohya_names="native",
    layer_groups=LAYER_GROUPS,
    trained_groups=("attention", "mlp"),
    convolution_groups=(),
    block_pattern=r"(double_blocks|single_blocks)\.\d+",
    shared_inputs=SHARED_INPUTS,
    text_encoder_prefixes={"text_encoder": "lora_te"},
    comfyui_text_encoders={"text_encoder": "mistral3_24b.transformer"},
    fuses_layers=True,
    aitoolkit_names="native",
    sample_steps=28,
    sample_scale=1.0,
    default_flow_shift=None,
    # Guidance is told (the pipeline's default is 4); there is no negative text.
    pipeline_arguments={"guidance": "guidance_scale"},
    memory={48: "weights in fp8, gradient checkpointing, low_vram", 80: "weights in fp8, gradient checkpointing"},
    licence="FLUX.2 [dev] Non-Commercial License",
    gated=True,
    text_tokens=512,
    text_settings=("max_tokens",),
    notes=("The text encoder is nearly as large as the transformer: keep the text cache on.",),
)
