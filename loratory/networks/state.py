"""What a network stores: tensors by layer. Files, checkpoints and the network types agree on these shapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from loratory.errors import UserError

LayerTensors = dict[str, Tensor]
"""What one adapter layer stores, for LoRA {"down", "up", "alpha"}: contiguous, on the CPU."""
State = dict[str, LayerTensors]
"""Adapter tensors by full module path, for example unet.mid_block.attentions.0.proj_in, sorted by path."""

_SHOWN = 3


def some(names: Iterable[str]) -> str:
    """The first few of many names, for a message."""
    listed = sorted(names)
    return ", ".join(listed[:_SHOWN]) + (f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else "")


def scalar(value: float) -> Tensor:
    """A number as it is stored."""
    return torch.tensor(value, dtype=torch.float32)


def stored(**tensors: Tensor | float | None) -> LayerTensors:
    """Copies for storage: contiguous, on the CPU; numbers become 0-d tensors and what is None is left out."""
    result = {}
    for name, value in tensors.items():
        if isinstance(value, Tensor):
            result[name] = value.detach().to("cpu", copy=True).contiguous()
        elif value is not None:
            result[name] = scalar(value)
    return result


def sizes(tensors: Mapping[str, Tensor]) -> str:
    """Names and shapes of tensors, for a message."""
    return ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in sorted(tensors.items()) if tensor.ndim)


def misfit(tensors: Mapping[str, Tensor], shape: Sequence[int]) -> UserError:
    """The error for tensors that do not make a weight of this shape."""
    return UserError(
        f"{sizes(tensors)} do not fit the model's weight {tuple(shape)}; it was made for another model. "
        "Give a LoRA that was trained on this one."
    )


def as_shape(tensor: Tensor, shape: Sequence[int]) -> Tensor | None:
    """The tensor in fp32 and in `shape`, if it differs from it only by trailing ones; otherwise None.

    Files have linear factors for 1x1 convolutions, and the other way round.
    """
    if _without_ones(tensor.shape) != _without_ones(shape):
        return None
    return tensor.to(torch.float32).reshape(tuple(shape)).contiguous()


def _without_ones(shape: Sequence[int]) -> list[int]:
    rest = list(shape)
    while len(rest) > 1 and rest[-1] == 1:
        rest.pop()
    return rest


def fitted(tensors: Mapping[str, Tensor], wanted: Mapping[str, Sequence[int]], shape: Sequence[int]) -> LayerTensors:
    """The tensors in fp32 and in the wanted shapes; all of them must be there. Raises UserError for a misfit."""
    result = {}
    for name, size in wanted.items():
        tensor = as_shape(tensors[name], size) if name in tensors else None
        if tensor is None:
            raise misfit(tensors, shape)
        result[name] = tensor
    return result


def alpha_of(tensors: Mapping[str, Tensor], rank: int) -> float:
    """The stored alpha; a file without one means alpha = rank, so strength 1. Raises UserError for 0."""
    alpha = float(tensors["alpha"]) if "alpha" in tensors else float(rank)
    if alpha == 0:
        raise UserError(
            "its alpha is 0, which some programs take for no effect and others for strength 1; give a file whose alpha "
            "says what is meant."
        )
    return alpha


def check_finite(tensors: Mapping[str, Tensor]) -> None:
    """Raises UserError when a tensor holds NaN or infinity."""
    # Formats of 8 bits do not know the question.
    if not all(bool(tensor.float().isfinite().all()) for tensor in tensors.values() if tensor.is_floating_point()):
        raise UserError(
            "it contains NaN or infinity; the file is damaged or its training failed. Get it again, or use an earlier "
            "save of that training."
        )


def block_diagonal(blocks: Sequence[Tensor | None], rows: Sequence[int], columns: Sequence[int]) -> Tensor:
    """Matrices along the diagonal of one; where a block is None its rows and columns stay zero.

    Trailing axes of the blocks (the ones of a convolution's factor) are kept.
    """
    first = next(block for block in blocks if block is not None)
    result = first.new_zeros(sum(rows), sum(columns), *first.shape[2:])
    row = column = 0
    for block, height, width in zip(blocks, rows, columns, strict=True):
        if block is not None:
            result[row : row + height, column : column + width] = block
        row += height
        column += width
    return result
