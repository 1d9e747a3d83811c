"""Which architecture a LoRA file was made for, by the names and sizes of its layers."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from loratory.config import modules
from loratory.config.architectures import SPECS
from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.targets import Layer
from loratory.networks.formats import names


@functools.cache
def _known(name: str) -> tuple[dict[str, tuple[int, int]], ...]:
    """Outputs and inputs of every layer of an architecture, by every name that files give it, for each true size."""
    spec = SPECS[name]
    found = []
    for layers in modules.sizes(spec):
        shapes = {layer.path: layer.shape for layer in layers}
        known = {}
        for given, native in names.all_names(spec, shapes).items():
            first = shapes[native.parts[0]]
            inputs = first[1] if len(first) > 1 else first[0]
            known[given] = (sum(shapes[path][0] for path in native.parts), inputs)
        found.append(known)
    return tuple(found)


@dataclass(frozen=True, order=True)
class _Fit:
    """How badly a file fits a size of an architecture: the least is the best."""

    unknown: int
    wrong: int
    more: int
    """Minus the denoiser's layers: a file that fits two models is rather for the one that has more."""
    name: str
    size: int


def _fits_of(tensors: Mapping[str, Tensor], name: str, *, partly: bool) -> Iterator[_Fit]:
    suffixes = names.suffixes()
    prefix = f"{SPECS[name].denoiser}."
    sizes = [[layer.path for layer in layers] for layers in modules.sizes(SPECS[name])]
    for size, known in enumerate(_known(name)):
        places = {key: names.placed(key, suffixes, known, SPECS[name]) for key in tensors}
        layers = {key: place.layer for key, place in places.items() if place.layer is not None}
        unknown = sum(place.name is not None and place.layer is None for place in places.values())
        if layers and (partly or not unknown):
            wrong = sum(not _fits(key, tensors[key], known[layer]) for key, layer in layers.items())
            yield _Fit(unknown, wrong, -sum(path.startswith(prefix) for path in sizes[size]), name, size)


def architecture_of(tensors: Mapping[str, Tensor], *, partly: bool = False) -> ArchitectureSpec | None:
    """The architecture whose layers a file's tensors fit, all of them by name; None where none does.

    With `partly` that with the most of them, at least one. Where names fit several, the sizes of LoRA's factors decide;
    where those fit none or several, that with the most layers in its denoiser, and then the first by name.
    """
    fitting = [fit for name in SPECS for fit in _fits_of(tensors, name, partly=partly)]
    return SPECS[min(fitting).name] if fitting else None


def architectures_of(tensors: Mapping[str, Tensor]) -> list[ArchitectureSpec]:
    """All architectures that a file's tensors fit equally well: names of few layers can be those of several."""
    fitting = [fit for name in SPECS for fit in _fits_of(tensors, name, partly=False)]
    best = min((fit.unknown, fit.wrong) for fit in fitting) if fitting else None
    return [SPECS[name] for name in sorted({fit.name for fit in fitting if (fit.unknown, fit.wrong) == best})]


def layers_for(tensors: Mapping[str, Tensor], spec: ArchitectureSpec) -> tuple[Layer, ...]:
    """The layers of the true size that a file fits best; of the usual one where it fits none."""
    fitting = list(_fits_of(tensors, spec.name, partly=True))
    return modules.sizes(spec)[min(fitting).size if fitting else 0]


def _fits(key: str, tensor: Tensor, sizes: tuple[int, int]) -> bool:
    if key.endswith(("lora_up.weight", "lora_B.weight")):
        return tensor.ndim > 1 and tensor.shape[0] == sizes[0]
    if key.endswith(("lora_down.weight", "lora_A.weight")):
        return tensor.ndim > 1 and tensor.shape[1] == sizes[1]
    return True
