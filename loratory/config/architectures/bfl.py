"""How Black Forest Labs' transformers and their relatives name their layers, and which of ours they fuse into one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loratory.config.architectures.base import Place

_BLOCK = re.compile(r"(single_)?transformer_blocks\.(\d+)\.(.+)")


@dataclass(frozen=True)
class Names:
    """Of one family: our module in a block -> the native one and the turn of ours in it; outside of blocks its name."""

    double: Mapping[str, tuple[str, int]]
    single: Mapping[str, tuple[str, int]]
    outer: Mapping[str, str]

    def places(self, paths: Sequence[str]) -> dict[str, Place]:
        """As `ArchitectureSpec.native_places`."""
        return {path: self._place(path) for path in paths}

    def _place(self, path: str) -> Place:
        match = _BLOCK.fullmatch(path)
        if match is None:
            # diffusers' last norm has scale before shift, the native one shift before scale.
            return Place(self.outer.get(path, path), swapped=path == "norm_out.linear")
        kind, leaves = ("single_blocks", self.single) if match[1] else ("double_blocks", self.double)
        leaf, turn = leaves.get(match[3], (match[3], 0))
        return Place(f"{kind}.{match[2]}.{leaf}", turn)


_DOUBLE = {
    "norm1.linear": ("img_mod.lin", 0),
    "attn.to_q": ("img_attn.qkv", 0),
    "attn.to_k": ("img_attn.qkv", 1),
    "attn.to_v": ("img_attn.qkv", 2),
    "attn.to_out.0": ("img_attn.proj", 0),
    "norm1_context.linear": ("txt_mod.lin", 0),
    "attn.add_q_proj": ("txt_attn.qkv", 0),
    "attn.add_k_proj": ("txt_attn.qkv", 1),
    "attn.add_v_proj": ("txt_attn.qkv", 2),
    "attn.to_add_out": ("txt_attn.proj", 0),
    "attn.norm_q": ("img_attn.norm.query_norm", 0),
    "attn.norm_k": ("img_attn.norm.key_norm", 0),
    "attn.norm_added_q": ("txt_attn.norm.query_norm", 0),
    "attn.norm_added_k": ("txt_attn.norm.key_norm", 0),
}
_SINGLE = {
    "norm.linear": ("modulation.lin", 0),
    "attn.norm_q": ("norm.query_norm", 0),
    "attn.norm_k": ("norm.key_norm", 0),
}
_OUTER = {
    "x_embedder": "img_in",
    "context_embedder": "txt_in",
    "norm_out.linear": "final_layer.adaLN_modulation.1",
    "proj_out": "final_layer.linear",
}


def _embedder(ours: str, native: str) -> dict[str, str]:
    return {f"{ours}.linear_1": f"{native}.in_layer", f"{ours}.linear_2": f"{native}.out_layer"}


FLUX1 = Names(
    double=_DOUBLE | {
        "ff.net.0.proj": ("img_mlp.0", 0),
        "ff.net.2": ("img_mlp.2", 0),
        "ff_context.net.0.proj": ("txt_mlp.0", 0),
        "ff_context.net.2": ("txt_mlp.2", 0),
    },
    single=_SINGLE | {
        "attn.to_q": ("linear1", 0),
        "attn.to_k": ("linear1", 1),
        "attn.to_v": ("linear1", 2),
        "proj_mlp": ("linear1", 3),
        "proj_out": ("linear2", 0),
    },
    outer=_OUTER
    | _embedder("time_text_embed.timestep_embedder", "time_in")
    | _embedder("time_text_embed.text_embedder", "vector_in")
    | _embedder("time_text_embed.guidance_embedder", "guidance_in"),
)  # fmt: skip

FLUX2 = Names(
    double=_DOUBLE | {
        "ff.linear_in": ("img_mlp.0", 0),
        "ff.linear_out": ("img_mlp.2", 0),
        "ff_context.linear_in": ("txt_mlp.0", 0),
        "ff_context.linear_out": ("txt_mlp.2", 0),
    },
    single=_SINGLE | {"attn.to_qkv_mlp_proj": ("linear1", 0), "attn.to_out": ("linear2", 0)},
    outer=_OUTER
    | _embedder("time_guidance_embed.timestep_embedder", "time_in")
    | _embedder("time_guidance_embed.guidance_embedder", "guidance_in")
    | {
        f"{name}.linear": f"{name}.lin"
        for name in ("double_stream_modulation_img", "double_stream_modulation_txt", "single_stream_modulation")
    },
)  # fmt: skip

MOST_APPROXIMATOR_LAYERS = 16
"""More than any model has (5)."""

_APPROXIMATOR = {f"distilled_guidance_layer.{name}": f"distilled_guidance_layer.{name}" for name in (
    "in_proj", "out_proj", *(f"norms.{number}" for number in range(MOST_APPROXIMATOR_LAYERS))
)}  # fmt: skip
for _number in range(MOST_APPROXIMATOR_LAYERS):
    _layer = f"distilled_guidance_layer.layers.{_number}"
    _APPROXIMATOR |= _embedder(_layer, _layer)

CHROMA = Names(double=FLUX1.double, single=FLUX1.single, outer={**FLUX1.outer, **_APPROXIMATOR})
"""Flux.1 whose modulation comes out of one small network."""

RADIANCE = Names(double=CHROMA.double, single=CHROMA.single, outer={**CHROMA.outer, "patch_embedder": "img_in_patch"})
"""Chroma in pixels; its head has the same names here and there."""
