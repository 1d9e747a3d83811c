"""How NextDiT transformers (Lumina-Image 2, Z-Image) name their layers, and which of ours they fuse into one.

The native model has one layer for queries, keys and values; keys and values may have fewer heads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from loratory.config.architectures.base import Place

BLOCK_PATTERN = r"(layers|noise_refiner|context_refiner)\.\d+"
_BLOCK = re.compile(rf"({BLOCK_PATTERN})\.(.+)")


@dataclass(frozen=True)
class Names:
    """Of one model: our module in a block -> the native one and the turn of ours in it; outside of blocks its name."""

    inside: Mapping[str, tuple[str, int]]
    outside: Mapping[str, str]
    without_modulation: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """What is otherwise in the blocks that refine the text."""

    def places(self, paths: Sequence[str]) -> dict[str, Place]:
        """As `ArchitectureSpec.native_places`."""
        return {path: self._place(path) for path in paths}

    def _place(self, path: str) -> Place:
        match = _BLOCK.fullmatch(path)
        if match is None:
            return Place(self.outside.get(path, path))
        leaf, turn = self._inside(match[2]).get(match[3], (match[3], 0))
        return Place(f"{match[1]}.{leaf}", turn)

    def ours(self, native: str) -> tuple[str, ...]:
        """Our modules that a native one stands for, in the order of its rows; one that is not known keeps its name."""
        match = _BLOCK.fullmatch(native)
        if match is None:
            return (next((ours for ours, name in self.outside.items() if name == native), native),)
        leaves = sorted((turn, ours) for ours, (name, turn) in self._inside(match[2]).items() if name == match[3])
        return tuple(f"{match[1]}.{ours}" for _, ours in leaves) or (native,)

    def _inside(self, kind: str) -> Mapping[str, tuple[str, int]]:
        return self.without_modulation if kind == "context_refiner" and self.without_modulation else self.inside


def _attention(ours: str) -> dict[str, tuple[str, int]]:
    return {
        f"{ours}.to_q": ("attention.qkv", 0),
        f"{ours}.to_k": ("attention.qkv", 1),
        f"{ours}.to_v": ("attention.qkv", 2),
        f"{ours}.to_out.0": ("attention.out", 0),
        f"{ours}.norm_q": ("attention.q_norm", 0),
        f"{ours}.norm_k": ("attention.k_norm", 0),
    }


_LUMINA2 = _attention("attn") | {
    "feed_forward.linear_1": ("feed_forward.w1", 0),
    "feed_forward.linear_2": ("feed_forward.w2", 0),
    "feed_forward.linear_3": ("feed_forward.w3", 0),
    "norm2": ("attention_norm2", 0),
}

LUMINA2 = Names(
    inside=_LUMINA2 | {"norm1.linear": ("adaLN_modulation.1", 0), "norm1.norm": ("attention_norm1", 0)},
    without_modulation=_LUMINA2 | {"norm1": ("attention_norm1", 0)},
    outside={
        "time_caption_embed.caption_embedder.0": "cap_embedder.0",
        "time_caption_embed.caption_embedder.1": "cap_embedder.1",
        "time_caption_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
        "time_caption_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
        "norm_out.linear_1": "final_layer.adaLN_modulation.1",
        "norm_out.linear_2": "final_layer.linear",
    },
)

ZIMAGE = Names(
    inside=_attention("attention"),
    outside={
        "all_x_embedder.2-1": "x_embedder",
        "all_final_layer.2-1.linear": "final_layer.linear",
        "all_final_layer.2-1.adaLN_modulation.1": "final_layer.adaLN_modulation.1",
    },
)
