"""How the native model of an architecture names its layers, and which of ours it fuses into one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from loratory.config.architectures.base import ArchitectureSpec, Shapes


@dataclass(frozen=True)
class Place:
    """Where a layer sits in the native model: the native layer's dotted path and, if it is fused, its turn there."""

    name: str
    turn: int = 0
    swapped: bool = False
    """The native layer has the two halves of its output rows the other way round."""


@dataclass(frozen=True)
class NativeLayer:
    """One layer of a file: the model's layers (full paths) it stands for, in the order of their rows."""

    name: str
    parts: tuple[str, ...]
    swapped: bool = False


def _diffusers_places(paths: Sequence[str]) -> dict[str, Place]:
    return {path: Place(path) for path in paths}


_SGM_OUTER = {
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
    "conv_norm_out": "out.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
_SGM_LEAVES = {
    "norm1": "in_layers.0",
    "norm2": "out_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_SGM_BLOCK = re.compile(
    r"(?P<side>down_blocks|up_blocks|mid_block)\.?(?P<level>\d+)?"
    r"\.(?P<kind>resnets|attentions|downsamplers|upsamplers)\.(?P<number>\d+)\.(?P<leaf>.+)"
)


def _sgm_places(paths: Sequence[str]) -> dict[str, Place]:
    """LDM and SGM number the blocks through: input_blocks.1, .2 and .3 are level 0's two blocks and its downsampler."""
    blocks = 1 + max((int(number) for number in _numbers(r"down_blocks\.\d+\.resnets\.(\d+)\.", paths)), default=1)
    with_attention = {int(level) for level in _numbers(r"up_blocks\.(\d+)\.attentions\.", paths)}
    return {path: Place(_sgm_name(path, blocks, with_attention)) for path in paths}


def _numbers(pattern: str, paths: Iterable[str]) -> Iterator[str]:
    return (match[1] for path in paths if (match := re.match(pattern, path)))


def _sgm_name(path: str, blocks: int, with_attention: set[int]) -> str:
    match = _SGM_BLOCK.fullmatch(path)
    if match is None:
        return _SGM_OUTER.get(path, path)
    side, kind, leaf = match["side"], match["kind"], match["leaf"]
    level, number = int(match["level"] or 0), int(match["number"])
    leaf = _SGM_LEAVES.get(leaf, leaf)
    if kind == "downsamplers":
        return f"input_blocks.{(blocks + 1) * (level + 1)}.0.op"
    if kind == "upsamplers":
        return f"output_blocks.{(blocks + 1) * level + blocks}.{2 if level in with_attention else 1}.{leaf}"
    if side == "mid_block":
        return f"middle_block.{2 * number + (kind == 'attentions')}.{leaf}"
    first = "input_blocks" if side == "down_blocks" else "output_blocks"
    index = (blocks + 1) * level + number + (side == "down_blocks")
    return f"{first}.{index}.{int(kind == 'attentions')}.{leaf}"


# A value is the native layer and the turn of ours in it.
_BFL_DOUBLE = {
    "norm1.linear": ("img_mod.lin", 0),
    "attn.to_q": ("img_attn.qkv", 0),
    "attn.to_k": ("img_attn.qkv", 1),
    "attn.to_v": ("img_attn.qkv", 2),
    "attn.to_out.0": ("img_attn.proj", 0),
    "ff.net.0.proj": ("img_mlp.0", 0),
    "ff.net.2": ("img_mlp.2", 0),
    "norm1_context.linear": ("txt_mod.lin", 0),
    "attn.add_q_proj": ("txt_attn.qkv", 0),
    "attn.add_k_proj": ("txt_attn.qkv", 1),
    "attn.add_v_proj": ("txt_attn.qkv", 2),
    "attn.to_add_out": ("txt_attn.proj", 0),
    "ff_context.net.0.proj": ("txt_mlp.0", 0),
    "ff_context.net.2": ("txt_mlp.2", 0),
    "attn.norm_q": ("img_attn.norm.query_norm", 0),
    "attn.norm_k": ("img_attn.norm.key_norm", 0),
    "attn.norm_added_q": ("txt_attn.norm.query_norm", 0),
    "attn.norm_added_k": ("txt_attn.norm.key_norm", 0),
}
_BFL_SINGLE = {
    "attn.to_q": ("linear1", 0),
    "attn.to_k": ("linear1", 1),
    "attn.to_v": ("linear1", 2),
    "proj_mlp": ("linear1", 3),
    "proj_out": ("linear2", 0),
    "norm.linear": ("modulation.lin", 0),
    "attn.norm_q": ("norm.query_norm", 0),
    "attn.norm_k": ("norm.key_norm", 0),
}
_BFL_OUTER = {
    "x_embedder": "img_in",
    "context_embedder": "txt_in",
    "time_text_embed.timestep_embedder.linear_1": "time_in.in_layer",
    "time_text_embed.timestep_embedder.linear_2": "time_in.out_layer",
    "time_text_embed.text_embedder.linear_1": "vector_in.in_layer",
    "time_text_embed.text_embedder.linear_2": "vector_in.out_layer",
    "time_text_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
    "time_text_embed.guidance_embedder.linear_2": "guidance_in.out_layer",
    "norm_out.linear": "final_layer.adaLN_modulation.1",
    "proj_out": "final_layer.linear",
}
_BFL_BLOCK = re.compile(r"(single_)?transformer_blocks\.(\d+)\.(.+)")


def _bfl_place(path: str) -> Place:
    match = _BFL_BLOCK.fullmatch(path)
    if match is None:
        # diffusers' last norm has scale before shift, the native one shift before scale.
        return Place(_BFL_OUTER.get(path, path), swapped=path == "norm_out.linear")
    kind, leaves = ("single_blocks", _BFL_SINGLE) if match[1] else ("double_blocks", _BFL_DOUBLE)
    leaf, turn = leaves.get(match[3], (match[3], 0))
    return Place(f"{kind}.{match[2]}.{leaf}", turn)


def _bfl_places(paths: Sequence[str]) -> dict[str, Place]:
    return {path: _bfl_place(path) for path in paths}


# By `ArchitectureSpec.native_names`.
_PLACES: dict[str, Callable[[Sequence[str]], dict[str, Place]]] = {
    "diffusers": _diffusers_places,
    "sgm": _sgm_places,
    "bfl": _bfl_places,
}


def native_layers(spec: ArchitectureSpec, modules: Shapes) -> list[NativeLayer]:
    """The denoiser's layers as its native model has them, fused where that one fuses."""
    prefix = spec.denoiser + "."
    paths = [path.removeprefix(prefix) for path in modules if path.startswith(prefix)]
    grouped: dict[str, list[tuple[Place, str]]] = {}
    for path, place in _PLACES[spec.native_names](paths).items():
        grouped.setdefault(place.name, []).append((place, prefix + path))
    layers = []
    for name, members in grouped.items():
        members.sort(key=lambda member: member[0].turn)
        layers.append(NativeLayer(name, tuple(path for _, path in members), members[0][0].swapped))
    return layers
