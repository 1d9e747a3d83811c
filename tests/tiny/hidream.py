"""A HiDream-I1 of some hundred thousand parameters: a double and two single blocks, two of three experts chosen."""

import math
from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, HiDreamImagePipeline, HiDreamImageTransformer2DModel

from tests.tiny import _original, _parts

WIDTH, WIDTH_2, WIDTH_T5, WIDTH_LLAMA = 24, 16, 32, 8
LAYOUTS = ("diffusers", "comfyui", "bundle")


def build(folder: Path) -> Path:
    torch.manual_seed(17)
    transformer = HiDreamImageTransformer2DModel(
        patch_size=2,
        in_channels=16,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        caption_channels=[WIDTH_T5, WIDTH_LLAMA],
        text_emb_dim=WIDTH + WIDTH_2,
        num_routed_experts=3,
        num_activated_experts=2,
        axes_dims_rope=(8, 4, 4),
        max_resolution=(16, 16),
        llama_layers=[0, 1, 1],
    )
    vae = _parts.autoencoder(latent_channels=16, scale=0.3611, shift=0.1159, quantised=False)
    text_encoder = _parts.clip_text_encoder(WIDTH, projection=WIDTH, hidden_act="quick_gelu", positions=248)
    text_encoder_2 = _parts.clip_text_encoder(WIDTH_2, projection=WIDTH_2, positions=248)
    text_encoder_3 = _parts.t5_text_encoder(WIDTH_T5)
    text_encoder_4 = _parts.llama_language_model(WIDTH_LLAMA, layers=2)
    _parts.stir(transformer, vae, text_encoder, text_encoder_2, text_encoder_3, text_encoder_4)
    HiDreamImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=_parts.clip_tokenizer(),
        text_encoder_2=text_encoder_2,
        tokenizer_2=_parts.clip_tokenizer(),
        text_encoder_3=text_encoder_3,
        tokenizer_3=_parts.t5_tokenizer(),
        text_encoder_4=text_encoder_4,
        tokenizer_4=_parts.chat_tokenizer(),
        transformer=transformer,
    ).save_pretrained(folder)
    return folder


class Sized(HiDreamImagePipeline):
    """As diffusers', with the area of its pictures as it is asked for: it has that of 1024 x 1024 written into it."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.default_sample_size = math.sqrt(named["height"] * named["width"] + 1e-6) / 8
        return super().__call__(*arguments, **named)


def mended(pipeline: Any) -> Any:
    """For pictures of any size."""
    pipeline.__class__ = Sized
    return pipeline


def original_names(ours: _original.Tensors) -> _original.Tensors:
    """HiDream's own names are diffusers'."""
    return dict(ours)


def single_file(folder: Path, out: Path, layout: str) -> Path:
    """Only the transformer, as it is published; `comfyui` as ComfyUI saves it; `bundle` with everything in one file."""
    tensors = _original.component(folder, "transformer")[0]
    if layout != "diffusers":
        tensors = _original.prefixed("model.diffusion_model.", tensors)
    if layout == "bundle":
        tensors |= _original.prefixed("vae.", _original.autoencoder(_original.component(folder, "vae")[0], 4))
        for name, ours in (("clip_l", "text_encoder"), ("clip_g", "text_encoder_2"), ("t5xxl", "text_encoder_3"),
                           ("llama", "text_encoder_4")):  # fmt: skip
            tensors |= _original.prefixed(f"text_encoders.{name}.transformer.", _original.component(folder, ours)[0])
    return _original.write(tensors, out)
