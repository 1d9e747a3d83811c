"""OmniGen2: a transformer in the manner of Lumina 2, with Qwen2.5-VL as its text encoder and Flux.1's autoencoder.

It is trained here from texts to pictures. Its layers for reference pictures are loaded and wait for that use.
"""

from __future__ import annotations

from loratory.config.architectures.base import ArchitectureSpec, TensorTest, same_places

_NO_REFERENCES = "It reads reference pictures, of which texts alone have none."

SPEC = ArchitectureSpec(
    name="omnigen2",
    title="OmniGen2",
    status="experimental",
    code="loratory.models.omnigen2:load",
    pipeline_class="OmniGen2Pipeline",
    denoiser="transformer",
    text_encoders=("mllm",),
    tokenizers={"mllm": "processor"},
    trainable_text_encoders=(),
    objective="flow",
    size_multiple=16,
    default_resolution=1024,
    # Lumina 2 has no references, and relatives with references (Boogu) have no plain `layers`.
    signatures=(
        (
            TensorTest("time_caption_embed.timestep_embedder.linear_1.bias"),
            TensorTest("ref_image_patch_embedder.weight", axes=2),
            TensorTest("image_index_embedding", axis=0, size=5),
            TensorTest("layers.0.attn.to_q.weight"),
        ),
    ),
    true_config="omnigen2",
    usual_repository="OmniGen2/OmniGen2",
    base_model_version="omnigen2",
    modelspec_architecture="omnigen2",
    modelspec_implementation="https://github.com/VectorSpaceLab/OmniGen2",
    kohya_network_module="networks.lora",
    native_places=same_places,
    kohya_names="native",
    layer_groups={
        r"^transformer\.ref_image_": "reference",
        r"^transformer\..+\.attn\.to_": "attention",
        r"^transformer\..+\.feed_forward\.": "mlp",
        r"^transformer\..+\.norm1\.linear": "modulation",
    },
    trained_groups=("attention", "mlp", "modulation"),
    convolution_groups=(),
    block_pattern=r"(noise_refiner|context_refiner|layers)\.\d+",
    shared_inputs=(r"(.*\.attn)\.to_[qkv]", r"(.*\.feed_forward)\.linear_[13]"),
    unreached={r"transformer\.ref_image_.+": _NO_REFERENCES},
    text_encoder_prefixes={"mllm": "lora_te"},
    comfyui_text_encoders={"mllm": "qwen25_3b.transformer"},
    aitoolkit_names="native",
    sample_steps=28,
    sample_scale=4.0,
    # As its authors train it: mu from 0.5 at 256 tokens to 1.15 at 4096, as Flux.1.
    default_flow_shift=None,
    masks_texts=True,
    pipeline_arguments={"negative": "negative_prompt", "scale": "text_guidance_scale"},
    experimental_because="it was compared with its authors' code, and not yet with its published weights",
    licence="Apache-2.0",
    text_tokens=1024,
    text_settings=("max_tokens",),
    memory={24: "gradient checkpointing, low_vram"},
    notes=("Texts to pictures; editing with reference pictures is not trained yet.",),
)
