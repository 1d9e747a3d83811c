"""Precision and memory."""

from __future__ import annotations

from loratory.config.base import StrictModel, param
from loratory.config.model import Precision


class MemoryConfig(StrictModel):
    precision: Precision = param(
        "bf16",
        help="Number format of the frozen model and of the arithmetic. The adapter is always fp32. fp16 needs a GPU.",
        tab="Advanced",
        group="Precision",
        kohya=("mixed_precision",),
        aitoolkit=("train.dtype",),
        affects_cache=True,
    )
    gradient_checkpointing: bool = param(
        False,
        help="Compute parts of the forward pass twice to save much memory, for about a third more time.",
        tab="Advanced",
        group="Memory",
        kohya=("gradient_checkpointing",),
        aitoolkit=("train.gradient_checkpointing",),
        on_resume="free",
    )
