"""The numbers that a network trains in one layer: names and shapes, without torch.

The network types make their parameters of these shapes, and previews and plans count them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from loratory.config.network import (
    BoftConfig,
    DiagOftConfig,
    DyloraConfig,
    FullConfig,
    GloraConfig,
    Ia3Config,
    LohaConfig,
    LokrConfig,
    LoraConfig,
    NetworkBase,
    NetworkConfig,
    RankedConfig,
)
from loratory.errors import UserError

DECOMPOSABLE = (LoraConfig, LohaConfig, LokrConfig)
"""Types that can have a DoRA magnitude around them."""

ShapeTable = dict[str, tuple[int, ...]]


def kernel_of(shape: Sequence[int]) -> tuple[int, ...]:
    """The kernel's sides of a weight's shape; empty for a Linear."""
    return tuple(shape[2:])


def ones(shape: Sequence[int]) -> tuple[int, ...]:
    """Ones in place of the kernel's sides."""
    return (1,) * len(shape[2:])


def column(shape: Sequence[int]) -> tuple[int, ...]:
    """One number for each output, with the axes of the weight."""
    return (shape[0], 1, *ones(shape))


def is_larger(shape: Sequence[int]) -> bool:
    """Is it the weight of a convolution larger than 1x1?"""
    return kernel_of(shape) not in ((), (1, 1))


def rank_of(config: RankedConfig, shape: Sequence[int]) -> int:
    """The rank of a layer with such a weight; 0 for larger convolutions where none is given."""
    return (config.conv_rank or 0) if is_larger(shape) else config.rank


