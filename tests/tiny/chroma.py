"""A Chroma of some hundred thousand parameters: two double and two single blocks, 16 latent channels."""

from pathlib import Path
from types import MethodType
from typing import Any

import torch
from diffusers import ChromaPipeline, ChromaTransformer2DModel, FlowMatchEulerDiscreteScheduler

from tests.tiny import _original, _parts, flux1

LAYOUTS = ("original", "original_prefixed", "diffusers")


def build(folder: Path) -> Path:
    torch.manual_seed(33)
    transformer = ChromaTransformer2DModel(
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=24,
        axes_dims_rope=(4, 4, 8),
        approximator_num_channels=16,
        approximator_hidden_dim=40,
        approximator_layers=2,
    )
    vae = _parts.autoencoder(latent_channels=16, scale=0.3611, shift=0.1159, quantised=False)
    text_encoder = _parts.t5_text_encoder(24)
    _parts.stir(transformer, vae, text_encoder)
    ChromaPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=_parts.t5_tokenizer(),
        transformer=transformer,
    ).save_pretrained(folder)
    return folder


def mended(pipeline: Any) -> Any:
    """diffusers 0.42 adds the mask to attention's scores instead of masking:
    https://github.com/huggingface/diffusers/issues/12116."""
    original = type(pipeline)._get_t5_prompt_embeds

    def masked(self: Any, *arguments: Any, **named: Any) -> Any:
        embeddings, mask = original(self, *arguments, **named)
        return embeddings, mask == 1

    pipeline._get_t5_prompt_embeds = MethodType(masked, pipeline)
    return pipeline


def original_names(ours: _original.Tensors) -> _original.Tensors:
    """Flux.1's names for what Flux.1 has; the small network for the modulation has names of its own."""
    result = {}
    for name, value in ours.items():
        if name.startswith("distilled_guidance_layer."):
            name = name.replace(".linear_1.", ".in_layer.").replace(".linear_2.", ".out_layer.")
            if ".norms." in name:
                name = name.removesuffix("weight") + "scale"
            result[name] = value
    for kind in ("weight", "bias"):
        for mine, theirs in {"context_embedder": "txt_in", "x_embedder": "img_in", "patch_embedder": "img_in_patch",
                             "proj_out": "final_layer.linear"}.items():  # fmt: skip
            if f"{mine}.{kind}" in ours:
                result[f"{theirs}.{kind}"] = ours[f"{mine}.{kind}"]
    return result | flux1.block_names(ours)


def single_file(folder: Path, out: Path, layout: str) -> Path:
    """Only the transformer, as it is published; `original_prefixed` as ComfyUI saves it."""
    tensors = _original.component(folder, "transformer")[0]
    if layout != "diffusers":
        tensors = original_names(tensors)
    if layout == "original_prefixed":
        tensors = _original.prefixed("model.diffusion_model.", tensors)
    return _original.write(tensors, out)
