"""How LDM's and SGM's UNets (Stable Diffusion's own code) name their layers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from loratory.config.architectures.base import Place

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


def sgm_places(paths: Sequence[str]) -> dict[str, Place]:
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
