"""BOFT: the outputs of a layer are turned by several rounds of small blocks, each round over another grouping.

Liu et al. 2023 (arXiv 2311.06243), in the form of LyCORIS: in round i the outputs (c, 2, k) with k = 2^i · size / 2 are
put in the order (c, k, 2), cut into blocks, each block is multiplied by its R, and the order is put back. See
`networks.turning`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from loratory.config.network import OftConfig
from loratory.config.network_shapes import boft_shape
from loratory.networks import turning
from loratory.networks.layer import dropouts_of, operation_of, weight_shape
from loratory.networks.state import LayerTensors

REQUIRED = frozenset({"oft_blocks"})
SUFFIXES = turning.SUFFIXES


def recognised(names: frozenset[str], tensors: Mapping[str, Tensor]) -> bool:
    """Diag-OFT has the same names, with one axis less."""
    return "oft_blocks" in names and tensors["oft_blocks"].ndim == 4


class BoftLayer(turning.TurningLayer):
    """oft_blocks (rounds, blocks, size, size)."""

    def turn(self, turns: Tensor, rows: Tensor) -> Tensor:
        size, width = turns.shape[-1], rows.shape[1]
        for stage, blocks in enumerate(turns):
            half = 2**stage * size // 2
            rows = rows.reshape(-1, 2, half, width).transpose(1, 2).reshape(-1, size, width)
            rows = torch.bmm(blocks, rows)
            rows = rows.reshape(-1, half, 2, width).transpose(1, 2).reshape(-1, width)
        return rows


def make_layer(base: nn.Module, config: OftConfig, generator: torch.Generator, path: str) -> BoftLayer:
    """A fresh adapter for `base`: no turn. Raises UserError when `base` cannot have one."""
    operation_of(base)
    sizes = boft_shape(weight_shape(base)[0], config.rank)
    return BoftLayer(base, sizes, config.constraint, config.rescaled, dropouts_of(config))


def layer_from_tensors(base: nn.Module, tensors: LayerTensors) -> BoftLayer:
    """An adapter for `base` with stored blocks. Raises UserError for a misfit."""
    layer = BoftLayer(base, tensors["oft_blocks"].shape, float(tensors["alpha"]), "rescale" in tensors)
    layer.load_tensors(tensors)
    return layer


# In files


for_file = turning.for_file


def checked(tensors: Mapping[str, Tensor], shape: Sequence[int]) -> LayerTensors:
    """A file's tensors in fp32 and in the shapes of a weight. Raises UserError for what does not fit."""
    sizes = tensors["oft_blocks"].shape
    fits = len(sizes) == 4 and sizes[2] == sizes[3] and sizes[3] % 2 == 0
    fits = fits and sizes[1] * sizes[2] == shape[0] and sizes[1] % 2 ** (sizes[0] - 1) == 0
    return turning.checked(tensors, shape, fits)
