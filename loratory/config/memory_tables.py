"""What every architecture takes in its true sizes, as tables that are read without torch.

`python -m scripts.memory_tables` counts it on the true models.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.targets import Layer

FOLDER = Path(__file__).parent / "architectures" / "memory"


@dataclass(frozen=True, slots=True)
class Line:
    """So much for each picture, for each of its latents, and for each token of its text."""

    fixed: float = 0.0
    by_latent: float = 0.0
    by_token: float = 0.0

    def at(self, latents: float, tokens: float) -> float:
        """The sum for one picture with its text."""
        return self.fixed + self.by_latent * latents + self.by_token * tokens


@dataclass(frozen=True, slots=True)
class Unit:
    """A block that can be computed twice (gradient checkpointing). Bytes in bf16."""

    path: str
    kind: str
    kept: Line
    """What autograd keeps of it where nothing in it is trained but gradients pass."""
    kept_modulated: Line
    """The same where layers that only see the time (and the text as a whole) are trained, too."""
    inputs: Line
    """What it is given and no unit before it."""
    attention: Line
    """Results of attention."""


@dataclass(frozen=True, slots=True)
class Read:
    """How one layer sees a picture."""

    rows: Line
    """Places at which it computes an output."""
    source: int
    """Layers with the same number read the same tensor."""
    is_kept: bool
    """Is that tensor kept for the backward pass without an adapter, too?"""


@dataclass(frozen=True, slots=True)
class Net:
    """A denoiser or a text encoder. Without units where it is never trained."""

    numbers: int
    """Parameters."""
    buffer_bytes: int
    forward: Line
    """Most bytes at a time without gradients, in bf16, weights not counted."""
    outside: Line = Line()
    outside_modulated: Line = Line()
    units: tuple[Unit, ...] = ()
    layers: Mapping[str, Read] = field(default_factory=dict)
    """By path in the net."""
    step: Line = Line()
    """Most bytes at a time in a forward and a backward pass through the whole net without adapters."""
    step_recomputed: Line = Line()
    """The same with every unit computed twice."""


@dataclass(frozen=True, slots=True)
class Autoencoder:
    """Lines are by pixels, in fp32."""

    numbers: int
    buffer_bytes: int
    tile: int
    """Side of its tiles, in pixels, where it works in tiles."""
    encode: Line
    decode: Line


@dataclass(frozen=True, slots=True)
class MemoryTable:
    """One architecture in one size."""

    channels: int
    """Of a latent."""
    pixels_per_latent: int
    """Along one side."""
    text: Line
    """Bytes of a cached text, in bf16."""
    blocks: Mapping[str, int]
    """Parameters of each block that can be swapped, in the model's order."""
    denoiser: Net
    text_encoders: Mapping[str, Net]
    vae: Autoencoder | None
    """None for models that paint pixels."""


def _line(values: list[float]) -> Line:
    return Line(*values)


def _net(data: Mapping[str, Any]) -> Net:
    outside = data.get("outside", [[0, 0, 0], [0, 0, 0]])
    nothing = [0, 0, 0]
    return Net(
        numbers=data["numbers"],
        buffer_bytes=data["buffer_bytes"],
        forward=_line(data["forward"]),
        outside=_line(outside[0]),
        outside_modulated=_line(outside[1]),
        units=tuple(Unit(path, kind, *map(_line, rest)) for path, kind, *rest in data.get("units", ())),
        layers={path: Read(_line(rows), source, kept) for path, (rows, source, kept) in data.get("layers", {}).items()},
        step=_line(data.get("step", nothing)),
        step_recomputed=_line(data.get("step_recomputed", nothing)),
    )


@functools.cache
def memory_table(name: str) -> MemoryTable:
    """The table of an architecture, or of one of its `other_true_configs`: without autoencoder, and without the text
    encoders that are those of the usual size."""
    data = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    vae = data.get("vae")
    return MemoryTable(
        channels=data["channels"],
        pixels_per_latent=data["pixels_per_latent"],
        text=_line(data["text"]),
        blocks=data["blocks"],
        denoiser=_net(data["denoiser"]),
        text_encoders={name: _net(each) for name, each in data.get("text_encoders", {}).items()},
        vae=vae
        and Autoencoder(vae["numbers"], vae["buffer_bytes"], vae["tile"], _line(vae["encode"]), _line(vae["decode"])),
    )


def table_for(spec: ArchitectureSpec, layers: tuple[Layer, ...]) -> tuple[MemoryTable, tuple[Layer, ...]]:
    """The table of the size that is most like a model with these layers, and that size's layers."""
    from loratory.config.modules import sizes

    names = (spec.name, *spec.other_true_configs)
    shapes = {layer.path: layer.shape for layer in layers}

    def likeness(size: tuple[Layer, ...]) -> tuple[int, int]:
        same = sum(shapes.get(layer.path) == layer.shape for layer in size)
        return same, -abs(len(size) - len(shapes))

    found = sizes(spec)
    best = max(range(len(names)), key=lambda number: likeness(found[number]))
    usual, chosen = memory_table(spec.name), memory_table(names[best])
    if best:
        chosen = MemoryTable(
            chosen.channels, chosen.pixels_per_latent, chosen.text, chosen.blocks, chosen.denoiser,
            {**usual.text_encoders, **chosen.text_encoders}, usual.vae,
        )  # fmt: skip
    return chosen, found[best]
