"""Z-Image and Z-Image-Turbo, which no header tells apart: the same network, the second distilled to eight steps."""

from __future__ import annotations

from loratory.config.architectures.base import ArchitectureSpec, TensorTest
from loratory.config.architectures.nextdit import BLOCK_PATTERN, ZIMAGE

# 64 input channels are 16 latent channels in patches of 2x2; what was made of it in pixels has more. A text is filled
# up with a token that the model has learned, which Lumina lacks. Omni and Edit are told pictures by SigLIP.
_COMMON = (
    TensorTest("cap_embedder.1.weight"),
    TensorTest("cap_pad_token"),
    TensorTest("layers.0.adaLN_modulation.0.weight"),
    TensorTest("siglip_embedder.1.weight", absent=True),
)
_ORIGINAL_NAMES = (
    *_COMMON,
    TensorTest("x_embedder.weight", axis=1, size=64),
    TensorTest("layers.0.attention.qkv.weight"),
)
_DIFFUSERS_NAMES = (
    *_COMMON,
    TensorTest("all_x_embedder.2-1.weight", axis=1, size=64),
    TensorTest("layers.0.attention.to_q.weight"),
)

SPEC = ArchitectureSpec(
    name="zimage",
    title="Z-Image",
    status="stable",
    code="loratory.models.zimage:load",
    pipeline_class="ZImagePipeline",
    denoiser="transformer",
    text_encoders=("text_encoder",),
    trainable_text_encoders=(),
    objective="flow",
    size_multiple=16,
    default_resolution=1024,
    signatures=(_ORIGINAL_NAMES, _DIFFUSERS_NAMES),
    true_config="zimage",
    # Text encoder and autoencoder are the same in both; the scheduler is Turbo's.
    usual_repository="Tongyi-MAI/Z-Image-Turbo",
    usual_path="Tongyi-MAI/Z-Image",
    base_model_version="z_image",
    modelspec_architecture="Z-Image",
    modelspec_implementation="https://github.com/Tongyi-MAI/Z-Image",
    kohya_network_module="networks.lora_zimage",
    native_places=ZIMAGE.places,
    kohya_names="diffusers",
    layer_groups={
        # Trainers leave the blocks that refine noise and text alone.
        r"_refiner\.": "refiner",
        r"\.layers\.\d+\.attention\.to_": "attention",
        r"\.layers\.\d+\.feed_forward\.": "mlp",
        r"\.layers\.\d+\.adaLN_modulation\.": "modulation",
    },
    trained_groups=("attention", "mlp", "modulation"),
    convolution_groups=(),
    block_pattern=BLOCK_PATTERN,
    shared_inputs=(r"(.*\.attention)\.to_[qkv]", r"(.*\.feed_forward)\.w[13]"),
    other_names={
        # As ComfyUI wants kohya's names, since it has one layer for queries, keys and values.
        r"lora_unet_(layers|noise_refiner|context_refiner)_(\d+)_attention_(qkv|out)": (
            r"diffusion_model.\1.\2.attention.\3"
        ),
    },
    text_encoder_prefixes={"text_encoder": "lora_te"},
    comfyui_text_encoders={"text_encoder": "qwen3_4b.transformer.model"},
    fuses_layers=True,
    aitoolkit_names="diffusion_model",
    sample_steps=28,
    sample_scale=5.0,
    default_flow_shift=3.0,
    masks_texts=True,
    pipeline_arguments={"negative": "negative_prompt", "scale": "guidance_scale"},
    licence="Apache-2.0",
    text_tokens=512,
    text_settings=("max_tokens",),
    memory={16: "weights in fp8, gradient checkpointing, low_vram", 24: "gradient checkpointing, low_vram"},
    notes=(
        "Z-Image-Turbo is the same network, distilled: train it with a training adapter in model.side_adapters, and "
        "make samples with 9 steps and scale 1.",
    ),
)
