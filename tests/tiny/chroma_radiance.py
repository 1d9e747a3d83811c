"""A Chroma Radiance of some hundred thousand parameters: patches of 16x16 pixels, no autoencoder."""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor
from transformers import T5EncoderModel, T5TokenizerFast

from loratory.models.common.radiance import ChromaRadiancePipeline, RadianceTransformer
from tests.tiny import _original, _parts, chroma

LAYOUTS = ("original", "original_prefixed", "diffusers")
INDEX = {
    "_class_name": "ChromaRadiancePipeline",
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "T5EncoderModel"],
    "tokenizer": ["transformers", "T5TokenizerFast"],
    "transformer": ["loratory", "RadianceTransformer"],
}
LATENT_CHANNELS, LATENT_FACTOR = 3, 1


def build(folder: Path, **settings: Any) -> Path:
    """diffusers knows no such pipeline: the parts are written one by one."""
    torch.manual_seed(34)
    transformer = RadianceTransformer(
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=4,
        joint_attention_dim=24,
        axes_dims_rope=(4, 4, 8),
        approximator_num_channels=16,
        approximator_hidden_dim=40,
        approximator_layers=2,
        nerf_hidden_size=8,
        nerf_mlp_ratio=2,
        nerf_depth=2,
        nerf_max_freqs=4,
        **settings,
    )
    text_encoder = _parts.t5_text_encoder(24)
    _parts.stir(transformer, text_encoder)
    transformer.save_pretrained(folder / "transformer")
    text_encoder.save_pretrained(folder / "text_encoder")
    _parts.t5_tokenizer().save_pretrained(folder / "tokenizer")
    FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True).save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps(INDEX), encoding="utf-8")
    return folder


def theirs(folder: Path) -> ChromaRadiancePipeline:
    """The parts as their libraries load them."""
    pipeline = ChromaRadiancePipeline(
        transformer=RadianceTransformer.from_pretrained(folder / "transformer", torch_dtype=torch.float32).eval(),
        text_encoder=T5EncoderModel.from_pretrained(folder / "text_encoder", dtype=torch.float32).eval(),
        tokenizer=T5TokenizerFast.from_pretrained(folder / "tokenizer"),
        scheduler=FlowMatchEulerDiscreteScheduler.from_pretrained(folder / "scheduler"),
    )
    return pipeline


def original_names(ours: _original.Tensors) -> _original.Tensors:
    """Chroma's names; the head keeps its own, but scales of norms are called so."""
    head = {name: value for name, value in ours.items() if name.startswith("nerf_")}
    named = {name.replace(".norm.weight", ".norm.scale"): value for name, value in head.items()}
    return chroma.original_names(ours) | named


def single_file(folder: Path, out: Path, layout: str) -> Path:
    """Only the transformer, as it is published; `original_prefixed` as ComfyUI saves it."""
    tensors = _original.component(folder, "transformer")[0]
    if layout != "diffusers":
        tensors = original_names(tensors)
    if layout == "original_prefixed":
        tensors = _original.prefixed("model.diffusion_model.", tensors)
    return _original.write(tensors, out)


def scaled(vae: Any, latents: Tensor, deviation: bool = False) -> Tensor:
    return latents
