"""BOFT: the outputs of a layer are turned by several rounds of small blocks, each round over another grouping.

Liu et al. 2023 (arXiv 2311.06243), in the form of LyCORIS: in round i the outputs (c, 2, k) with k = 2^i · size / 2 are
put in the order (c, k, 2), cut into blocks, each block is multiplied by its R, and the order is put back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from loratory.config.network import OftConfig
from loratory.config.network_shapes import boft_shape
from loratory.errors import UserError
from loratory.networks.layer import (
    NO_DROPOUT,
    AdapterLayer,
    Dropouts,
    Frozen,
    device_of,
    dropouts_of,
    operation_of,
    weight_shape,
)
from loratory.networks.state import LayerTensors, misfit, scalar, stored

REQUIRED = frozenset({"oft_blocks"})
SUFFIXES = {"oft_blocks": "oft_blocks", "rescale": "rescale", "alpha": "alpha"}


def recognised(names: frozenset[str], tensors: Mapping[str, Tensor]) -> bool:
    """Diag-OFT has the same names, with one axis less."""
    return "oft_blocks" in names and tensors["oft_blocks"].ndim == 4


class BoftLayer(AdapterLayer):
    """oft_blocks (rounds, blocks, size, size) and, if asked, rescale (out,)."""

    def __init__(
        self, base: nn.Module, sizes: Sequence[int], constraint: float, rescaled: bool, dropouts: Dropouts = NO_DROPOUT
    ) -> None:
        super().__init__(dropouts)
        self.operation = operation_of(base)
        self.frozen = Frozen(base)
        self.constraint = scalar(constraint).item()  # as it is stored
        device = device_of(base)
        self.oft_blocks = nn.Parameter(torch.zeros(tuple(sizes), device=device))
        self.rescale = nn.Parameter(torch.ones(weight_shape(base)[0], device=device)) if rescaled else None

    def turns(self) -> Tensor:
        """R, (rounds, blocks, size, size) in fp32."""
        blocks = self.oft_blocks.float()
        skew = blocks - blocks.transpose(-1, -2)
        limit = self.constraint * blocks.shape[1] * blocks.shape[2]
        if limit > 0:
            skew = skew * (limit / skew.norm().clamp(min=limit))
        one = torch.eye(skew.shape[-1], device=skew.device)
        return torch.linalg.solve(one - skew, one + skew, left=False)

    def turned(self, rows: Tensor) -> Tensor:
        """W' of a weight, or of any (out, …) in fp32."""
        size = self.oft_blocks.shape[-1]
        flat = rows.flatten(1)
        out, width = flat.shape
        for stage, blocks in enumerate(self.turns()):
            half = 2**stage * size // 2
            flat = flat.reshape(-1, 2, half, width).transpose(1, 2).reshape(-1, size, width)
            flat = torch.bmm(blocks, flat)
            flat = flat.reshape(-1, half, 2, width).transpose(1, 2).reshape(out, width)
        result = flat.view(rows.shape)
        return result if self.rescale is None else result * self.rescale.view(-1, *(1,) * (rows.ndim - 1))

    def forward(self, x: Tensor, base_output: Tensor) -> Tensor:
        if self.strength == 0:
            return base_output
        plain = self.frozen.without_bias(base_output, self.operation)
        axis = -1 if self.operation.convolution is None else 1
        rows = plain.movedim(axis, 0).float()
        turned = self.turned(rows.reshape(rows.shape[0], -1)).view(rows.shape)
        change = self.drop_rows(turned - rows).movedim(0, axis)
        return base_output + (self.drop_inner(change) * self.amount(x)).to(base_output.dtype)

    def delta(self) -> Tensor:
        weight = self.frozen.weight()
        return self.turned(weight) - weight

    def tensors(self) -> LayerTensors:
        return stored(oft_blocks=self.oft_blocks, rescale=self.rescale, alpha=self.constraint)

    @torch.no_grad()
    def load_tensors(self, tensors: LayerTensors) -> None:
        rescale = tensors.get("rescale")
        if tensors["oft_blocks"].shape != self.oft_blocks.shape or (rescale is None) != (self.rescale is None):
            raise UserError(
                f"its blocks {tuple(tensors['oft_blocks'].shape)} do not fit this network's "
                f"{tuple(self.oft_blocks.shape)}; set the rank and `rescaled` that it was trained with."
            )
        self.constraint = float(tensors["alpha"])
        self.oft_blocks.copy_(tensors["oft_blocks"])
        if self.rescale is not None and rescale is not None:
            self.rescale.copy_(rescale)


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


def checked(tensors: Mapping[str, Tensor], shape: Sequence[int]) -> LayerTensors:
    """A file's tensors in fp32 and in the shapes of a weight. Raises UserError for what does not fit."""
    blocks = tensors["oft_blocks"].to(torch.float32)
    rescale = tensors["rescale"].to(torch.float32).flatten() if "rescale" in tensors else None
    square = blocks.ndim == 4 and blocks.shape[2] == blocks.shape[3] and blocks.shape[3] % 2 == 0
    fits = (
        square and blocks.shape[1] * blocks.shape[2] == shape[0] and blocks.shape[1] % 2 ** (blocks.shape[0] - 1) == 0
    )
    if not fits or (rescale is not None and rescale.numel() != shape[0]):
        raise misfit(tensors, shape)
    return stored(oft_blocks=blocks, rescale=rescale, alpha=float(tensors["alpha"]) if "alpha" in tensors else 0.0)
