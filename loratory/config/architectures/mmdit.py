"""How Stability's MMDiT (Stable Diffusion 3) names its layers, and which of ours it fuses into one."""

from __future__ import annotations

import re
from collections.abc import Sequence

from loratory.config.architectures.base import Place

# A value is the native layer and the turn of ours in it.
_JOINT = {
    "attn.to_q": ("x_block.attn.qkv", 0),
    "attn.to_k": ("x_block.attn.qkv", 1),
    "attn.to_v": ("x_block.attn.qkv", 2),
    "attn.to_out.0": ("x_block.attn.proj", 0),
    "attn.norm_q": ("x_block.attn.ln_q", 0),
    "attn.norm_k": ("x_block.attn.ln_k", 0),
    "attn.add_q_proj": ("context_block.attn.qkv", 0),
    "attn.add_k_proj": ("context_block.attn.qkv", 1),
    "attn.add_v_proj": ("context_block.attn.qkv", 2),
    "attn.to_add_out": ("context_block.attn.proj", 0),
    "attn.norm_added_q": ("context_block.attn.ln_q", 0),
    "attn.norm_added_k": ("context_block.attn.ln_k", 0),
    "attn2.to_q": ("x_block.attn2.qkv", 0),
    "attn2.to_k": ("x_block.attn2.qkv", 1),
    "attn2.to_v": ("x_block.attn2.qkv", 2),
    "attn2.to_out.0": ("x_block.attn2.proj", 0),
    "attn2.norm_q": ("x_block.attn2.ln_q", 0),
    "attn2.norm_k": ("x_block.attn2.ln_k", 0),
    "ff.net.0.proj": ("x_block.mlp.fc1", 0),
    "ff.net.2": ("x_block.mlp.fc2", 0),
    "ff_context.net.0.proj": ("context_block.mlp.fc1", 0),
    "ff_context.net.2": ("context_block.mlp.fc2", 0),
    "norm1.linear": ("x_block.adaLN_modulation.1", 0),
    "norm1_context.linear": ("context_block.adaLN_modulation.1", 0),
}
_OUTER = {
    "pos_embed.proj": "x_embedder.proj",
    "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
    "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
    "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
    "context_embedder": "context_embedder",
    "norm_out.linear": "final_layer.adaLN_modulation.1",
    "proj_out": "final_layer.linear",
}
_BLOCK = re.compile(r"transformer_blocks\.(\d+)\.(.+)")
_NATIVE_BLOCK = re.compile(r"joint_blocks\.(\d+)\.(.+)")


def mmdit_places(paths: Sequence[str]) -> dict[str, Place]:
    """The last block's text is only read, not changed: its modulation, like the last of all, has no gate, and diffusers
    has its scale before its shift, the native model its shift before its scale.
    """
    last = max((int(match[1]) for path in paths if (match := _BLOCK.fullmatch(path))), default=-1)
    return {path: _place(path, last) for path in paths}


def _place(path: str, last: int) -> Place:
    match = _BLOCK.fullmatch(path)
    if match is None:
        return Place(_OUTER.get(path, path), swapped=path == "norm_out.linear")
    leaf, turn = _JOINT.get(match[2], (match[2], 0))
    swapped = int(match[1]) == last and match[2] == "norm1_context.linear"
    return Place(f"joint_blocks.{match[1]}.{leaf}", turn, swapped)


def layers_of_native(name: str) -> tuple[str, ...]:
    """Our layers that a native one stands for, in the order of their rows; none where it is not known."""
    match = _NATIVE_BLOCK.fullmatch(name)
    if match is None:
        return tuple(ours for ours, native in _OUTER.items() if native == name)
    turns = sorted((turn, ours) for ours, (native, turn) in _JOINT.items() if native == match[2])
    return tuple(f"transformer_blocks.{match[1]}.{ours}" for _, ours in turns)
