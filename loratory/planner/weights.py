"""Bytes of what is kept: weights in every number format, adapters, and what optimizers remember. Exact, torch-free."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence

from loratory.config.optimizer import (
    OptimizerConfig,
    ProdigyConfig,
    ProdigyPlusScheduleFreeConfig,
    SGDConfig,
)
from loratory.config.targets import Layer
from loratory.config.weight_formats import Weights

ITEM = {"fp32": 4, "bf16": 2, "fp16": 2}
"""Bytes of a number."""
GROUP = 64
"""Numbers with one scale, in the uints and in nf4."""
_IN_A_BLOCK = re.compile(r"\.\d+\.")
SHORT_AXIS = 32
"""prodigyplus factors no tensor all of whose axes are shorter."""
Shape = Sequence[int]


def packed_bytes(shape: Shape, form: Weights, precision: str) -> int:
    """One weight in a format: `models/common/storage` packs it so."""
    count, rows = math.prod(shape), shape[0]
    if form == "full":
        return count * ITEM[precision]
    if form in ("fp8_e4m3", "fp8_e5m2", "int8"):
        return count + rows * ITEM[precision]
    if form == "nf4":
        blocks = -(-count // GROUP)
        return blocks * GROUP // 2 + blocks + 4 * -(-blocks // 256) + 4 + 4 * 256 + 4 * 16
    bits = int(form.removeprefix("uint"))
    groups = rows * -(-(count // rows) // GROUP)
    scale = 4 if precision == "fp16" else ITEM[precision]
    return groups * (8 * bits + scale + 1)


def is_packed(path: str, keep_full: Iterable[str]) -> bool:
    """Does a component's layer of this path (in the component) get the component's format?"""
    return _IN_A_BLOCK.search(path) is not None and not any(text in path for text in keep_full)


def net_bytes(numbers: int, buffers: int, layers: Iterable[Layer], form: Weights, precision: str,
              keep_full: Sequence[str] = ()) -> int:  # fmt: skip
    """One component of so many parameters. `layers` have the component before their paths."""
    total = numbers * ITEM[precision] + buffers
    if form == "full":
        return total
    for layer in layers:
        if layer.kind != "norm" and is_packed(layer.path.partition(".")[2], keep_full):
            total += packed_bytes(layer.shape, form, precision) - math.prod(layer.shape) * ITEM[precision]
    return total


# What optimizers remember of one tensor, in bytes


def _rows_and_columns(shape: Shape, count: int) -> int:
    """Numbers of a factored square: of each row and column of the last two axes; of a vector all."""
    if len(shape) < 2:
        return count
    return count // shape[-1] + count // shape[-2]


def _bits8(states: int) -> Callable[[Shape, OptimizerConfig], int]:
    """8 bits for each number and fp32 for each 256; small tensors stay in fp32. bitsandbytes' optimizers."""

    def size(shape: Shape, config: OptimizerConfig) -> int:
        count = math.prod(shape)
        if count < getattr(config, "min_8bit_size", 0):
            return 4 * states * count
        return states * (count + 4 * -(-count // 256))

    return size


def _plain(states: int, also: int = 0) -> Callable[[Shape, OptimizerConfig], int]:
    return lambda shape, config: 4 * states * math.prod(shape) + also


def _sgd(shape: Shape, config: OptimizerConfig) -> int:
    assert isinstance(config, SGDConfig)
    return 4 * math.prod(shape) if config.momentum else 0


def _adafactor(shape: Shape, config: OptimizerConfig) -> int:
    return 4 * _rows_and_columns(shape, math.prod(shape)) + 4


def _came(shape: Shape, config: OptimizerConfig) -> int:
    count = math.prod(shape)
    confidence = _rows_and_columns(shape, count) if len(shape) > 1 else 0
    return 4 * (count + _rows_and_columns(shape, count) + confidence) + 4


def _muon(shape: Shape, config: OptimizerConfig) -> int:
    return 4 * math.prod(shape) * (1 if len(shape) > 1 else 2)


def _automagic(shape: Shape, config: OptimizerConfig) -> int:
    count = math.prod(shape)
    return 5 * count + 4 * _rows_and_columns(shape, count)


def _prodigy(shape: Shape, config: OptimizerConfig) -> int:
    assert isinstance(config, ProdigyConfig)
    count = math.prod(shape)
    return 8 * count + 8 * -(-count // config.slice_p)


def _prodigy_plus(shape: Shape, config: OptimizerConfig) -> int:
    assert isinstance(config, ProdigyPlusScheduleFreeConfig)
    count = math.prod(shape)
    slices = -(-count // 11) * 2 * (1 if config.use_speed else 2)
    # Along the two longest axes, unless all are short.
    squares = count
    if config.factored and len(shape) > 1 and max(shape) >= SHORT_AXIS:
        squares = sum(count // side for side in sorted(shape)[-2:])
    squares *= 4
    return 4 * count + (0 if config.use_focus else squares) + slices


_STATES: dict[str, Callable[[Shape, OptimizerConfig], int]] = {
    "adamw": _plain(2, also=4), "adamw8bit": _bits8(2), "paged_adamw8bit": _bits8(2), "paged_adamw32bit": _plain(2),
    "lion": _plain(1), "lion8bit": _bits8(1), "paged_lion8bit": _bits8(1), "sgd": _sgd, "sgd8bit": _bits8(1),
    "adafactor": _adafactor, "came": _came, "adan": _plain(4), "ademamix": _plain(3), "ademamix8bit": _bits8(3),
    "muon": _muon, "automagic": _automagic, "custom": _plain(2), "adamw_schedule_free": _plain(2),
    "radam_schedule_free": _plain(2), "prodigy": _prodigy, "prodigy_plus_schedule_free": _prodigy_plus,
    "dadaptation": _plain(3), "dadapt_adam": _plain(3), "dadapt_adagrad": _plain(3), "dadapt_adan": _plain(5),
    "dadapt_adan_ip": _plain(5), "dadapt_sgd": _plain(3), "dadapt_lion": _plain(2),
}  # fmt: skip
"""By optimizer.type. Of a custom class nobody knows; two numbers for each are usual."""


def optimizer_bytes(shapes: Iterable[Shape], config: OptimizerConfig) -> int:
    """What an optimizer remembers of tensors of these shapes, after its first step; fp32 whatever the adapter's format.

    The tables of what 8 bits mean, a KiB for each kind, are shared by all tensors and left out.
    """
    size = _STATES[config.type]
    return sum(size(shape, config) for shape in shapes)
