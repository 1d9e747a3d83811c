"""What the types that turn a layer's outputs share: Diag-OFT in one round of blocks, BOFT in several.

Qiu et al. 2023 (arXiv 2306.07280): R = (I + Q)(I - Q)⁻¹ with Q = B - Bᵀ is a rotation whatever B is (Cayley).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from loratory.config.network_shapes import column
from loratory.errors import UserError
from loratory.networks.layer import (
    NO_DROPOUT,
    AdapterLayer,
    Dropouts,
    Frozen,
    device_of,
    operation_of,
    take_over,
    weight_shape,
)
from loratory.networks.state import LayerTensors, misfit, scalar, stored

TOLERANCE = 1e-2
"""Of turns that were stored in 16 bits."""
SUFFIXES = {"oft_blocks": "oft_blocks", "rescale": "rescale", "alpha": "alpha"}


class TurningLayer(AdapterLayer):
    """oft_blocks (…, blocks, size, size) and, if asked, rescale (out, 1) or (out, 1, 1, 1). Types say in `turn` how the
    blocks act.

    `constraint` limits how far: the length of all Q together stays at or below constraint · outputs (0: no limit). It
    is what such files keep under `alpha`.
    """

    def __init__(
        self, base: nn.Module, blocks: Sequence[int], constraint: float, rescaled: bool, dropouts: Dropouts = NO_DROPOUT
    ) -> None:
        super().__init__(dropouts)
        self.operation = operation_of(base)
        self.frozen = Frozen(base)
        self.constraint = scalar(constraint).item()  # as it is stored
        shape, device = weight_shape(base), device_of(base)
        self.outputs = shape[0]
        self.oft_blocks = nn.Parameter(torch.zeros(tuple(blocks), device=device))
        self.rescale = nn.Parameter(torch.ones(column(shape), device=device)) if rescaled else None

    def turn(self, turns: Tensor, rows: Tensor) -> Tensor:
        """Turn rows (out, n) by R, which has the shape of `oft_blocks`; all in fp32."""
        raise NotImplementedError

    def turned(self, rows: Tensor) -> Tensor:
        """W' of a weight, or of any (out, …) in fp32."""
        turns = cayley(self.oft_blocks.float(), self.constraint * self.outputs)
        result = self.turn(turns, rows.reshape(rows.shape[0], -1)).view(rows.shape)
        return result if self.rescale is None else result * self.rescale.view(-1, *(1,) * (rows.ndim - 1))

    def forward(self, x: Tensor, base_output: Tensor) -> Tensor:
        if self.strength == 0:
            return base_output
        plain = self.frozen.without_bias(base_output, self.operation)
        axis = -1 if self.operation.convolution is None else 1
        rows = plain.movedim(axis, 0).float()
        change = self.drop_rows(self.turned(rows) - rows).movedim(0, axis)
        return base_output + (self.drop_inner(change) * self.amount(x)).to(base_output.dtype)

    def delta(self) -> Tensor:
        weight = self.frozen.weight()
        return self.turned(weight) - weight

    def tensors(self) -> LayerTensors:
        return stored(oft_blocks=self.oft_blocks, rescale=self.rescale, alpha=self.constraint)

    def load_tensors(self, tensors: LayerTensors) -> None:
        take_over(self, tensors)
        theirs = float(tensors["alpha"])
        # Files have the limit in their blocks, so that one's own limit changes nothing there and goes on to hold.
        is_within = _length(self.oft_blocks.detach()) <= self.constraint * self.outputs * (1 + TOLERANCE)
        if theirs or not (self.constraint and is_within):
            self.constraint = theirs


def cayley(blocks: Tensor, limit: float) -> Tensor:
    """The turns (…, size, size) that skew parts B - Bᵀ stand for; all of them together no longer than `limit`."""
    skew = blocks - blocks.transpose(-1, -2)
    if limit > 0:
        skew = skew * (limit / skew.norm().clamp(min=limit))
    one = torch.eye(skew.shape[-1], device=skew.device, dtype=skew.dtype)
    return torch.linalg.solve(one - skew, one + skew, left=False)


def _length(blocks: Tensor) -> float:
    """Of all Q = B - Bᵀ together."""
    return float((blocks - blocks.transpose(-1, -2)).norm())


def for_file(tensors: LayerTensors) -> LayerTensors:
    """What a file holds: blocks that keep to the limit by themselves. Programs disagree on what it is counted in."""
    blocks = tensors["oft_blocks"]
    limit = float(tensors["alpha"]) * blocks.shape[-3:-1].numel()
    if not limit:
        return tensors
    return tensors | stored(oft_blocks=blocks * (limit / max(_length(blocks), limit)), alpha=0.0)


def skew_parts(turns: Tensor) -> Tensor:
    """B with cayley(B) = R, for turns (…, size, size). Raises UserError where there is none: 180 degrees, mirrors."""
    one = torch.eye(turns.shape[-1], dtype=torch.float64)
    exact = turns.double()
    if turns.ndim < 3 or turns.shape[-1] != turns.shape[-2]:
        raise UserError(f"its turns {tuple(turns.shape)} are no square blocks; the file is damaged, get it again.")
    if float((exact @ exact.transpose(-1, -2) - one).abs().max()) > TOLERANCE:
        raise UserError("its turns change lengths, which this network type cannot; the file is damaged, get it again.")
    skew = torch.linalg.solve(exact + one, exact - one, left=False)
    if not bool(skew.isfinite().all()) or float(skew.abs().max()) > 1 / TOLERANCE:
        raise UserError("it turns by 180 degrees or mirrors, which cannot be written in this form; use another LoRA.")
    return (skew / 2).float()


def checked(tensors: Mapping[str, Tensor], shape: Sequence[int], fits: bool) -> LayerTensors:
    """A file's tensors in fp32; `fits` says whether the blocks are those of a weight of this shape.

    Raises UserError where they are not, or where `rescale` has another number of outputs.
    """
    rescale = tensors["rescale"].to(torch.float32) if "rescale" in tensors else None
    if not fits or (rescale is not None and rescale.numel() != shape[0]):
        raise misfit(tensors, shape)
    return stored(
        oft_blocks=tensors["oft_blocks"].to(torch.float32),
        rescale=None if rescale is None else rescale.reshape(column(shape)),
        alpha=float(tensors["alpha"]) if "alpha" in tensors else 0.0,
    )
