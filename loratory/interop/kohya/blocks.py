"""Blocks of the model and kinds of layers in network_args: lists by number there, names here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from loratory.errors import UserError
from loratory.interop.kohya.names import number
from loratory.interop.kohya.reading import Reading

# 25 numbers for Stable Diffusion 1 and 2, and 23 for SDXL: down, middle and up blocks, in SDXL's with what lies before
# and behind them. Each has our names; None is trained in no block here.
_SD = [f"input_blocks.{i}" for i in range(12)] + ["middle_block"] + [f"output_blocks.{i}" for i in range(12)]
_XL = [None, *(f"input_blocks.{i}" for i in range(9)), *["middle_block"] * 3,
       *(f"output_blocks.{i}" for i in range(9)), None]  # fmt: skip
_WEIGHTS = {"sd": (12, 1, 12), "sdxl": (9, 3, 9)}

LAYERS: Mapping[str, Mapping[str, str]] = {
    "flux1": {
        "img_attn_dim": r"/\btransformer_blocks\.\d+\.attn\.to_(q|k|v|out)\b/",
        "txt_attn_dim": r"/\btransformer_blocks\.\d+\.attn\.(add_[qkv]_proj|to_add_out)/",
        "img_mlp_dim": r"/\btransformer_blocks\.\d+\.ff\./",
        "txt_mlp_dim": r"/\btransformer_blocks\.\d+\.ff_context\./",
        "img_mod_dim": r"/\btransformer_blocks\.\d+\.norm1\.linear/",
        "txt_mod_dim": r"/\btransformer_blocks\.\d+\.norm1_context\.linear/",
        "single_dim": r"/single_transformer_blocks\.\d+\.(attn|proj)/",
        "single_mod_dim": r"/single_transformer_blocks\.\d+\.norm\.linear/",
    },
    "sd3": {
        "x_attn_dim": r"/\.attn2?\.to_(q|k|v|out)\b/",
        "context_attn_dim": r"/\.attn\.(add_[qkv]_proj|to_add_out)/",
        "x_mlp_dim": r"/\.ff\./",
        "context_mlp_dim": r"/\.ff_context\./",
        "x_mod_dim": r"/\.norm1\.linear/",
        "context_mod_dim": r"/\.norm1_context\.linear/",
    },
    "lumina2": {
        "refiner_dim": r"/_refiner\./",
        "attn_dim": r"/\.attn\./",
        "mlp_dim": r"/\.feed_forward\./",
        "mod_dim": r"/\.norm1\.linear/",
    },
}
"""Layers here by the argument that gives them a rank of their own; the first that fits counts."""

OUTER: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "flux1": ("in_dims", ("transformer.x_embedder", "timestep_embedder", "text_embedder", "guidance_embedder",
                          "transformer.context_embedder")),
    "sd3": ("emb_dims", ("transformer.context_embedder", "timestep_embedder", "pos_embed.proj", "text_embedder",
                         "norm_out.linear", "transformer.proj_out")),
    "lumina2": ("embedder_dims", ("transformer.x_embedder", "timestep_embedder", "caption_embedder")),
}  # fmt: skip
"""The argument with ranks of layers outside of the blocks, and these in its order."""

Names = Sequence[str | None]


def _block_names(reading: Reading, count: int, name: str) -> Names:
    names: Names | None = _SD if count == 25 else _XL if count == 23 else None
    usual = {"sdxl": 23, "sd15": 25, "sd2": 25}.get(str(reading.architecture), count)
    if names is None or count != usual:
        wanted = "25 (Stable Diffusion 1 and 2) or 23 (SDXL)" if names is None else str(usual)
        raise UserError(f"{reading.where('network_args')} {name} holds {count} numbers; {wanted} were expected.")
    return names


def _numbers(reading: Reading, name: str) -> list[float]:
    text = reading.take_network(name, str, "")
    return [number(part, f"{reading.where('network_args')} {name}") for part in text.split(",") if part.strip()]


def read_block_ranks(reading: Reading, rank: int) -> None:
    """block_dims and block_alphas: a rank and an alpha for each block of the UNet."""
    for name, field in (("block_dims", "block_ranks"), ("block_alphas", "block_alphas")):
        found = _numbers(reading, name)
        if not found:
            continue
        table: dict[str, float] = {}
        for block, value in zip(_block_names(reading, len(found), name), found, strict=True):
            if block is None:
                if name == "block_dims" and value != rank:
                    _outside(reading, name)
            elif table.setdefault(block, value) != value:
                reading.note("unsupported", f"network_args.{name}", "the middle block has one rank here: its first")
        whole = field == "block_ranks"
        reading.set(f"network.targets.{field}", {key: int(each) if whole else each for key, each in table.items()})
    for name in ("conv_block_dims", "conv_block_alphas"):
        if reading.take_network(name, str, ""):
            reading.note("unsupported", f"network_args.{name}", "blocks have no rank of their own for convolutions; "
                         "they have network.conv_rank, or the block's rank where one is given")  # fmt: skip


def _outside(reading: Reading, name: str) -> None:
    reading.note("mapped", f"network_args.{name}", "its first and last number are for layers outside of the blocks, "
                 "which are not trained by default")  # fmt: skip


def read_block_rates(reading: Reading, trained: Callable[[], set[str]]) -> None:
    """down_, mid_ and up_lr_weight: factors of the rate of the UNet's blocks; a block with 0 is not trained.

    `trained`: the names of the blocks in which something is trained.
    """
    names = ("down_lr_weight", "mid_lr_weight", "up_lr_weight")
    threshold = reading.take_network("block_lr_zero_threshold", float, 0.0)
    if not any(reading.take_network(name, str, "") for name in names):
        return
    counts = _WEIGHTS["sdxl" if reading.architecture == "sdxl" else "sd"]
    weights = []
    for name, count in zip(names, counts, strict=True):
        weights += _weights(reading, name, count)
    blocks = _XL[1:-1] if reading.architecture == "sdxl" else _SD
    factors: dict[str, float] = {}
    for block, weight in zip(blocks, weights, strict=True):
        if block is not None and factors.setdefault(block, weight) != weight:
            reading.note("unsupported", "network_args.mid_lr_weight", "the middle block has one rate here: its first")
    off = [block for block, factor in factors.items() if factor <= threshold]
    if off:
        place = reading.data.setdefault("network", {}).setdefault("targets", {}).setdefault("block_ranks", {})
        place.update(dict.fromkeys(off, 0))
    there = trained()
    kept = {block: factor for block, factor in factors.items() if block in there and block not in off}
    if set(kept.values()) - {1.0}:
        reading.set("optimizer.block_rate_factors", kept)


def _weights(reading: Reading, name: str, count: int) -> list[float]:
    """Numbers, or a curve's name with what is added to it: `cosine+.25`. Too few are filled up with ones."""
    text = reading.take_network(name, str, "").strip()
    if not text:
        return [1.0] * count
    word, _, added = text.partition("+")
    if word in _CURVES:
        base = number(added, f"{reading.where('network_args')} {name}") if added else 0.0
        return [_CURVES[word](i / max(1, count - 1)) + base for i in range(count)]
    found = _numbers(reading, name)
    if len(found) != count:
        reading.note("mapped", f"network_args.{name}", f"{count} numbers were expected, {len(found)} given: cut, or "
                     "filled up with 1, as in sd-scripts")  # fmt: skip
    return (found + [1.0] * count)[:count]


