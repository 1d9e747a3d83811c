"""What files of other programs mean, worked out with NumPy in float64 from the published formulas alone.

`make.py` uses it to write the kept files and what is expected of them. Nothing of the package under test is imported.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def weight_of(shape: tuple[int, ...]) -> Array:
    """The frozen weight for which deltas are worked out: a function of the shape, so that no model has to be kept."""
    count = int(np.prod(shape))
    return np.sin(1 + 0.7 * np.arange(count)).astype(np.float32).astype(np.float64).reshape(shape)


def low_rank(up: Array, down: Array, shape: tuple[int, ...]) -> Array:
    """up · down, for a convolution with everything behind the first axis laid out flat."""
    return (up.reshape(shape[0], -1) @ down.reshape(down.shape[0], -1)).reshape(shape)


def tucker(core: Array, left: Array, right: Array) -> Array:
    """Σ core[i, j, ·] · left[i, o] · right[j, n], as (o, n, ·)."""
    return np.einsum("ijhw,io,jn->onhw", core, left, right)


def decomposed(weight: Array, delta: Array, lengths: Array) -> Array:
    """DoRA's change: W + ΔW with its lengths replaced. The axis that is not 1 says whose lengths they are."""
    changed = weight + delta
    axis = 1 if lengths.ndim > 1 and lengths.shape[0] == 1 else 0
    others = tuple(each for each in range(weight.ndim) if each != axis)
    size = [1] * weight.ndim
    size[axis] = -1
    own = np.sqrt((changed**2).sum(axis=others)).reshape(size)
    return changed * (lengths.reshape(size) / own) - weight


def turns(blocks: Array, limit: float) -> Array:
    """R = (I + Q)(I − Q)⁻¹ with Q = B − Bᵀ; all Q together are made no longer than a limit that is not 0."""
    skew = blocks - np.swapaxes(blocks, -1, -2)
    length = np.sqrt((skew**2).sum())
    if limit and length > limit:
        skew = skew * (limit / length)
    one = np.eye(blocks.shape[-1])
    return (one + skew) @ np.linalg.inv(one - skew)


def turned(weight: Array, rotations: Array) -> Array:
    """Diag-OFT: each block of rows by its own Rᵀ."""
    count, size, _ = rotations.shape
    rows = weight.reshape(count, size, -1)
    return np.stack([rotation.T @ block for rotation, block in zip(rotations, rows, strict=True)]).reshape(weight.shape)


def butterfly(weight: Array, rotations: Array) -> Array:
    """BOFT: in round i, rows (c, 2, k) with k = 2^i · b / 2 are taken as (c, k, 2), cut into blocks and turned."""
    rounds, count, size, _ = rotations.shape
    flat = weight.reshape(weight.shape[0], -1)
    for turn in range(rounds):
        half = 2**turn * size // 2
        order = np.arange(len(flat)).reshape(-1, 2, half).transpose(0, 2, 1).reshape(-1)
        blocks = flat[order].reshape(count, size, -1)
        result = np.empty_like(flat)
        result[order] = (rotations[turn] @ blocks).reshape(flat.shape)
        flat = result
    return flat.reshape(weight.shape)
