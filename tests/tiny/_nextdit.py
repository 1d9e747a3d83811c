"""What the tiny Lumina 2 and Z-Image have in common: the published names, with queries, keys and values in one."""

import re

import torch

from tests.tiny import _original

LAYOUTS = ("original", "original_prefixed", "diffusers")


def fused(ours: _original.Tensors, inside: dict[str, str], outside: dict[str, str]) -> _original.Tensors:
    """`inside` and `outside`: beginnings of our names, in blocks and elsewhere, and what the published file has."""
    result = {}
    for name, value in ours.items():
        block = re.match(r"((?:layers|noise_refiner|context_refiner)\.\d+\.)(.+)", name)
        table, start, rest = (inside, block[1], block[2]) if block else (outside, "", name)
        if re.search(r"\.to_[kv]\.", rest):
            continue
        if ".to_q." in rest:
            value = torch.cat([ours[name.replace(".to_q.", f".to_{part}.")] for part in "qkv"])
        # The longest beginning counts: `norm1.linear.` before `norm1.`.
        mine = max((known for known in table if rest.startswith(known)), key=len, default=None)
        result[start + (rest if mine is None else table[mine] + rest.removeprefix(mine))] = value
    # A norm that the original program makes and does not use.
    return result | {"norm_final.weight": torch.ones_like(ours["layers.0.ffn_norm1.weight"])}