_CURVES: Mapping[str, Callable[[float], float]] = {
    "cosine": lambda x: math.sin(math.pi / 2 * (1 - x)),
    "sine": lambda x: math.sin(math.pi / 2 * x),
    "linear": lambda x: x,
    "reverse_linear": lambda x: 1 - x,
    "zeros": lambda x: 0.0,
}
"""The curves of sd-scripts over a list's places from 0 to 1."""


def read_layer_ranks(reading: Reading) -> None:
    """Ranks of attention, MLP and modulation, of the layers outside of the blocks, and the blocks that are trained."""
    architecture = "flux1" if reading.architecture == "chroma" else str(reading.architecture)
    ranks: dict[str, int] = {}
    for name, layers in LAYERS.get(architecture, {}).items():
        value = reading.take_network(name, int)
        if value is not None:
            ranks[layers] = value
    if architecture in OUTER:
        name, outer = OUTER[architecture]
        found = _numbers(reading, name)
        if found and len(found) != len(outer):
            raise UserError(f"{reading.where('network_args')} {name} holds {len(found)} numbers, not {len(outer)}.")
        also = [layer for layer, value in zip(outer, found, strict=False) if value]
        if also:
            ranks |= {layer: int(value) for layer, value in zip(outer, found, strict=False) if value}
            reading.set("network.targets.also_if_contains", also)
    if ranks:
        reading.set("network.targets.layer_ranks", ranks)
    blocks = _chosen_blocks(reading, architecture)
    if blocks is not None:
        reading.set("network.targets.blocks", blocks)


def _chosen_blocks(reading: Reading, architecture: str) -> str | None:
    if architecture == "flux1":
        coarse = reading.take_network("train_blocks", str, "all") or "all"
        if coarse not in ("all", "single", "double"):
            raise UserError(
                f"{reading.where('network_args')} train_blocks is {coarse!r}; all, single or double is known."
            )
        parts = []
        for kind in ("double", "single"):
            indices = reading.take_network(f"train_{kind}_block_indices", str, "all") or "all"
            if coarse in ("all", kind):
                parts += _ranges(f"{kind}_blocks", indices)
        return None if parts == ["double_blocks", "single_blocks"] else ", ".join(parts) or "none"
    if architecture == "sd3":
        indices = reading.take_network("train_block_indices", str, "all") or "all"
        return None if indices == "all" else ", ".join(_ranges("joint_blocks", indices)) or "none"
    if architecture == "lumina2":
        coarse = reading.take_network("train_blocks", str, "all") or "all"
        known = {"all": None, "transformer": "layers", "refiners": "noise_refiner, context_refiner",
                 "noise_refiner": "noise_refiner", "context_refiner": "context_refiner"}  # fmt: skip
        if coarse not in known:
            raise UserError(f"{reading.where('network_args')} train_blocks is {coarse!r}; known: {', '.join(known)}.")
        return known[coarse]
    return None


def _ranges(kind: str, indices: str) -> list[str]:
    """`all`, `none` or `0,2,4-7` as names of blocks."""
    if indices == "all":
        return [kind]
    return [] if indices == "none" else [f"{kind}.{part.strip()}" for part in indices.split(",") if part.strip()]
