"""Diag-OFT: the outputs of a layer are turned in blocks, W'_k = R_kᵀ · W_k. See `networks.turning`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from loratory.config.network import OftConfig
from loratory.config.network_shapes import diag_oft_shape
from loratory.errors import UserError
from loratory.networks import turning
from loratory.networks.layer import dropouts_of, weight_shape
from loratory.networks.state import LayerTensors, stored

REQUIRED = frozenset({"oft_blocks"})
SUFFIXES = turning.SUFFIXES
ALSO_READ = frozenset({"oft_diag"})
"""In older files: the turns themselves."""


def recognised(names: frozenset[str], tensors: Mapping[str, Tensor]) -> bool:
    """BOFT has the same names, with one axis more."""
    return "oft_diag" in names or ("oft_blocks" in names and tensors["oft_blocks"].ndim == 3)


class DiagOftLayer(turning.TurningLayer):
    """oft_blocks (blocks, size, size)."""

    def turn(self, turns: Tensor, rows: Tensor) -> Tensor:
        return (turns.transpose(1, 2) @ rows.reshape(*turns.shape[:2], -1)).view(rows.shape)


def make_layer(base: nn.Module, config: OftConfig, generator: torch.Generator, path: str) -> DiagOftLayer:
    """A fresh adapter for `base`: no turn. Raises UserError when `base` cannot have one."""
    blocks = diag_oft_shape(weight_shape(base)[0], config.rank)
    return DiagOftLayer(base, blocks, config.constraint, config.rescaled, dropouts_of(config))


def layer_from_tensors(base: nn.Module, tensors: LayerTensors) -> DiagOftLayer:
    """An adapter for `base` with stored blocks. Raises UserError for a misfit."""
    layer = DiagOftLayer(base, tensors["oft_blocks"].shape, float(tensors["alpha"]), "rescale" in tensors)
    layer.load_tensors(tensors)
    return layer


# In files


for_file = turning.for_file


def checked(tensors: Mapping[str, Tensor], shape: Sequence[int]) -> LayerTensors:
    """A file's tensors in fp32 and in the shapes of a weight. Raises UserError for what does not fit."""
    if "oft_diag" in tensors:
        tensors = {"oft_blocks": turning.skew_parts(tensors["oft_diag"].to(torch.float32))}
    sizes = tensors["oft_blocks"].shape
    fits = len(sizes) == 3 and sizes[1] == sizes[2] and sizes[0] * sizes[1] == shape[0]
    return turning.checked(tensors, shape, fits)


def fuse(parts: Sequence[LayerTensors | None], rows: Sequence[int]) -> LayerTensors | None:
    """The parts' blocks one after the other, where all parts are there, with blocks of one size and without limit."""
    present = [part for part in parts if part is not None]
    alike = {(part["oft_blocks"].shape[1], "rescale" in part) for part in present}
    if len(present) < len(parts) or len(alike) > 1 or any(float(part["alpha"]) for part in present):
        return None
    rescale = torch.cat([part["rescale"] for part in present]) if "rescale" in present[0] else None
    return stored(oft_blocks=torch.cat([part["oft_blocks"] for part in present]), rescale=rescale, alpha=0.0)


def split(fused: LayerTensors, rows: Sequence[int]) -> list[LayerTensors]:
    """The blocks of each part's rows. Raises UserError where a block reaches over two parts, or a limit binds them."""
    size = fused["oft_blocks"].shape[1]
    if any(height % size for height in rows) or float(fused["alpha"]):
        raise UserError("its blocks reach over several of this model's layers and cannot be taken apart.")
    blocks = fused["oft_blocks"].split([height // size for height in rows])
    rescales = fused["rescale"].split(list(rows)) if "rescale" in fused else [None] * len(rows)
    return [stored(oft_blocks=part, rescale=scale, alpha=0.0) for part, scale in zip(blocks, rescales, strict=True)]
