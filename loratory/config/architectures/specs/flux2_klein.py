"""Flux.2 klein, 4B and 9B, base and distilled: no guidance is told, Qwen3 is the text encoder."""

from __future__ import annotations

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.architectures.bfl import FLUX2
from loratory.config.architectures.flux2 import LAYER_GROUPS, SHARED_INPUTS, diffusers_names, original_names

SPEC = ArchitectureSpec(
    name="flux2_klein",
    title="Flux.2 klein",
    status="stable",
    code="loratory.models.flux2:load_klein",
    pipeline_class="Flux2KleinPipeline",
    denoiser="transformer",
    text_encoders=("text_encoder",),
    trainable_text_encoders=(),
    objective="flow",
    size_multiple=16,
    default_resolution=1024,
    signatures=(original_names(guided=False), diffusers_names(guided=False)),
    true_config="flux2_klein-4b",
    other_true_configs=("flux2_klein-9b",),
    usual_repository="black-forest-labs/FLUX.2-klein-base-4B",
    base_model_version="flux_2_klein_4b",
    modelspec_architecture="Flux.2-klein-4b",
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
    comfyui_text_encoders={"text_encoder": "qwen3_4b.transformer"},
    fuses_layers=True,
    aitoolkit_names="native",
    sample_steps=28,
    sample_scale=4.0,
    default_flow_shift=None,
    # The negative text is always empty. Distilled models do without a scale: the pipeline leaves it out.
    pipeline_arguments={"scale": "guidance_scale"},
    memory={
        16: "4B: text encoder in fp8, gradient checkpointing, low_vram",
        24: "9B: weights in fp8, gradient checkpointing, low_vram",
    },
    licence="Apache-2.0",
    text_tokens=512,
    text_settings=("max_tokens",),
    notes=(
        "Train on a base model; the file works on the distilled one, too.",
        "The 9B models are gated, under a non-commercial licence.",
    ),
)
