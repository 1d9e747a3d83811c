"""What the tiny Flux.2 dev and klein have in common."""

import re
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLFlux2, FlowMatchEulerDiscreteScheduler, Flux2Transformer2DModel
from torch import Tensor

from tests.tiny import _original

LAYOUTS = ("original", "original_prefixed", "diffusers")


def transformer(joint: int, *, guidance: bool) -> Flux2Transformer2DModel:
    """The blocks' gates are wide open, so that a change inside of them can be seen."""
    made = Flux2Transformer2DModel(
        in_channels=128,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=4,
        joint_attention_dim=joint,
        timestep_guidance_channels=16,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=guidance,
    )
    for name, parameter in made.named_parameters():
        if "_stream_modulation" in name:
            parameter.data *= 4
    return made


def autoencoder() -> AutoencoderKLFlux2:
    """Four levels, 32 channels, and statistics of patches as if it had seen pictures."""
    vae = AutoencoderKLFlux2(
        block_out_channels=(8, 8, 16, 16), layers_per_block=1, norm_num_groups=4, sample_size=64
    ).eval()
    vae.bn.running_mean.normal_(std=0.2)
    vae.bn.running_var.uniform_(0.5, 2.0)
    vae.bn.num_batches_tracked.fill_(7)
    return vae


def scheduler() -> FlowMatchEulerDiscreteScheduler:
    return FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)


def scaled(vae: Any, latents: Tensor, deviation: bool = False) -> Tensor:
    """Latents as the denoiser wants them, one patch after the other; only multiplied if they are deviations."""
    result = torch.empty_like(latents)
    for channel in range(latents.shape[1]):
        for place in range(4):
            row, column = divmod(place, 2)
            index = 4 * channel + place
            mean = 0.0 if deviation else vae.bn.running_mean[index]
            values = latents[:, channel, row::2, column::2]
            result[:, channel, row::2, column::2] = (values - mean) / (vae.bn.running_var[index] + 1e-4) ** 0.5
    return result


_OUTSIDE = {
    "x_embedder": "img_in",
    "context_embedder": "txt_in",
    "proj_out": "final_layer.linear",
    "time_guidance_embed.timestep_embedder.linear_1": "time_in.in_layer",
    "time_guidance_embed.timestep_embedder.linear_2": "time_in.out_layer",
    "time_guidance_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
    "time_guidance_embed.guidance_embedder.linear_2": "guidance_in.out_layer",
    "double_stream_modulation_img.linear": "double_stream_modulation_img.lin",
    "double_stream_modulation_txt.linear": "double_stream_modulation_txt.lin",
    "single_stream_modulation.linear": "single_stream_modulation.lin",
}
_DOUBLE = {
    "img_attn.proj.weight": "attn.to_out.0", "txt_attn.proj.weight": "attn.to_add_out",
    "img_mlp.0.weight": "ff.linear_in", "img_mlp.2.weight": "ff.linear_out",
    "txt_mlp.0.weight": "ff_context.linear_in", "txt_mlp.2.weight": "ff_context.linear_out",
    "img_attn.norm.query_norm.scale": "attn.norm_q", "img_attn.norm.key_norm.scale": "attn.norm_k",
    "txt_attn.norm.query_norm.scale": "attn.norm_added_q", "txt_attn.norm.key_norm.scale": "attn.norm_added_k",
}  # fmt: skip
_SINGLE = {
    "linear1.weight": "attn.to_qkv_mlp_proj", "linear2.weight": "attn.to_out",
    "norm.query_norm.scale": "attn.norm_q", "norm.key_norm.scale": "attn.norm_k",
}  # fmt: skip


def original_names(ours: _original.Tensors) -> _original.Tensors:
    """Black Forest Labs' names and fused matrices; nothing has a bias."""
    outside = {f"{mine}.weight": f"{theirs}.weight" for mine, theirs in _OUTSIDE.items()}
    result = {outside[name]: value for name, value in ours.items() if name in outside}
    scale, shift = ours["norm_out.linear.weight"].chunk(2)
    result["final_layer.adaLN_modulation.1.weight"] = torch.cat([shift, scale])
    numbers = [re.match(r"((?:single_)?transformer_blocks)\.(\d+)\.", name) for name in ours]
    for block, number in sorted({(m[1], int(m[2])) for m in numbers if m}):
        start = f"{block}.{number}."
        one = {name.removeprefix(start): value for name, value in ours.items() if name.startswith(start)}
        if block == "transformer_blocks":
            named = {theirs: one[f"{mine}.weight"] for theirs, mine in _DOUBLE.items()}
            named["img_attn.qkv.weight"] = torch.cat([one[f"attn.to_{part}.weight"] for part in "qkv"])
            named["txt_attn.qkv.weight"] = torch.cat([one[f"attn.add_{part}_proj.weight"] for part in "qkv"])
            result |= {f"double_blocks.{number}.{name}": value for name, value in named.items()}
        else:
            named = {theirs: one[f"{mine}.weight"] for theirs, mine in _SINGLE.items()}
            result |= {f"single_blocks.{number}.{name}": value for name, value in named.items()}
    return result


def single_file(folder: Path, out: Path, layout: str) -> Path:
    """Only the transformer, as it is published; `original_prefixed` as ComfyUI saves it."""
    tensors = _original.component(folder, "transformer")[0]
    if layout != "diffusers":
        tensors = original_names(tensors)
    if layout == "original_prefixed":
        tensors = _original.prefixed("model.diffusion_model.", tensors)
    return _original.write(tensors, out)


def original_autoencoder(ours: _original.Tensors) -> _original.Tensors:
    """As in Black Forest Labs' file: the two convolutions of one pixel lie in the encoder and the decoder."""
    plain = {name: value for name, value in ours.items() if not name.startswith("bn.")}
    named = _original.autoencoder(plain, 4)
    moved = {"quant_conv": "encoder.quant_conv", "post_quant_conv": "decoder.post_quant_conv"}
    result = {}
    for name, value in named.items():
        module, _, leaf = name.rpartition(".")
        result[f"{moved.get(module, module)}.{leaf}"] = value
    return result | {name: value for name, value in ours.items() if name.startswith("bn.")}
