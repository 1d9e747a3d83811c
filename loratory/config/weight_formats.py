"""The number formats in which frozen weights may be kept, and what other trainers call them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

Weights = Literal[
    "full", "fp8_e4m3", "fp8_e5m2", "int8", "nf4", "uint8", "uint7", "uint6", "uint5", "uint4", "uint3", "uint2"
]
Recovered = Literal["uint8", "uint7", "uint6", "uint5", "uint4", "uint3", "uint2"]
"""Those for which accuracy-recovery adapters are trained."""

BESIDE_RECOVERED: Weights = "uint8"
"""How such an adapter expects the layers that it leaves alone."""


@dataclass(frozen=True)
class Foreign:
    """Another trainer's format."""

    ours: Weights
    """The one that takes its place, or the nearest where there is none."""
    refused: str = ""
    """Why none takes its place."""


_ROTATED = "rotates weights before it rounds them, which nothing here does"
_NVFP4 = "is computed with by Blackwell cards only"
_ORBIT = "is a format of ai-toolkit's own"
_PLAIN: dict[str, Weights] = {
    # optimum-quanto: bits and kind are the same, the factors are of its own making.
    "qfloat8": "fp8_e4m3", "qfloat8_e4m3fn": "fp8_e4m3", "qfloat8_e4m3fnuz": "fp8_e4m3", "qfloat8_e5m2": "fp8_e5m2",
    "qint8": "int8", "qint4": "uint4", "qint2": "uint2",
    # torchao
    "float8": "fp8_e4m3", "int8": "int8",
    # Their own copy of torchao 0.10: the same numbers, bit for bit.
    "uint8": "uint8", "uint7": "uint7", "uint6": "uint6", "uint5": "uint5", "uint4": "uint4", "uint3": "uint3",
    "uint2": "uint2",
}  # fmt: skip
_REFUSED: dict[str, tuple[Weights, str]] = {
    "convrot8": ("int8", _ROTATED), "convrot4": ("nf4", _ROTATED),
    "convrotint7": ("uint7", _ROTATED), "convrotint6": ("uint6", _ROTATED), "convrotint5": ("uint5", _ROTATED),
    "convrotint4": ("uint4", _ROTATED), "convrotint3": ("uint3", _ROTATED), "convrotint2": ("uint2", _ROTATED),
    "convrotbitnet": ("uint2", _ROTATED), "nvfp4": ("nf4", _NVFP4),
    "orbit4": ("uint4", _ORBIT), "orbit3": ("uint3", _ORBIT), "orbit2": ("uint2", _ORBIT),
}  # fmt: skip

AITOOLKIT = {name: Foreign(ours) for name, ours in _PLAIN.items()} | {
    name: Foreign(ours, reason) for name, (ours, reason) in _REFUSED.items()
}
"""ai-toolkit's `qtype` and `qtype_te`."""


def own_name(given: Any) -> Any:
    """Our name of a format that may be written as ai-toolkit does; what is none is handed back.

    Raises ValueError for one that there is not here.
    """
    if not isinstance(given, str) or given in get_args(Weights):
        return given
    name, bar, path = given.partition("|")
    if bar and name in get_args(Recovered):
        raise ValueError(
            f"a format with an accuracy-recovery adapter is written as {BESIDE_RECOVERED} here, and the adapter as an "
            f"entry of model.side_adapters: {{path: {path}, on: always, recovers: {name}}}"
        )
    foreign = AITOOLKIT.get(given)
    if foreign is None:
        return given
    if foreign.refused:
        raise ValueError(f"{given} {foreign.refused}; the nearest is {foreign.ours}")
    return foreign.ours
