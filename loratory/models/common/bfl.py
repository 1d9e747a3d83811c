"""What Black Forest Labs' transformers and their relatives have in common: patches, positions, names in files."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from loratory.config.architectures import Shapes
from loratory.config.architectures.bfl import Names
from loratory.config.architectures.header import PREFIXES
from loratory.models.common.checkpoint import Tensors
from loratory.models.common.convert import with_prefix

# Patches and positions


def pack(latents: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, h/2 * w/2, 4C): each patch of 2x2 becomes a token, channel first."""
    batch, channels, height, width = latents.shape
    patches = latents.reshape(batch, channels, height // 2, 2, width // 2, 2)
    return patches.permute(0, 2, 4, 1, 3, 5).reshape(batch, (height // 2) * (width // 2), 4 * channels)


def unpack(tokens: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `pack` for latents of this height and width."""
    patches = tokens.reshape(tokens.shape[0], height // 2, width // 2, tokens.shape[2] // 4, 2, 2)
    return patches.permute(0, 3, 1, 4, 2, 5).reshape(tokens.shape[0], tokens.shape[2] // 4, height, width)


def image_ids(rows: int, columns: int, device: torch.device, axes: int = 3) -> Tensor:
    """(rows * columns, axes): row and column of each patch on the axes 1 and 2, the others 0.

    Float32, since bfloat16 counts only to 256.
    """
    ids = torch.zeros(rows, columns, axes, device=device)
    ids[..., 1] = torch.arange(rows, device=device)[:, None]
    ids[..., 2] = torch.arange(columns, device=device)[None, :]
    return ids.reshape(rows * columns, axes)


# Single files

_BLOCK = re.compile(r"(double|single)_blocks\.(\d+)\.(.+)\.(weight|bias|scale)")


def transformer_tensors(tensors: Tensors, names: Names) -> Tensors:
    """The transformer of a single file under diffusers' names, whatever its widths."""
    found = with_prefix(tensors, PREFIXES) or tensors
    if "x_embedder.weight" in found:
        return found
    inside = {"double": _inverse(names.double), "single": _inverse(names.single)}
    outside = {native: ours for ours, native in names.outer.items()}
    converted: Tensors = {}
    for name, value in found.items():
        block = _BLOCK.fullmatch(name)
        module, _, leaf = name.rpartition(".")
        if block:
            converted |= _block_tensors(block, value, found, inside[block[1]])
        elif outside.get(module) == "norm_out.linear":
            # Shift then scale there, scale then shift here.
            shift, scale = value.chunk(2)
            converted[f"norm_out.linear.{leaf}"] = torch.cat([scale, shift])
        elif module in outside:
            converted[f"{outside[module]}.{'weight' if leaf == 'scale' else leaf}"] = value
    return converted


def _inverse(leaves: Mapping[str, tuple[str, int]]) -> dict[str, list[str]]:
    """Our modules that make up each native one, in the order of its rows."""
    found: dict[str, list[str]] = {}
    for ours, (native, _) in sorted(leaves.items(), key=lambda item: item[1][1]):
        found.setdefault(native, []).append(ours)
    return found


def _block_tensors(match: re.Match[str], value: Tensor, tensors: Tensors, inside: dict[str, list[str]]) -> Tensors:
    kind, number, module, leaf = match.groups()
    start = f"transformer_blocks.{number}." if kind == "double" else f"single_transformer_blocks.{number}."
    # An unknown module keeps its name, so that the comparison with the model reports it.
    modules = inside.get(module, [module])
    leaf = "weight" if leaf == "scale" else leaf
    if len(modules) == 1:
        return {f"{start}{modules[0]}.{leaf}": value}
    # The width is that of the block's output; what is left of `linear1` after three of it is the MLP's.
    width = value.shape[0] // 3 if len(modules) == 3 else tensors[f"single_blocks.{number}.linear2.weight"].shape[0]
    parts = value.split([width, width, width, value.shape[0] - 3 * width][: len(modules)])
    return {f"{start}{name}.{leaf}": part for name, part in zip(modules, parts, strict=True)}


def block_counts(shapes: Shapes) -> dict[str, int]:
    """`num_layers` and `num_single_layers` of a config, as a file has them."""
    names = "\n".join(shapes)
    double = re.findall(r"(?:^|\.)(?:double_blocks|transformer_blocks)\.(\d+)\.", names, re.MULTILINE)
    single = re.findall(r"(?:^|\.)(?:single_blocks|single_transformer_blocks)\.(\d+)\.", names, re.MULTILINE)
    return {
        "num_layers": max(map(int, double), default=-1) + 1,
        "num_single_layers": max(map(int, single), default=-1) + 1,
    }
