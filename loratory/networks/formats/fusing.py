"""Layers that a native model has in one: put our parts together exactly, and take them apart again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import cast

import torch
from torch import Tensor

from loratory.config.architectures.base import Shapes
from loratory.config.architectures.native import NativeLayer
from loratory.errors import UserError
from loratory.networks import registry
from loratory.networks.state import LayerTensors, State, check_finite
from loratory.networks.types import dora


def kind_of(tensors: Mapping[str, Tensor]) -> ModuleType:
    """The type of a layer's tensors, whatever is wrapped around it. Raises UserError for none."""
    kind = registry.recognise({name: tensor for name, tensor in tensors.items() if name != dora.NAME})
    if kind is None:
        raise UserError(f"{', '.join(sorted(tensors))} do not make a layer of any network type; a part is missing.")
    return kind


def checked(tensors: Mapping[str, Tensor], shape: Sequence[int]) -> LayerTensors:
    """A file's tensors of one layer in fp32 and in the shapes of the model's weight.

    Raises UserError for what does not fit or is no number.
    """
    check_finite(tensors)
    inner = {name: tensor for name, tensor in tensors.items() if name != dora.NAME}
    result: LayerTensors = kind_of(tensors).checked(inner, shape)
    if dora.NAME in tensors:
        result[dora.NAME] = dora.checked(tensors[dora.NAME], shape)
    return result


def for_file(tensors: LayerTensors) -> LayerTensors:
    """What a file holds of a layer: some types train with more than other programs can read."""
    kind = kind_of(tensors)
    return cast(LayerTensors, kind.for_file(tensors)) if hasattr(kind, "for_file") else tensors


def fuse(parts: Sequence[LayerTensors | None], rows: Sequence[int]) -> LayerTensors | None:
    """One layer that does what the parts do on the same input; a part that is None has no adapter.

    None where it cannot be done exactly.
    """
    present = [part for part in parts if part is not None]
    kinds = {kind_of(part) for part in present}
    decomposed = {dora.NAME in part for part in present}
    if len(kinds) > 1 or len(decomposed) > 1:
        return None
    kind = kinds.pop()
    if not hasattr(kind, "fuse"):
        return None
    if not decomposed.pop():
        return cast("LayerTensors | None", kind.fuse(parts, rows))
    scales = [part[dora.NAME] for part in present]
    # A length over the outputs would run over all parts at once, and one for a part that has none would stop it.
    if len(present) < len(parts) or any(
        scale.shape[0] == 1 < height for scale, height in zip(scales, rows, strict=True)
    ):
        return None
    inner = [{name: tensor for name, tensor in part.items() if name != dora.NAME} for part in present]
    fused = kind.fuse(inner, rows)
    return None if fused is None else {**fused, dora.NAME: torch.cat(scales)}


def split(fused: LayerTensors, rows: Sequence[int]) -> list[LayerTensors]:
    """The parts of a fused layer, exactly. Raises UserError where that cannot be."""
    inner = {name: tensor for name, tensor in fused.items() if name != dora.NAME}
    kind = kind_of(inner)
    scale = fused.get(dora.NAME)
    if scale is not None and scale.shape[0] == 1 < sum(rows):
        raise UserError("its lengths run over the outputs of several of this model's layers and cannot be taken apart.")
    if not hasattr(kind, "split"):
        raise UserError("it changes several of this model's layers at once and cannot be taken apart.")
    parts = cast("list[LayerTensors]", kind.split(inner, rows))
    if scale is None:
        return parts
    return [{**part, dora.NAME: piece.clone()} for part, piece in zip(parts, scale.split(list(rows)), strict=True)]


def part_rows(layer: NativeLayer, modules: Shapes) -> list[int]:
    return [modules[path][0] for path in layer.parts]


def _swapped(tensors: LayerTensors, rows: int) -> LayerTensors | None:
    halves = (rows // 2, rows // 2)
    return fuse(split(tensors, halves)[::-1], halves)


def to_native(layer: NativeLayer, state: Mapping[str, LayerTensors], modules: Shapes) -> LayerTensors | None:
    """The tensors of a native layer; None where its parts cannot be put together."""
    parts = [state.get(path) for path in layer.parts]
    only = parts[0]
    rows = part_rows(layer, modules)
    native = only if len(parts) == 1 else fuse(parts, rows)
    return _swapped(native, sum(rows)) if layer.swapped and native is not None else native


def from_native(layer: NativeLayer, tensors: LayerTensors, modules: Shapes) -> State:
    """The tensors of our layers that a native layer stands for. Raises UserError where it cannot be taken apart."""
    rows = part_rows(layer, modules)
    if layer.swapped:
        swapped = _swapped(tensors, sum(rows))
        if swapped is None:
            raise UserError("the model has that layer's halves the other way round, and it cannot be taken apart.")
        tensors = swapped
    if len(layer.parts) == 1:
        return {layer.parts[0]: tensors}
    return dict(zip(layer.parts, split(tensors, rows), strict=True))
