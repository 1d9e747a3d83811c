"""HiDream-I1 (Full, Dev, Fast): a mixture of experts, told by four text encoders."""

from __future__ import annotations

from loratory.config.architectures.base import ArchitectureSpec, PartElsewhere, TensorTest, same_places

SPEC = ArchitectureSpec(
    name="hidream",
    title="HiDream-I1",
    status="stable",
    code="loratory.models.hidream:load",
    pipeline_class="HiDreamImagePipeline",
    denoiser="transformer",
    text_encoders=("text_encoder", "text_encoder_2", "text_encoder_3", "text_encoder_4"),
    trainable_text_encoders=(),
    objective="flow",
    size_multiple=16,
    default_resolution=1024,
    # The names are diffusers' everywhere; Full, Dev and Fast have the same tensors.
    signatures=(
        (
            TensorTest("caption_projection.0.linear.weight"),
            TensorTest("x_embedder.proj.weight", axis=1, size=64),
            TensorTest("double_stream_blocks.0.block.attn1.to_q_t.weight"),
            TensorTest("single_stream_blocks.0.block.attn1.to_q.weight"),
        ),
    ),
    true_config="hidream",
    usual_repository="HiDream-ai/HiDream-I1-Full",
    parts_elsewhere={
        "text_encoder_4": PartElsewhere(
            "unsloth/Meta-Llama-3.1-8B-Instruct",
            "It is Llama 3.1 8B Instruct. Set model.parts.text_encoder_4 to a folder that has it with its tokenizer, "
            "or to the Hub id of another copy. Its first home, meta-llama/Llama-3.1-8B-Instruct, is gated: accept the "
            "licence on its page and put HF_TOKEN=… into a file named .env.",
        )
    },
    base_model_version="hidream_i1",
    modelspec_architecture="hidream-i1",
    modelspec_implementation="https://github.com/HiDream-ai/HiDream-I1",
    kohya_network_module="networks.lora",
    native_places=same_places,
    kohya_names="native",
    layer_groups={
        r"\.attn1\.to_": "attention",
        # Each token goes to two of four experts; which, says the gate, which is no layer and gets no adapter.
        r"\.ff_i\.experts\.": "experts",
        r"\.ff_[it]\.": "mlp",
        r"_stream_blocks\.\d+\.block\.adaLN_modulation": "modulation",
    },
    # Of the experts the one that every token goes to.
    trained_groups=("attention", "mlp"),
    convolution_groups=(),
    block_pattern=r"(double_stream_blocks|single_stream_blocks)\.\d+",
    shared_inputs=(
        r"(.*\.attn1)\.to_[qkv]",
        r"(.*\.attn1)\.to_[qkv]_t",
        r"(.*\.ff_[it](?:\.shared_experts|\.experts\.\d+)?)\.w[13]",
    ),
    text_encoder_prefixes={
        "text_encoder": "lora_te1", "text_encoder_2": "lora_te2", "text_encoder_3": "lora_te3",
        "text_encoder_4": "lora_te4",
    },
    comfyui_text_encoders={
        "text_encoder": "clip_l.transformer",
        "text_encoder_2": "clip_g.transformer",
        "text_encoder_3": "t5xxl.transformer",
        "text_encoder_4": "llama.transformer",
    },
    aitoolkit_names="native",
    sample_steps=30,
    sample_scale=5.0,
    default_flow_shift=3.0,
    largest_area=1024 * 1024,
    pipeline_arguments={"negative": "negative_prompt", "scale": "guidance_scale"},
    licence="MIT; Llama 3.1, one of its text encoders, has Meta's licence",
    text_tokens=128,
    text_settings=("max_tokens",),
    memory={48: "weights in fp8, gradient checkpointing, low_vram"},
    notes=(
        "Llama 3.1 8B is not in its repository: it comes from unsloth/Meta-Llama-3.1-8B-Instruct, or from model.parts.",
        "A cached caption takes 33 MB.",
    ),
)  # fmt: skip
