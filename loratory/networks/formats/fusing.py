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
from loratory.networks.state import LayerTensors, State, check_finite, misfit
from loratory.networks.types import bias, dora


def kind_of(tensors: Mapping[str, Tensor]) -> ModuleType:
    """The type of a layer's tensors, whatever is wrapped around it. Raises UserError for none, or for several."""
    inner = registry.inner_tensors(tensors)
    kind = registry.recognise(inner)
    if kind is None:
        raise UserError(
            f"{', '.join(sorted(tensors))} do not make a layer of any network type; a part is missing. "
            "Get the file again, or remove that layer from it."
        )
    strangers = inner.keys() - kind.SUFFIXES.keys() - getattr(kind, "ALSO_READ", frozenset())
    # A layer's own start is in checkpoints, not in files.
    if strangers := {name for name in strangers if not name.startswith("start_")}:
        raise UserError(
            f"beside a layer of one network type it has parts of another ({', '.join(sorted(strangers))}), "
            "and what both together do is not known; remove them."
        )
    return kind


NUMBERS = ("alpha", "on_input")
VECTORS = ("weight", "rescale", "w_norm", "b_norm", "diff", "up_bias")
MAGNITUDE = "magnitude"
"""DoRA's lengths as PEFT has them: always of outputs, whatever their axes."""


def _with_axes(tensors: Mapping[str, Tensor], shape: Sequence[int]) -> LayerTensors:
    """The same tensors, numbers without axes. Raises UserError for what has too few axes for any type."""
    result = {}
    for name, tensor in tensors.items():
        if name in NUMBERS and tensor.numel() != 1:
            raise UserError(f"its {name} has {tensor.numel()} numbers and not one; the file is damaged, get it again.")
        if name not in NUMBERS + VECTORS and (tensor.ndim < 2 or len(shape) < 2):
            raise misfit(tensors, shape)
        result[name] = tensor.reshape(()) if name in NUMBERS else tensor
    return result


def checked(tensors: Mapping[str, Tensor], shape: Sequence[int]) -> LayerTensors:
    """A file's tensors of one layer in fp32 and in the shapes of the model's weight.

    Raises UserError for what does not fit or is no number.
    """
    check_finite(tensors)
    scale = tensors.get(dora.NAME)
    if MAGNITUDE in tensors:
        scale = tensors[MAGNITUDE].flatten()
    inner = _with_axes(registry.inner_tensors({k: v for k, v in tensors.items() if k != MAGNITUDE}), shape)
    result: LayerTensors = kind_of(inner).checked(inner, shape)
    if scale is not None:
        result[dora.NAME] = dora.checked(scale, shape)
    if bias.NAME in tensors:
        result[bias.NAME] = bias.checked(tensors[bias.NAME], shape[0])
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
    around: LayerTensors = {}
    if decomposed.pop():
        scales = [part[dora.NAME] for part in present]
        # A length over the outputs would run over all parts at once, and one for a part that has none would stop it.
        if len(present) < len(parts) or any(
            scale.shape[0] == 1 < height for scale, height in zip(scales, rows, strict=True)
        ):
            return None
        around[dora.NAME] = torch.cat(scales)
    if any(bias.NAME in part for part in present):
        around[bias.NAME] = torch.cat([torch.zeros(height) if part is None or bias.NAME not in part else part[bias.NAME]
                                       for part, height in zip(parts, rows, strict=True)])  # fmt: skip
    fused = kind.fuse([None if part is None else registry.inner_tensors(part) for part in parts], rows)
    return None if fused is None else {**fused, **around}


def split(fused: LayerTensors, rows: Sequence[int]) -> list[LayerTensors]:
    """The parts of a fused layer, exactly. Raises UserError where that cannot be."""
    kind = kind_of(fused)
    scale = fused.get(dora.NAME)
    if scale is not None and scale.shape[0] == 1 < sum(rows):
        raise UserError(
            "its lengths run over the outputs of several of this model's layers and cannot be taken apart; "
            "get the LoRA in diffusers' layout."
        )
    if not hasattr(kind, "split"):
        raise UserError(
            "it changes several of this model's layers at once and cannot be taken apart; "
            "get the LoRA in diffusers' layout."
        )
    parts = cast("list[LayerTensors]", kind.split(registry.inner_tensors(fused), rows))
    for name in (dora.NAME, bias.NAME):
        if name in fused:
            pieces = fused[name].split(list(rows))
            parts = [{**part, name: piece.clone()} for part, piece in zip(parts, pieces, strict=True)]
    return parts


def part_rows(layer: NativeLayer, modules: Shapes) -> list[int]:
    return [modules[path][0] for path in layer.parts]


def _swapped(tensors: LayerTensors, rows: int) -> LayerTensors | None:
    """The same with the halves of its rows the other way round; None where that cannot be done exactly."""
    scale = tensors.get(dora.NAME)
    if not hasattr(kind_of(tensors), "fuse") or (scale is not None and scale.shape[0] == 1 < rows):
        return None
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
