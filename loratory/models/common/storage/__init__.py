"""Frozen layers whose weights are kept in fewer bits and unpacked where they are used.

A format is a pair of functions in a file of its own; `layers` knows none of them.
"""

from __future__ import annotations

from loratory.models.common.storage.base import Format
from loratory.models.common.storage.grouped import UINTS
from loratory.models.common.storage.layers import PackedConv2d, PackedLinear, can_be_packed, pack_weights
from loratory.models.common.storage.nf4 import NF4
from loratory.models.common.storage.scaled import FP8_E4M3, FP8_E5M2, INT8

__all__ = ["FORMATS", "Format", "PackedConv2d", "PackedLinear", "can_be_packed", "pack_weights"]

FORMATS = {"fp8_e4m3": FP8_E4M3, "fp8_e5m2": FP8_E5M2, "int8": INT8, "nf4": NF4, **UINTS}
"""By the names that `memory.denoiser_weights` has for them."""
