"""Chroma (Chroma1-HD, -Base, -Flash): Flux.1 without guidance, whose modulation comes out of one small network."""

from __future__ import annotations

from loratory.config.architectures.base import ArchitectureSpec, TensorTest
from loratory.config.architectures.bfl import CHROMA
from loratory.config.architectures.chroma import LAYER_GROUPS, SHARED_INPUTS

_ORIGINAL_NAMES = (
    TensorTest("img_in.weight", axis=1, size=64),
    TensorTest("distilled_guidance_layer.in_proj.weight"),
    TensorTest("double_blocks.0.img_attn.qkv.weight"),
    TensorTest("single_blocks.0.linear1.weight"),
    TensorTest("vector_in.in_layer.weight", absent=True),
)
_DIFFUSERS_NAMES = (
    TensorTest("x_embedder.weight", axis=1, size=64),
    TensorTest("distilled_guidance_layer.in_proj.weight"),
    TensorTest("transformer_blocks.0.attn.add_q_proj.weight"),
    TensorTest("single_transformer_blocks.0.proj_mlp.weight"),
)

SPEC = ArchitectureSpec(
    name="chroma",
    title="Chroma",
    status="stable",
    code="loratory.models.chroma:load",
    pipeline_class="ChromaPipeline",
    denoiser="transformer",
    text_encoders=("text_encoder",),
    trainable_text_encoders=(),
    objective="flow",
    size_multiple=16,
    default_resolution=1024,
    signatures=(_ORIGINAL_NAMES, _DIFFUSERS_NAMES),
    true_config="chroma",
    usual_repository="lodestones/Chroma1-HD",
    base_model_version="chroma",
    modelspec_architecture="chroma",
    modelspec_implementation="https://huggingface.co/lodestones/Chroma",
    kohya_network_module="networks.lora_flux",
    native_places=CHROMA.places,
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
    masks_texts=True,
    pipeline_arguments={"negative": "negative_prompt", "scale": "guidance_scale"},
    memory={24: "weights in fp8, gradient checkpointing, low_vram"},
    licence="Apache-2.0",
    text_tokens=512,
    text_settings=("max_tokens",),
    notes=("Padding of texts is masked, as its authors do it and diffusers does not.",),
)
