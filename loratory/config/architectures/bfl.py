"""How Black Forest Labs' transformers name their layers, and which of ours they fuse into one."""

from __future__ import annotations

import re
from collections.abc import Sequence

from loratory.config.architectures.base import Place

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


def bfl_places(paths: Sequence[str]) -> dict[str, Place]:
    return {path: _bfl_place(path) for path in paths}
