"""A Z-Image of some hundred thousand parameters: two blocks, and one each that refines noise and text."""

from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel

from tests.tiny import _nextdit, _original, _parts

LAYOUTS = _nextdit.LAYOUTS
WIDTH = 40


def build(folder: Path) -> Path:
    torch.manual_seed(36)
    transformer = ZImageTransformer2DModel(
        dim=64,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=WIDTH,
        axes_dims=[8, 12, 12],
        axes_lens=[1024, 64, 64],
    )
    vae = _parts.autoencoder(latent_channels=16, scale=0.3611, shift=0.1159, quantised=False)
    text_encoder = _parts.qwen3_language_model(WIDTH, layers=3).model
    _parts.stir(transformer, vae, text_encoder)
    ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=_parts.chat_tokenizer(),
        transformer=transformer,
    ).save_pretrained(folder)
    return folder


class UsualScale(ZImagePipeline):
    def __call__(self, *arguments: Any, **named: Any) -> Any:
        less = {"guidance_scale": named["guidance_scale"] - 1} if "guidance_scale" in named else {}
        return super().__call__(*arguments, **{**named, **less})


def mended(pipeline: Any) -> Any:
    """diffusers (0.42) counts with + scale * (with - without): one less than everybody else."""
    pipeline.__class__ = UsualScale
    return pipeline


_INSIDE = {"attention.to_q.": "attention.qkv.", "attention.to_out.0.": "attention.out.",
           "attention.norm_q.": "attention.q_norm.", "attention.norm_k.": "attention.k_norm."}  # fmt: skip
_OUTSIDE = {"all_x_embedder.2-1.": "x_embedder.", "all_final_layer.2-1.": "final_layer."}


def original_names(ours: _original.Tensors) -> _original.Tensors:
    """As ComfyUI's files have them."""
    return _nextdit.fused(ours, _INSIDE, _OUTSIDE)


def single_file(folder: Path, out: Path, layout: str) -> Path:
    """Only the transformer, as it is published; `original_prefixed` as ComfyUI saves it."""
    tensors = _original.component(folder, "transformer")[0]
    if layout != "diffusers":
        tensors = original_names(tensors)
    if layout == "original_prefixed":
        tensors = _original.prefixed("model.diffusion_model.", tensors)
    return _original.write(tensors, out)
