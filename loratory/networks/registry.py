"""The network types: found by their files in `types/`, recognised by the names of their tensors."""

from __future__ import annotations

import functools
import pkgutil
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import cast

import torch
from torch import Tensor, nn

from loratory.config.network_shapes import DECOMPOSABLE
from loratory.config.targets import Target
from loratory.errors import UserError
from loratory.networks import types
from loratory.networks.layer import NO_DROPOUT, AdapterLayer, Dropouts
from loratory.networks.state import LayerTensors
from loratory.networks.types import bias, dora, norm


def names() -> list[str]:
    """The types that there are, `norm` and the wrappers `dora` and `bias` included."""
    return sorted(module.name for module in pkgutil.iter_modules(types.__path__))


@functools.cache
def network_type(name: str) -> ModuleType:
    """The file of a network type. Raises UserError for a type that does not exist."""
    if name not in names():
        raise UserError(f"network.type: there is no network type {name!r}; there are {', '.join(names())}.")
    return import_module(f"{types.__name__}.{name}")


@functools.cache
def stored_types() -> tuple[ModuleType, ...]:
    """The types that files can hold: those that say how they are recognised."""
    return tuple(kind for kind in map(network_type, names()) if hasattr(kind, "REQUIRED"))


def recognise(tensors: Mapping[str, Tensor]) -> ModuleType | None:
    """The type of a layer's stored tensors, by their names; None where no type has them."""
    found = frozenset(tensors)
    for kind in stored_types():
        if hasattr(kind, "recognised"):
            if kind.recognised(found, tensors):
                return kind
        elif found >= kind.REQUIRED:
            return kind
    return None


def type_name(tensors: Mapping[str, Tensor]) -> str:
    """The name of the type of a whole layer's tensors. Raises UserError for none."""
    kind = recognise(inner_tensors(tensors))
    if kind is None:
        raise UserError(f"no network type stores {', '.join(sorted(tensors))}.")
    return kind.__name__.rpartition(".")[2]


def inner_tensors(tensors: Mapping[str, Tensor]) -> LayerTensors:
    """A layer's tensors without those that may be around any type."""
    return {name: tensor for name, tensor in tensors.items() if name not in (dora.NAME, bias.NAME)}


def suffixes() -> dict[str, str]:
    """Our name of every tensor that files hold, by the suffix it has there."""
    kinds = [*stored_types(), dora, bias]
    return {suffix: name for kind in kinds for name, suffix in kind.SUFFIXES.items()}


def suffix_of(kind: ModuleType, name: str) -> str:
    """The suffix in files of one of our tensors."""
    return cast(str, {**dora.SUFFIXES, **bias.SUFFIXES, **kind.SUFFIXES}[name])


def is_trainable_norm(module: nn.Module) -> bool:
    return norm.has_scale(module)


def make_layer(target: Target, base: nn.Module, generator: torch.Generator) -> AdapterLayer:
    """A fresh adapter for a layer that was chosen. Raises UserError where its type cannot adapt it."""
    if target.type == "norm":
        return norm.NormLayer(base)
    kind = network_type(target.type)
    layer = cast(AdapterLayer, kind.make_layer(base, target.config, generator, target.layer.path))
    config = target.config
    if isinstance(config, DECOMPOSABLE) and config.decompose and target.type == config.type:
        return dora.wrap(base, layer)
    if target.type == "full" and getattr(base, "bias", None) is not None:
        return bias.wrap(base, layer)
    return layer


def layer_from_tensors(base: nn.Module, tensors: LayerTensors, dropouts: Dropouts = NO_DROPOUT) -> AdapterLayer:
    """An adapter with the type, sizes and weights of stored tensors. Raises UserError for a misfit."""
    inner = inner_tensors(tensors)
    kind = recognise(inner)
    if kind is None:
        raise UserError(f"no network type stores {', '.join(sorted(tensors))}.")
    layer = cast(AdapterLayer, kind.layer_from_tensors(base, inner))
    layer.dropouts = dropouts
    if dora.NAME in tensors:
        layer = dora.wrap(base, layer, tensors)
    return bias.wrap(base, layer, tensors[bias.NAME]) if bias.NAME in tensors else layer
