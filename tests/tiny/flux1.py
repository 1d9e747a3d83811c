"""A Flux.1 dev of some hundred thousand parameters: two double and two single blocks, 16 latent channels."""

import re
from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

from tests.tiny import _original, _parts

LAYOUTS = ("original", "original_prefixed", "diffusers")


def build(folder: Path, *, guidance: bool = True) -> Path:
    torch.manual_seed(12)
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=64,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=24,
        guidance_embeds=guidance,
        axes_dims_rope=(4, 4, 8),
    )
    vae = _parts.autoencoder(latent_channels=16, scale=0.3611, shift=0.1159, quantised=False)
    text_encoder, text_encoder_2 = _parts.clip_text_encoder(24), _parts.t5_text_encoder(32)
    _parts.stir(transformer, vae, text_encoder, text_encoder_2)
    FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0 if guidance else 1.0, use_dynamic_shifting=guidance),
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=_parts.clip_tokenizer(),
        text_encoder_2=text_encoder_2,
        tokenizer_2=_parts.t5_tokenizer(),
        transformer=transformer,
    ).save_pretrained(folder)
    return folder


_EMBEDDERS = {"timestep_embedder": "time_in", "text_embedder": "vector_in", "guidance_embedder": "guidance_in"}
_NORMS = {"norm_q": "img_attn.norm.query_norm", "norm_k": "img_attn.norm.key_norm",
          "norm_added_q": "txt_attn.norm.query_norm", "norm_added_k": "txt_attn.norm.key_norm"}  # fmt: skip


def original_names(ours: _original.Tensors) -> _original.Tensors:
    """Black Forest Labs' names and fused matrices for the tensors of diffusers' transformer."""
    result = {}
    for kind in ("weight", "bias"):
        result[f"img_in.{kind}"] = ours[f"x_embedder.{kind}"]
        result[f"txt_in.{kind}"] = ours[f"context_embedder.{kind}"]
        result[f"final_layer.linear.{kind}"] = ours[f"proj_out.{kind}"]
        scale, shift = ours[f"norm_out.linear.{kind}"].chunk(2)
        result[f"final_layer.adaLN_modulation.1.{kind}"] = torch.cat([shift, scale])
        for embedder, name in _EMBEDDERS.items():
            if f"time_text_embed.{embedder}.linear_1.weight" in ours:
                result[f"{name}.in_layer.{kind}"] = ours[f"time_text_embed.{embedder}.linear_1.{kind}"]
                result[f"{name}.out_layer.{kind}"] = ours[f"time_text_embed.{embedder}.linear_2.{kind}"]
    return result | block_names(ours)


def block_names(ours: _original.Tensors) -> _original.Tensors:
    """Those of the blocks; models without modulation in them (Chroma) have none."""
    result = {}
    numbers = [re.match(r"((?:single_)?transformer_blocks)\.(\d+)\.", name) for name in ours]
    for block, number in sorted({(m[1], int(m[2])) for m in numbers if m}):
        start = f"{block}.{number}."
        one = {name.removeprefix(start): value for name, value in ours.items() if name.startswith(start)}
        names = _double(one) if block == "transformer_blocks" else _single(one)
        prefix = "double_blocks" if block == "transformer_blocks" else "single_blocks"
        result |= {f"{prefix}.{number}.{name}": value for name, value in names.items()}
    return result


def _double(one: _original.Tensors) -> _original.Tensors:
    result = {f"{theirs}.scale": one[f"attn.{ours}.weight"] for ours, theirs in _NORMS.items()}
    for kind in ("weight", "bias"):
        result |= {
            f"img_attn.qkv.{kind}": torch.cat([one[f"attn.to_{part}.{kind}"] for part in "qkv"]),
            f"txt_attn.qkv.{kind}": torch.cat([one[f"attn.add_{part}_proj.{kind}"] for part in "qkv"]),
            f"img_attn.proj.{kind}": one[f"attn.to_out.0.{kind}"],
            f"txt_attn.proj.{kind}": one[f"attn.to_add_out.{kind}"],
            f"img_mlp.0.{kind}": one[f"ff.net.0.proj.{kind}"],
            f"img_mlp.2.{kind}": one[f"ff.net.2.{kind}"],
            f"txt_mlp.0.{kind}": one[f"ff_context.net.0.proj.{kind}"],
            f"txt_mlp.2.{kind}": one[f"ff_context.net.2.{kind}"],
        }
        if f"norm1.linear.{kind}" in one:
            result[f"img_mod.lin.{kind}"] = one[f"norm1.linear.{kind}"]
            result[f"txt_mod.lin.{kind}"] = one[f"norm1_context.linear.{kind}"]
    return result


def _single(one: _original.Tensors) -> _original.Tensors:
    result = {"norm.query_norm.scale": one["attn.norm_q.weight"], "norm.key_norm.scale": one["attn.norm_k.weight"]}
    for kind in ("weight", "bias"):
        parts = [one[f"attn.to_{part}.{kind}"] for part in "qkv"] + [one[f"proj_mlp.{kind}"]]
        result |= {
            f"linear1.{kind}": torch.cat(parts),
            f"linear2.{kind}": one[f"proj_out.{kind}"],
        }
        if f"norm.linear.{kind}" in one:
            result[f"modulation.lin.{kind}"] = one[f"norm.linear.{kind}"]
    return result


def single_file(folder: Path, out: Path, layout: str) -> Path:
    """Only the transformer, as it is published; `original_prefixed` as ComfyUI saves it."""
    tensors = _original.component(folder, "transformer")[0]
    if layout != "diffusers":
        tensors = original_names(tensors)
    if layout == "original_prefixed":
        tensors = _original.prefixed("model.diffusion_model.", tensors)
    return _original.write(tensors, out)
