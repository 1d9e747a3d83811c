"""Which architecture a LoRA file was made for, by the names and sizes of its layers."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from torch import Tensor

from loratory.config.architectures import SPECS
from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.architectures.modules import layers
from loratory.networks.formats import names


@functools.cache
def _known(name: str) -> dict[str, tuple[int, int]]:
    """Outputs and inputs of every layer of an architecture in its true sizes, by every name that files give it."""
    spec = SPECS[name]
    shapes = {layer.path: layer.shape for layer in layers(name)}
    known = {}
    for given, native in names.all_names(spec, shapes).items():
        first = shapes[native.parts[0]]
        inputs = first[1] if len(first) > 1 else first[0]
        known[given] = (sum(shapes[path][0] for path in native.parts), inputs)
    return known


def architecture_of(tensors: Mapping[str, Tensor]) -> ArchitectureSpec | None:
    """The architecture whose layers a file's tensors fit, all of them by name; None where none does.

    Where names fit several, the sizes of LoRA's factors decide; where those fit none, the first by name counts.
    """
    given = {key: name for key in tensors if (name := names.layer_name(key)) is not None}
    fitting = []
    for architecture in SPECS:
        known = _known(architecture)
        if given and all(name in known for name in given.values()):
            wrong = sum(not _fits(key, tensors[key], known[name]) for key, name in given.items())
            fitting.append((wrong, architecture))
    return SPECS[min(fitting)[1]] if fitting else None


def _fits(key: str, tensor: Tensor, sizes: tuple[int, int]) -> bool:
    if key.endswith(("lora_up.weight", "lora_B.weight")):
        return tensor.shape[0] == sizes[0]
    if key.endswith(("lora_down.weight", "lora_A.weight")):
        return tensor.ndim > 1 and tensor.shape[1] == sizes[1]
    return True
