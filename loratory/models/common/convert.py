"""From the original programs' tensor names to those of diffusers and transformers.

Each function takes the tensors of a single file (or their outline on the meta device) and the config of one module,
and returns the module's own tensors; none where the file lacks the module.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers.loaders.single_file_utils import (
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_open_clip_checkpoint,
)

from loratory.config.architectures.header import PREFIXES
from loratory.models.common.checkpoint import Tensors

VAE_PREFIXES = ("first_stage_model.", "vae.")
CLIP_PREFIXES = ("cond_stage_model.transformer.", "conditioner.embedders.0.transformer.")
OPEN_CLIP_PREFIX = "conditioner.embedders.1.model."
SD2_CLIP_PREFIX = "cond_stage_model.model."


def with_prefix(tensors: Tensors, prefixes: tuple[str, ...]) -> Tensors:
    """The tensors under the first of the prefixes that occurs, without it."""
    for prefix in prefixes:
        found = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        if found:
            return found
    return {}


def plain_denoiser(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    """The denoiser of a model whose original names are diffusers' own."""
    return with_prefix(tensors, PREFIXES) or tensors


def ldm_unet(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    """The UNet of Stable Diffusion 1.x and SDXL; diffusers' own names are left as they are."""
    unet = with_prefix(tensors, PREFIXES) or tensors
    if "conv_in.weight" in unet:
        return unet
    whole = {"model.diffusion_model." + name: value for name, value in unet.items()}
    converted: Tensors = convert_ldm_unet_checkpoint(whole, config)
    return converted


def ldm_vae(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    """The autoencoder out of a whole model; diffusers' own names are left as they are."""
    return _vae(with_prefix(tensors, VAE_PREFIXES), config)


def vae_file(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    """The autoencoder of a file that may hold nothing else."""
    return _vae(with_prefix(tensors, VAE_PREFIXES) or tensors, config)


def _vae(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    if not tensors:
        return tensors
    if "decoder.mid_block.resnets.0.conv1.weight" in tensors:
        return {_renamed(name): value for name, value in tensors.items()}
    converted: Tensors = convert_ldm_vae_checkpoint(tensors, config)
    return converted


_OLD_ATTENTION_NAMES = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


def _renamed(name: str) -> str:
    """diffusers' name of today for one of before version 0.14."""
    for old, new in _OLD_ATTENTION_NAMES.items():
        name = name.replace(old, new)
    return name


def clip_l(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    """The first text encoder of Stable Diffusion 1.x and SDXL (OpenAI CLIP, with transformers' names)."""
    return clip_file(with_prefix(tensors, CLIP_PREFIXES), config)


def clip_file(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    """A CLIP text model without projection out of a file that holds nothing else."""
    # transformers' CLIPTextModel has no `text_model.` in its names, older files have it or not. Position ids, logit
    # scale and projection, which some files carry along, are no part of it.
    plain = {name.removeprefix("text_model."): value for name, value in tensors.items()}
    return {
        name: value
        for name, value in plain.items()
        if name.startswith(("embeddings.", "encoder.", "final_layer_norm.")) and not name.endswith("position_ids")
    }


def open_clip(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    """The second text encoder of SDXL (OpenCLIP)."""
    if not any(name.startswith(OPEN_CLIP_PREFIX) for name in tensors):
        return {}
    converted: Tensors = convert_open_clip_checkpoint(None, tensors, prefix=OPEN_CLIP_PREFIX)
    return {name: value for name, value in converted.items() if not name.endswith("position_ids")}


def open_clip_h(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    """The text encoder of Stable Diffusion 2 (OpenCLIP), without the layers that the model does not use."""
    if not any(name.startswith(SD2_CLIP_PREFIX) for name in tensors):
        return {}
    converted = clip_file(convert_open_clip_checkpoint(None, tensors, prefix=SD2_CLIP_PREFIX), config)
    surplus = tuple(f"encoder.layers.{number}." for number in range(config["num_hidden_layers"], len(tensors)))
    return {name: value for name, value in converted.items() if not name.startswith(surplus)}


def projected_clip_file(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    """A CLIP text model with projection out of a file that holds nothing else."""
    return {name: value for name, value in tensors.items() if name.startswith(("text_model.", "text_projection."))
            and not name.endswith("position_ids")}  # fmt: skip


def projected_clip(prefix: str) -> Callable[[Tensors, dict[str, Any]], Tensors]:
    """A CLIP text model with projection out of a whole model, under `prefix`."""

    def convert(tensors: Tensors, config: dict[str, Any]) -> Tensors:
        return maybe_projected_clip_file(with_prefix(tensors, (prefix,)), config)

    return convert


def maybe_projected_clip_file(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    """As `projected_clip_file`; a file without a projection leaves the end token as it is, so the projection is 1."""
    found = projected_clip_file(tensors, config)
    if not found or "text_projection.weight" in found:
        return found
    device = next(iter(found.values())).device
    return found | {"text_projection.weight": torch.eye(config["projection_dim"], config["hidden_size"], device=device)}


def t5(prefix: str) -> Callable[[Tensors, dict[str, Any]], Tensors]:
    """A T5 encoder out of a whole model, under `prefix`."""
    return lambda tensors, _: with_prefix(tensors, (prefix,))