def factorization(size: int, factor: int = -1) -> tuple[int, int]:
    """Two factors of a size, the smaller first.

    With a factor above 0 that divides the size: that and its counterpart. Otherwise the most even pair whose smaller
    number is at most the factor (-1: without that limit).
    """
    if factor > 0 and size % factor == 0:
        small, large = sorted((factor, size // factor))
        return small, large
    limit = size if factor == -1 else factor
    best = (1, size)
    for small in range(1, math.isqrt(size) + 1):
        if size % small == 0 and small <= limit:
            best = (small, size // small)
    return best


def lora_shapes(shape: Sequence[int], rank: int, tucker: bool = False) -> ShapeTable:
    """down, up and, with Tucker, mid."""
    inner = ones(shape) if tucker else kernel_of(shape)
    shapes: ShapeTable = {"down": (rank, shape[1], *inner), "up": (shape[0], rank, *ones(shape))}
    return shapes | ({"mid": (rank, rank, *kernel_of(shape))} if tucker else {})


def loha_shapes(shape: Sequence[int], rank: int, tucker: bool = False) -> ShapeTable:
    """Two pairs of factors; with Tucker the matrices lie the other way round, and there are cores."""
    if not tucker:
        a, b = (shape[0], rank), (rank, math.prod(shape[1:]))
        return {"hada_w1_a": a, "hada_w1_b": b, "hada_w2_a": a, "hada_w2_b": b}
    core, a, b = (rank, rank, *kernel_of(shape)), (rank, shape[0]), (rank, shape[1])
    return {"hada_t1": core, "hada_w1_a": a, "hada_w1_b": b, "hada_t2": core, "hada_w2_a": a, "hada_w2_b": b}


def lokr_shapes(shape: Sequence[int], rank: int, config: LokrConfig) -> ShapeTable:
    """The two factors of a Kronecker product, each in full or as a low-rank product."""
    (a, b), (c, d) = factorization(shape[0], config.factor), factorization(shape[1], config.factor)
    if config.unbalanced:
        a, b = b, a
    kernel = kernel_of(shape)
    shapes: ShapeTable = {}
    if config.decompose_both and rank < max(a, c) / 2 and not config.full_matrix:
        shapes |= {"w1_a": (a, rank), "w1_b": (rank, c)}
    else:
        shapes["w1"] = (a, c)
    if rank >= max(b, d) / 2 or config.full_matrix:
        return shapes | {"w2": (b, d, *kernel)}
    if config.tucker and is_larger(shape):
        return shapes | {"t2": (rank, rank, *kernel), "w2_a": (rank, b), "w2_b": (rank, d)}
    return shapes | {"w2_a": (b, rank), "w2_b": (rank, d * math.prod(kernel))}


def glora_shapes(shape: Sequence[int], rank: int) -> ShapeTable:
    """The map of the inputs, a1 and a2, and the change, b1 and b2."""
    return {
        "a1": (shape[1], rank, *ones(shape)),
        "a2": (rank, shape[1], *ones(shape)),
        "b1": (shape[0], rank, *ones(shape)),
        "b2": (rank, shape[1], *kernel_of(shape)),
    }


def diag_oft_shape(outputs: int, rank: int) -> tuple[int, int, int]:
    """Blocks, and their size twice."""
    size, blocks = factorization(outputs, rank)
    return blocks, size, size


def boft_shape(outputs: int, rank: int) -> tuple[int, int, int, int]:
    """Rounds, blocks, and their size twice. As many rounds as the number of blocks can be halved.

    The largest even size that is at most the rank and leaves a power of two of blocks, as LyCORIS wants it; where there
    is none, the largest even size. Raises UserError for a number of outputs without an even block.
    """
    fitting = [size for size in range(min(rank, outputs) // 2 * 2, 0, -2) if outputs % size == 0]
    size = next((size for size in fitting if (outputs // size).bit_count() == 1), fitting[0] if fitting else None)
    if size is None:
        raise UserError(f"{outputs} outputs have no even block of size {rank} or less; BOFT cannot turn them.")
    blocks = rest = outputs // size
    rounds = 1
    while rest % 2 == 0:
        rest //= 2
        rounds += 1
    return rounds, blocks, size, size


def _ranked(shape: Sequence[int], config: RankedConfig) -> ShapeTable:
    rank = rank_of(config, shape)
    tucker = config.tucker and is_larger(shape)
    if isinstance(config, LohaConfig):
        return loha_shapes(shape, rank, tucker)
    if isinstance(config, LokrConfig):
        return lokr_shapes(shape, rank, config)
    if isinstance(config, GloraConfig):
        return glora_shapes(shape, rank)
    return lora_shapes(shape, rank, tucker)


def _turned(shape: Sequence[int], config: DiagOftConfig | BoftConfig) -> ShapeTable:
    blocks: tuple[int, ...]
    if isinstance(config, BoftConfig):
        blocks = boft_shape(shape[0], config.rank)
    else:
        blocks = diag_oft_shape(shape[0], config.rank)
    return {"oft_blocks": blocks} | ({"rescale": column(shape)} if config.rescaled else {})


_BY_CONFIG: dict[type[NetworkBase], Callable[..., ShapeTable]] = {
    LoraConfig: _ranked,
    LohaConfig: _ranked,
    LokrConfig: _ranked,
    GloraConfig: _ranked,
    DyloraConfig: lambda shape, config: lora_shapes(shape, config.rank),
    Ia3Config: lambda shape, config: {"weight": (shape[0],)},
    DiagOftConfig: _turned,
    BoftConfig: _turned,
    FullConfig: lambda shape, config: {"diff": tuple(shape)},
}


def trained_shapes(shape: Sequence[int], config: NetworkConfig, type_name: str) -> ShapeTable:
    """The trained tensors of a layer with such a weight; `type_name` as in `architectures.targets.Target`.

    A bias' part is left out: what is known here is the weight. Raises UserError where the type cannot adapt it.
    """
    if type_name == "norm":
        return {"w_norm": tuple(shape), "b_norm": tuple(shape)}
    if type_name == "full":
        return {"diff": tuple(shape)}
    shapes = _BY_CONFIG[type(config)](shape, config)
    return shapes | ({"dora_scale": (shape[0],)} if isinstance(config, DECOMPOSABLE) and config.decompose else {})
