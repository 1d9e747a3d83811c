"""The layers of every architecture in its true sizes, as tables that are read without torch.

`python -m scripts.module_tables` writes them.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.architectures.native import native_layers
from loratory.config.targets import Layer, blocks_of, group_of

FOLDER = Path(__file__).parent / "architectures" / "modules"


def table_text(spec: ArchitectureSpec, layers: Sequence[Layer]) -> str:
    """A table as it lies in its file: one layer a line, [path, kind, shape, group, block, native name]."""
    blocks = blocks_of(spec, layers)
    natives = {path: native.name for native in native_layers(spec, {layer.path: layer.shape for layer in layers})
               for path in native.parts}  # fmt: skip
    rows = [
        json.dumps([layer.path, layer.kind, layer.shape, group_of(spec, layer.path), blocks.get(layer.path),
                    natives.get(layer.path)])
        for layer in layers
    ]  # fmt: skip
    return "[\n" + ",\n".join(rows) + "\n]\n"


def sizes(spec: ArchitectureSpec) -> list[tuple[Layer, ...]]:
    """`layers` of an architecture's usual size, and of the others."""
    usual = layers(spec.name)
    text = tuple(layer for layer in usual if not layer.path.startswith(f"{spec.denoiser}."))
    return [usual, *(layers(config) + text for config in spec.other_true_configs)]


@functools.cache
def layers(name: str) -> tuple[Layer, ...]:
    """The layers of an architecture in its true sizes, in the model's order.

    `name` may also be one of its `other_true_configs`, for the denoiser of a further size.
    """
    rows = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return tuple(Layer(path, kind, tuple(shape)) for path, kind, shape, *_ in rows)
