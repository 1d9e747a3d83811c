"""A Qwen-Image of some hundred thousand parameters: two blocks, 16 latent channels, a language model with eyes."""

import re
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
)
from torch import Tensor

from tests.tiny import _original, _parts

LAYOUTS = ("diffusers", "comfyui", "bundle")
WIDTH = 24
LEVELS, BLOCKS = (1, 1, 2, 2), 1


def autoencoder() -> AutoencoderKLQwenImage:
    """Four levels, so that 8 pixels make one latent, and statistics of each channel as if it had seen pictures."""
    return AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=16,
        dim_mult=list(LEVELS),
        num_res_blocks=BLOCKS,
        latents_mean=torch.linspace(-0.3, 0.4, 16).tolist(),
        latents_std=torch.linspace(0.5, 2.0, 16).tolist(),
    ).eval()


def build(folder: Path) -> Path:
    torch.manual_seed(20)
    transformer = QwenImageTransformer2DModel(
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=3,
        joint_attention_dim=WIDTH,
        axes_dims_rope=(4, 6, 6),
    )
    vae = autoencoder()
    text_encoder = _parts.qwen25_vl_language_model(WIDTH)
    _parts.stir(transformer, vae, text_encoder)
    QwenImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(
            base_shift=0.5, max_shift=0.9, max_image_seq_len=8192, shift_terminal=0.02, use_dynamic_shifting=True
        ),
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=_parts.chat_tokenizer(),
        transformer=transformer,
    ).save_pretrained(folder)
    return folder


def scaled(vae: Any, latents: Tensor, deviation: bool = False) -> Tensor:
    """Latents as the denoiser wants them, channel by channel; only divided if they are deviations."""
    channels = [
        (latents[:, number] - (0.0 if deviation else vae.config.latents_mean[number])) / vae.config.latents_std[number]
        for number in range(16)
    ]
    return torch.stack(channels, dim=1)


# Single files


def original_names(ours: _original.Tensors) -> _original.Tensors:
    """Qwen's own names are diffusers'."""
    return dict(ours)


_RESIDUAL = {"norm1": "residual.0", "conv1": "residual.2", "norm2": "residual.3", "conv2": "residual.6",
             "conv_shortcut": "shortcut"}  # fmt: skip


def original_autoencoder(ours: _original.Tensors, blocks: int = BLOCKS) -> _original.Tensors:
    """Wan's names, which Comfy-Org's file has, too: the ways down and up are plain lists of layers."""
    result = {}
    for name, value in ours.items():
        module, _, leaf = name.rpartition(".")
        module = re.sub(r"\.(norm1|conv1|norm2|conv2|conv_shortcut)$", lambda m: "." + _RESIDUAL[m[1]], module)
        module = re.sub(r"^encoder\.down_blocks\.", "encoder.downsamples.", module)
        module = re.sub(
            r"^decoder\.up_blocks\.(\d+)\.(resnets|upsamplers)\.(\d+)",
            lambda m: (
                f"decoder.upsamples.{int(m[1]) * (blocks + 2) + (int(m[3]) if m[2] == 'resnets' else blocks + 1)}"
            ),
            module,
        )
        module = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"middle.{2 * int(m[1])}", module)
        module = module.replace("mid_block.attentions.0", "middle.1")
        module = module.replace(".conv_in", ".conv1").replace(".norm_out", ".head.0").replace(".conv_out", ".head.2")
        module = {"quant_conv": "conv1", "post_quant_conv": "conv2"}.get(module, module)
        result[f"{module}.{leaf}"] = value
    return result


def original_text_encoder(ours: _original.Tensors) -> _original.Tensors:
    """The names of Qwen2.5-VL as it was published."""
    return {
        name.replace("model.visual.", "visual.").replace("model.language_model.", "model."): value
        for name, value in ours.items()
    }


def single_file(folder: Path, out: Path, layout: str) -> Path:
    """Only the transformer, as it is published; `comfyui` as ComfyUI saves it; `bundle` with everything in one file."""
    tensors = _original.component(folder, "transformer")[0]
    if layout != "diffusers":
        tensors = _original.prefixed("model.diffusion_model.", tensors)
    if layout == "bundle":
        text = original_text_encoder(_original.component(folder, "text_encoder")[0])
        tensors |= _original.prefixed("vae.", original_autoencoder(_original.component(folder, "vae")[0]))
        tensors |= _original.prefixed("text_encoders.qwen25_7b.transformer.", text)
    return _original.write(tensors, out)
