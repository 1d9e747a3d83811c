"""Qwen-Image and Qwen-Image-2512, which is the same net trained further."""

from __future__ import annotations

from loratory.config.architectures.base import ArchitectureSpec, TensorTest, same_places

_LAST = r"transformer\.transformer_blocks\.(\d+)\."
_UNUSED = "the picture alone leaves the last block, so what that block makes of the text has no effect"

SPEC = ArchitectureSpec(
    name="qwen_image",
    title="Qwen-Image",
    status="stable",
    code="loratory.models.qwen_image:load",
    pipeline_class="QwenImagePipeline",
    denoiser="transformer",
    text_encoders=("text_encoder",),
    trainable_text_encoders=(),
    objective="flow",
    size_multiple=16,
    default_resolution=1024,
    # The names are diffusers' everywhere. The edit models have the same tensors; that of 2511 carries a mark.
    signatures=(
        (
            TensorTest("txt_norm.weight"),
            TensorTest("img_in.weight", axis=1, size=64),
            TensorTest("transformer_blocks.0.img_mod.1.weight"),
            TensorTest("controlnet_blocks.0.weight", absent=True),
        ),
    ),
    true_config="qwen_image",
    usual_repository="Qwen/Qwen-Image",
    base_model_version="qwen_image",
    modelspec_architecture="Qwen-Image",
    modelspec_implementation="https://github.com/QwenLM/Qwen-Image",
    kohya_network_module="networks.lora_qwen_image",
    native_places=same_places,
    kohya_names="native",
    layer_groups={
        r"attn\.(to|add)_": "attention",
        r"\.(img|txt)_mlp\.": "mlp",
        r"\.(img|txt)_mod\.": "modulation",
    },
    trained_groups=("attention", "mlp"),
    convolution_groups=(),
    block_pattern=r"transformer_blocks\.\d+",
    shared_inputs=(r"(.*\.attn)\.to_[qkv]", r"(.*\.attn)\.add_[qkv]_proj"),
    unreached={
        _LAST + r"attn\.(?:add_q_proj|norm_added_q|to_add_out)": _UNUSED,
        _LAST + r"txt_mlp\.net\.(?:0\.proj|2)": _UNUSED,
    },
    text_encoder_prefixes={"text_encoder": "lora_te"},
    comfyui_text_encoders={"text_encoder": "qwen25_7b.transformer"},
    aitoolkit_names="native",
    sample_steps=30,
    sample_scale=4.0,
    default_flow_shift=None,
    resolution_shift=((256, 0.5), (8192, 0.9)),
    terminal_time=0.02,
    masks_texts=True,
    pipeline_arguments={"negative": "negative_prompt", "scale": "true_cfg_scale"},
    licence="Apache-2.0",
    text_tokens=512,
    most_text_tokens=1024,
    text_settings=("max_tokens",),
    memory={48: "weights in fp8, gradient checkpointing, low_vram"},
    notes=("Qwen-Image-2512 is trained with the same job.",),
)
