"""Precision and memory."""

from __future__ import annotations

from loratory.config.base import StrictModel, param
from loratory.config.model import Precision


class MemoryConfig(StrictModel):
    precision: Precision = param(
        "bf16",
        help="Number format of the frozen model and of the arithmetic. fp16 needs a GPU.",
        tab="Advanced",
        group="Precision",
        kohya=("mixed_precision",),
        aitoolkit=("train.dtype",),
        affects_cache=True,
    )
    adapter_precision: Precision = param(
        "fp32",
        help="Number format of the trained weights and their gradients. Steps are calculated in fp32 whatever it is.",
        tab="Advanced",
        group="Precision",
        level="advanced",
        kohya=("full_bf16", "full_fp16"),
        on_resume="forbid",
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
