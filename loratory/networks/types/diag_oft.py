"""Diag-OFT: the outputs of a layer are turned in blocks, W'_k = R_kᵀ · W_k with R = (I + Q)(I - Q)⁻¹ and Q = B - Bᵀ.

Qiu et al. 2023 (arXiv 2306.07280). `constraint` limits how far: the length of all Q together stays at or below
constraint · outputs (0: no limit). It is what such files keep under `alpha`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from loratory.config.network import OftConfig
from loratory.config.network_shapes import diag_oft_shape
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
    """BOFT has the same names, with one axis more."""
    return "oft_blocks" in names and tensors["oft_blocks"].ndim == 3


class DiagOftLayer(AdapterLayer):
    """oft_blocks (blocks, size, size) and, if asked, rescale (out,)."""

    def __init__(
        self, base: nn.Module, blocks: int, constraint: float, rescaled: bool, dropouts: Dropouts = NO_DROPOUT
    ) -> None:
        super().__init__(dropouts)
        out = weight_shape(base)[0]
        self.operation = operation_of(base)
        self.frozen = Frozen(base)
        self.constraint = scalar(constraint).item()  # as it is stored
        size, device = out // blocks, device_of(base)
        self.oft_blocks = nn.Parameter(torch.zeros(blocks, size, size, device=device))
        self.rescale = nn.Parameter(torch.ones(out, device=device)) if rescaled else None

    def turns(self) -> Tensor:
        """R, (blocks, size, size) in fp32."""
        return cayley(self.oft_blocks.float(), self.constraint * self.oft_blocks.shape[0] * self.oft_blocks.shape[1])

    def turned(self, rows: Tensor) -> Tensor:
        """W' of a weight, or of any (out, …) in fp32."""
        turns = self.turns()
        blocks = rows.reshape(*turns.shape[:2], *rows.shape[1:])
        result = torch.einsum("knm,kn...->km...", turns, blocks).reshape(rows.shape)
        return result if self.rescale is None else result * self.rescale.view(-1, *(1,) * (rows.ndim - 1))

    def forward(self, x: Tensor, base_output: Tensor) -> Tensor:
        if self.strength == 0:
            return base_output
        plain = self.frozen.without_bias(base_output, self.operation)
        axis = -1 if self.operation.convolution is None else 1
        rows = plain.movedim(axis, 0)
        change = self.drop_rows(self.turned(rows.float()) - rows.float()).movedim(0, axis)
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


def cayley(blocks: Tensor, limit: float) -> Tensor:
    """The turns (…, size, size) that skew parts B - Bᵀ stand for; all of them together no longer than `limit`."""
    skew = blocks - blocks.transpose(-1, -2)
    if limit > 0:
        skew = skew * (limit / skew.norm().clamp(min=limit))
    one = torch.eye(skew.shape[-1], device=skew.device, dtype=skew.dtype)
    return torch.linalg.solve(one - skew, one + skew, left=False)


def make_layer(base: nn.Module, config: OftConfig, generator: torch.Generator, path: str) -> DiagOftLayer:
    """A fresh adapter for `base`: no turn. Raises UserError when `base` cannot have one."""
    operation_of(base)
    blocks = diag_oft_shape(weight_shape(base)[0], config.rank)[0]
    return DiagOftLayer(base, blocks, config.constraint, config.rescaled, dropouts_of(config))


def layer_from_tensors(base: nn.Module, tensors: LayerTensors) -> DiagOftLayer:
    """An adapter for `base` with stored blocks. Raises UserError for a misfit."""
    layer = DiagOftLayer(base, tensors["oft_blocks"].shape[0], float(tensors["alpha"]), "rescale" in tensors)
    layer.load_tensors(tensors)
    return layer


# In files


def checked(tensors: Mapping[str, Tensor], shape: Sequence[int]) -> LayerTensors:
    """A file's tensors in fp32 and in the shapes of a weight. Raises UserError for what does not fit."""
    blocks = tensors["oft_blocks"].to(torch.float32)
    rescale = tensors["rescale"].to(torch.float32).flatten() if "rescale" in tensors else None
    square = blocks.ndim == 3 and blocks.shape[1] == blocks.shape[2]
    if not square or blocks.shape[0] * blocks.shape[1] != shape[0] or (
        rescale is not None and rescale.numel() != shape[0]):  # fmt: skip
        raise misfit(tensors, shape)
    return stored(oft_blocks=blocks, rescale=rescale, alpha=float(tensors["alpha"]) if "alpha" in tensors else 0.0)


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
