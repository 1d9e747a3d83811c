"""Stable Diffusion 3 Medium, 3.5 Medium and 3.5 Large, and what was made from them (Turbo)."""

from __future__ import annotations

from loratory.config.architectures.base import ArchitectureSpec, TensorTest
from loratory.config.architectures.mmdit import mmdit_places
from loratory.config.architectures.text import CLIP_SHARED_INPUT, T5_SHARED_INPUT

# The sizes differ in numbers of blocks, normed queries and second attentions only, which a file shows.
_ORIGINAL_NAMES = (
    TensorTest("joint_blocks.0.context_block.attn.qkv.weight"),
    TensorTest("x_embedder.proj.weight", axis=1, size=16),
    TensorTest("y_embedder.mlp.0.weight"),
    TensorTest("controlnet_blocks.0.weight", absent=True),
)
_DIFFUSERS_NAMES = (
    TensorTest("pos_embed.proj.weight", axis=1, size=16),
    TensorTest("time_text_embed.text_embedder.linear_1.weight"),
    TensorTest("transformer_blocks.0.attn.add_q_proj.weight"),
    TensorTest("transformer_blocks.0.norm1_context.linear.weight"),
    TensorTest("controlnet_blocks.0.weight", absent=True),
)

SPEC = ArchitectureSpec(
    name="sd3",
    title="Stable Diffusion 3",
    status="stable",
    code="loratory.models.sd3:load",
    pipeline_class="StableDiffusion3Pipeline",
    denoiser="transformer",
    text_encoders=("text_encoder", "text_encoder_2", "text_encoder_3"),
    trainable_text_encoders=("text_encoder", "text_encoder_2"),
    large_text_encoders=("text_encoder_3",),
    optional_text_encoders=("text_encoder_3",),
    objective="flow",
    size_multiple=16,
    default_resolution=1024,
    signatures=(_ORIGINAL_NAMES, _DIFFUSERS_NAMES),
    true_config="sd3-5-medium",
    other_true_configs=("sd3-5-large", "sd3-medium"),
    usual_repository="stabilityai/stable-diffusion-3.5-medium",
    base_model_version="medium",
    modelspec_architecture="stable-diffusion-3-medium",
    modelspec_implementation="diffusers",
    kohya_network_module="networks.lora_sd3",
    native_places=mmdit_places,
    kohya_names="native",
    layer_groups={
        r"attn2?\.(to|add)_|self_attn\.|SelfAttention\.": "attention",
        r"\.ff(_context)?\.|\.mlp\.|DenseReluDense\.": "mlp",
        r"transformer_blocks\.\d+\.norm1(_context)?\.linear": "modulation",
    },
    trained_groups=("attention", "mlp", "modulation"),
    convolution_groups=(),
    block_pattern=r"joint_blocks\.\d+",
    shared_inputs=(
        r"(.*\.attn2?)\.to_[qkv]",
        r"(.*\.attn)\.add_[qkv]_proj",
        CLIP_SHARED_INPUT,
        T5_SHARED_INPUT,
    ),
    unreached={
        r"transformer\.transformer_blocks\.(\d+)\.attn\.(?:add_q_proj|norm_added_q)": "what the last block would make "
        "of the text is not computed, so nothing depends on the text's queries",
    },
    text_encoder_prefixes={"text_encoder": "lora_te1", "text_encoder_2": "lora_te2", "text_encoder_3": "lora_te3"},
    comfyui_text_encoders={
        "text_encoder": "clip_l.transformer",
        "text_encoder_2": "clip_g.transformer",
        "text_encoder_3": "t5xxl.transformer",
    },
    fuses_layers=True,
    sample_steps=28,
    sample_scale=5.0,
    default_flow_shift=3.0,
    pipeline_arguments={"negative": "negative_prompt", "scale": "guidance_scale"},
    licence="Stability AI Community License",
    gated=True,
    text_tokens=256,
    most_text_tokens=512,
    added_tokens=77,
    text_settings=("max_tokens",),
    memory={
        16: "Medium: gradient checkpointing, low_vram",
        24: "Large: weights in fp8, gradient checkpointing, low_vram",
    },
    notes=(
        "T5 can be left out: model.parts: {text_encoder_3: null}; the model is told less then.",
        "Large (8 billion) needs more than twice the memory of Medium.",
    ),
)
