"""Flux.1 dev and schnell and what was made from them (Krea, de-distilled variants, Flex.1 with fewer blocks)."""

from __future__ import annotations

from loratory.config.architectures.base import ArchitectureSpec, TensorTest
from loratory.config.architectures.bfl import FLUX1
from loratory.config.architectures.text import CLIP_SHARED_INPUT, T5_SHARED_INPUT

# 64 input channels are 16 latent channels in patches of 2x2; Fill, Depth and Canny have more. Chroma has no modulation
# layers in its blocks and no pooled text input, Flux.2 shares one modulation layer, HunyuanVideo refines its text.
_ORIGINAL_NAMES = (
    TensorTest("img_in.weight", axis=1, size=64),
    TensorTest("vector_in.in_layer.weight"),
    TensorTest("double_blocks.0.img_mod.lin.weight"),
    TensorTest("single_blocks.0.linear1.weight"),
    TensorTest("txt_in.individual_token_refiner.blocks.0.norm1.weight", absent=True),
    TensorTest("distilled_guidance_layer.in_proj.bias", absent=True),
    TensorTest("double_stream_modulation_img.lin.weight", absent=True),
)
_DIFFUSERS_NAMES = (
    TensorTest("x_embedder.weight", axis=1, size=64),
    TensorTest("time_text_embed.text_embedder.linear_1.weight"),
    TensorTest("transformer_blocks.0.attn.add_q_proj.weight"),
    TensorTest("single_transformer_blocks.0.proj_mlp.weight"),
)

SPEC = ArchitectureSpec(
    name="flux1",
    title="Flux.1",
    status="stable",
    code="loratory.models.flux1:load",
    pipeline_class="FluxPipeline",
    denoiser="transformer",
    text_encoders=("text_encoder", "text_encoder_2"),
    trainable_text_encoders=("text_encoder",),
    objective="flow",
    size_multiple=16,
    default_resolution=1024,
    signatures=(_ORIGINAL_NAMES, _DIFFUSERS_NAMES),
    true_config="flux1-dev",
    usual_repository="black-forest-labs/FLUX.1-dev",
    base_model_version="flux1",
    modelspec_architecture="flux-1-dev",
    modelspec_implementation="https://github.com/black-forest-labs/flux",
    kohya_network_module="networks.lora_flux",
    native_places=FLUX1.places,
    kohya_names="native",
    layer_groups={
        r"attn\.(to|add)_|self_attn\.|SelfAttention\.": "attention",
        r"\.ff(_context)?\.|\.proj_mlp|single_transformer_blocks\.\d+\.proj_out|\.mlp\.|DenseReluDense\.": "mlp",
        r"transformer_blocks\.\d+\.norm\d?(_context)?\.linear": "modulation",
    },
    trained_groups=("attention", "mlp", "modulation"),
    convolution_groups=(),
    block_pattern=r"(double_blocks|single_blocks)\.\d+",
    shared_inputs=(
        r"(.*\.single_transformer_blocks\.\d+)\.(?:attn\.to_[qkv]|proj_mlp)",
        r"(.*\.attn)\.to_[qkv]",
        r"(.*\.attn)\.add_[qkv]_proj",
        CLIP_SHARED_INPUT,
        T5_SHARED_INPUT,
    ),
    other_names={
        # OneTrainer's T5
        r"lora_te2_(encoder_.+)": r"lora_te3_\1",
        # XLabs' own trainer: 1 is the picture's stream, 2 the text's
        r"double_blocks\.(\d+)\.processor\.qkv_lora1": r"diffusion_model.double_blocks.\1.img_attn.qkv",
        r"double_blocks\.(\d+)\.processor\.qkv_lora2": r"diffusion_model.double_blocks.\1.txt_attn.qkv",
        r"double_blocks\.(\d+)\.processor\.proj_lora1": r"diffusion_model.double_blocks.\1.img_attn.proj",
        r"double_blocks\.(\d+)\.processor\.proj_lora2": r"diffusion_model.double_blocks.\1.txt_attn.proj",
    },
    large_text_encoders=("text_encoder_2",),
    text_encoder_prefixes={"text_encoder": "lora_te1", "text_encoder_2": "lora_te3"},
    comfyui_text_encoders={"text_encoder": "clip_l.transformer", "text_encoder_2": "t5xxl.transformer"},
    fuses_layers=True,
    sample_steps=20,
    sample_scale=1.0,
    default_flow_shift=None,
    # Guidance is told to dev (the pipeline's default is 3.5); a negative text needs the second, true kind.
    pipeline_arguments={"negative": "negative_prompt", "scale": "true_cfg_scale", "guidance": "guidance_scale"},
    licence="FLUX.1 [dev] Non-Commercial License",
    gated=True,
    text_tokens=512,
    text_settings=("max_tokens",),
    memory={
        16: "weights in fp8, gradient checkpointing, low_vram, 512 pixels",
        24: "weights in fp8, gradient checkpointing, low_vram",
    },
    notes=(
        "FLUX.1-schnell (Apache-2.0, gated, 256 tokens of text) is distilled: train it with a training adapter in "
        "model.side_adapters.",
    ),
)
