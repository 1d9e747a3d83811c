"""Key dialects of LoRA files: our state to and from the names and layouts that other programs use.

Inside, a layer is named by its path in the diffusers model, and stores {"down", "up", "alpha"}. A dialect turns a whole
state into a file's tensors and back. All functions are pure; nothing is loaded partly: what cannot be placed is an
error.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from loratory.config.architectures.base import ArchitectureSpec
from loratory.errors import UserError
from loratory.networks.formats.native import NativeLayer, Shapes, native_layers

LayerTensors = dict[str, Tensor]
"""What one adapter layer stores, for LoRA {"down", "up", "alpha"}: contiguous, on the CPU."""
State = dict[str, LayerTensors]
"""Adapter tensors by full module path, for example unet.mid_block.attentions.0.proj_in, sorted by path."""

METADATA_KEY = "lora_adapter_metadata"
_SHOWN = 3


def some(names: Iterable[str]) -> str:
    """The first few of many names, for a message."""
    listed = sorted(names)
    return ", ".join(listed[:_SHOWN]) + (f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else "")


def _text_encoder_name(path: str) -> str:
    """A text encoder's layer as files name it: with `text_model.`, which CLIPTextModel lost in transformers 5."""
    return f"text_model.{path}" if path.startswith(("encoder.layers.", "embeddings.", "final_layer_norm")) else path


# Factors: scale, fuse, split


def _rank(layer: LayerTensors) -> int:
    return layer["down"].shape[0]


def _scale(layer: LayerTensors) -> float:
    return float(layer["alpha"]) / _rank(layer)


def _layer(down: Tensor, up: Tensor, alpha: float) -> LayerTensors:
    return {"down": down.contiguous(), "up": up.contiguous(), "alpha": torch.tensor(alpha, dtype=torch.float32)}


def _swap_halves(layer: LayerTensors) -> LayerTensors:
    first, second = layer["up"].chunk(2)
    return {**layer, "up": torch.cat((second, first))}


def _fuse(parts: Sequence[LayerTensors | None], rows: Sequence[int]) -> LayerTensors:
    """One layer that does what the parts do on the same input; a part that is None has no adapter. Exact.

    Equal downs are written once. Otherwise the rank is the sum of the ranks and up is block-diagonal. Where the parts'
    scales differ they are folded into up.
    """
    present = [part for part in parts if part is not None]
    scales = {_scale(part) for part in present}
    same_scale = len(scales) == 1
    first = present[0]

    def block(part: LayerTensors) -> Tensor:
        return part["up"] if same_scale else part["up"] * _scale(part)

    if len(present) == len(parts) and all(torch.equal(part["down"], first["down"]) for part in present):
        down, up = first["down"], torch.cat([block(part) for part in present])
    else:
        down = torch.cat([part["down"] for part in present])
        up = first["up"].new_zeros(sum(rows), down.shape[0], *first["up"].shape[2:])
        row = column = 0
        for part, height in zip(parts, rows, strict=True):
            if part is not None:
                up[row : row + height, column : column + _rank(part)] = block(part)
                column += _rank(part)
            row += height
    rank = down.shape[0]
    return _layer(down, up, scales.pop() * rank if same_scale else rank)


def _split(fused: LayerTensors, rows: Sequence[int]) -> list[LayerTensors]:
    """The parts of a fused layer, exactly: block-diagonal ones get their own rank back, others share a copied down."""
    count, rank, alpha = len(rows), _rank(fused), float(fused["alpha"])
    slices = fused["up"].split(list(rows))
    if rank % count == 0:
        each = rank // count
        columns = [slice(turn * each, (turn + 1) * each) for turn in range(count)]
        total = sum(int(part.count_nonzero()) for part in slices)
        diagonal = sum(int(part[:, column].count_nonzero()) for part, column in zip(slices, columns, strict=True))
        if total == diagonal:
            return [
                _layer(fused["down"][column], part[:, column], alpha / count)
                for part, column in zip(slices, columns, strict=True)
            ]
    return [_layer(fused["down"].clone(), part.clone(), alpha) for part in slices]


def _part_rows(layer: NativeLayer, modules: Shapes) -> list[int]:
    return [modules[path][0] for path in layer.parts]


def _to_native(layer: NativeLayer, state: Mapping[str, LayerTensors], modules: Shapes) -> LayerTensors | None:
    parts = [state.get(path) for path in layer.parts]
    if all(part is None for part in parts):
        return None
    only = parts[0]
    native = only if len(parts) == 1 and only is not None else _fuse(parts, _part_rows(layer, modules))
    return _swap_halves(native) if layer.swapped else native


def _from_native(layer: NativeLayer, tensors: LayerTensors, modules: Shapes) -> State:
    if layer.swapped:
        tensors = _swap_halves(tensors)
    if len(layer.parts) == 1:
        return {layer.parts[0]: tensors}
    return dict(zip(layer.parts, _split(tensors, _part_rows(layer, modules)), strict=True))


def _checked(name: str, found: Mapping[str, Tensor], shape: tuple[int, ...], source: str) -> LayerTensors:
    """One layer of a file in fp32 and in the model's shapes. Raises UserError for what does not fit or is no number."""
    down, up = found["down"].to(torch.float32), found["up"].to(torch.float32)
    if down.ndim < 2 or up.ndim < 2 or down.shape[0] != up.shape[1] or down.shape[0] == 0:
        raise UserError(f"{source}: {name}: down {tuple(down.shape)} and up {tuple(up.shape)} do not fit each other.")
    rank = down.shape[0]
    down_shape, up_shape = (rank, *shape[1:]), (shape[0], rank, *(1 for _ in shape[2:]))
    if _without_ones(down.shape) != _without_ones(down_shape) or _without_ones(up.shape) != _without_ones(up_shape):
        raise UserError(
            f"{source}: {name}: down {tuple(down.shape)} and up {tuple(up.shape)} do not fit the model's weight "
            f"{shape}; it was made for another model."
        )
    alpha = float(found["alpha"]) if "alpha" in found else float(rank)
    if not (math.isfinite(alpha) and bool(down.isfinite().all()) and bool(up.isfinite().all())):
        raise UserError(f"{source}: {name} contains NaN or infinity; the file is damaged or its training failed.")
    return _layer(down.reshape(down_shape), up.reshape(up_shape), alpha)


def _without_ones(shape: Sequence[int]) -> list[int]:
    """Linear factors are written for 1x1 convolutions, and the other way round: the trailing ones do not count."""
    sizes = list(shape)
    while len(sizes) > 2 and sizes[-1] == 1:
        sizes.pop()
    return sizes


def _collect(
    tensors: Mapping[str, Tensor],
    suffixes: Mapping[str, str],
    known: Mapping[str, object],
    spec: ArchitectureSpec,
    source: str,
) -> dict[str, dict[str, Tensor]]:
    """Tensors by the file's layer name and by our tensor name. Raises UserError for any that has no place."""
    found: dict[str, dict[str, Tensor]] = {}
    unknown_suffixes, unknown_layers = [], []
    for key, tensor in tensors.items():
        suffix = next((suffix for suffix in suffixes if key.endswith(suffix)), None)
        if suffix is None:
            unknown_suffixes.append(key)
        elif (name := key.removesuffix(suffix)) not in known:
            unknown_layers.append(key)
        else:
            found.setdefault(name, {})[suffixes[suffix]] = tensor
    if unknown_layers:
        raise UserError(
            f"{source}: {len(unknown_layers)} of {len(tensors)} tensors belong to layers that the {spec.title} model "
            f"lacks ({some(unknown_layers)}); it was made for another architecture or another kind of model."
        )
    if unknown_suffixes:
        raise UserError(
            f"{source}: {len(unknown_suffixes)} of {len(tensors)} tensors are none of a plain LoRA "
            f"({some(unknown_suffixes)}); other network types cannot be read."
        )
    halves = [name for name, parts in found.items() if not {"down", "up"} <= parts.keys()]
    if halves or not found:
        what = f"down or up is missing for {some(halves)}" if halves else "there are no tensors in it"
        raise UserError(f"{source}: {what}; the file is damaged.")
    return found


# kohya: flattened names, native layers, alpha beside the factors

_KOHYA_DENOISER = "lora_unet"
_KOHYA_SUFFIXES = {".lora_down.weight": "down", ".lora_up.weight": "up", ".alpha": "alpha"}


def _flat(prefix: str, path: str) -> str:
    return f"{prefix}_{path.replace('.', '_')}"


def _text_layers(spec: ArchitectureSpec, modules: Shapes) -> Iterator[tuple[str, str, str]]:
    """(component, name in files, our path) of every layer of the text encoders."""
    for path in modules:
        component, _, rest = path.partition(".")
        if component in spec.text_encoder_prefixes:
            yield component, _text_encoder_name(rest), path


def _kohya_layers(spec: ArchitectureSpec, modules: Shapes) -> dict[str, NativeLayer]:
    layers = {_flat(_KOHYA_DENOISER, layer.name): layer for layer in native_layers(spec, modules)}
    for component, name, path in _text_layers(spec, modules):
        layers[_flat(spec.text_encoder_prefixes[component], name)] = NativeLayer(name, (path,))
    return layers


def _write_kohya(state: Mapping[str, LayerTensors], spec: ArchitectureSpec, modules: Shapes) -> dict[str, Tensor]:
    tensors = {}
    for name, layer in _kohya_layers(spec, modules).items():
        native = _to_native(layer, state, modules)
        if native is not None:
            tensors.update({name + suffix: native[ours] for suffix, ours in _KOHYA_SUFFIXES.items()})
    return tensors


def _read_kohya(
    tensors: Mapping[str, Tensor], spec: ArchitectureSpec, modules: Shapes, metadata: Mapping[str, str], source: str
) -> State:
    # Other trainers flatten the diffusers names where kohya flattens the native ones; both are read.
    prefix = spec.denoiser + "."
    layers = {
        _flat(_KOHYA_DENOISER, path.removeprefix(prefix)): NativeLayer(path, (path,))
        for path in modules
        if path.startswith(prefix)
    } | _kohya_layers(spec, modules)
    state: State = {}
    for name, found in _collect(tensors, _KOHYA_SUFFIXES, layers, spec, source).items():
        layer = layers[name]
        first = modules[layer.parts[0]]
        shape = (sum(_part_rows(layer, modules)), *first[1:])
        state.update(_from_native(layer, _checked(name, found, shape, source), modules))
    return state


# diffusers: dotted names, PEFT's A and B, no alpha

_PEFT_WRITTEN = {".lora_A.weight": "down", ".lora_B.weight": "up"}
_PEFT_SUFFIXES = {
    **_PEFT_WRITTEN,
    ".lora_A.default.weight": "down",
    ".lora_B.default.weight": "up",
    **_KOHYA_SUFFIXES,
}


def _dotted_names(spec: ArchitectureSpec, modules: Shapes) -> dict[str, str]:
    """Our path by the name in files, as it is written; `text_model.` may also be missing in what is read."""
    names = {path: path for path in modules if path.startswith(spec.denoiser + ".")}
    return names | {f"{component}.{name}": path for component, name, path in _text_layers(spec, modules)}


def _write_diffusers(state: Mapping[str, LayerTensors], spec: ArchitectureSpec, modules: Shapes) -> dict[str, Tensor]:
    tensors = {}
    for name, path in _dotted_names(spec, modules).items():
        if path in state:
            layer = state[path]
            scale = _scale(layer)
            # This dialect has no alpha: its readers take alpha for the rank.
            folded = {**layer, "up": layer["up"] if scale == 1 else layer["up"] * scale}
            tensors.update({name + suffix: folded[ours] for suffix, ours in _PEFT_WRITTEN.items()})
    return tensors


def _adapter_configs(metadata: Mapping[str, str], source: str) -> dict[str, object]:
    """The PEFT settings in a file's metadata, flattened: {"unet.lora_alpha": 8, …}."""
    if METADATA_KEY not in metadata:
        return {}
    try:
        settings = json.loads(metadata[METADATA_KEY])
        if not isinstance(settings, dict):
            raise ValueError("not an object")
    except ValueError as error:
        raise UserError(f"{source}: its {METADATA_KEY} is not readable ({error}); remove that entry.") from error
    return settings


def _pattern_value(patterns: object, path: str, default: float) -> float:
    """PEFT's rule: the first pattern that matches the end of the path, at a dot."""
    for pattern, value in patterns.items() if isinstance(patterns, dict) else ():
        if re.match(rf"(.*\.)?({pattern})$", path):
            return float(value)
    return default


def _peft_alpha(settings: Mapping[str, object], component: str, path: str, rank: int) -> float:
    """Alpha of a layer, such that alpha / rank is the scale that PEFT would use."""
    alpha = settings.get(f"{component}.lora_alpha")
    if not isinstance(alpha, int | float):
        return float(rank)
    value = _pattern_value(settings.get(f"{component}.alpha_pattern"), path, float(alpha))
    # Rank-stabilised LoRA divides by the root of the rank.
    return value * math.sqrt(rank) if settings.get(f"{component}.use_rslora") else value


def _read_diffusers(
    tensors: Mapping[str, Tensor], spec: ArchitectureSpec, modules: Shapes, metadata: Mapping[str, str], source: str
) -> State:
    names = {path: path for path in modules} | _dotted_names(spec, modules)
    settings = _adapter_configs(metadata, source)
    state: State = {}
    for name, found in _collect(tensors, _PEFT_SUFFIXES, names, spec, source).items():
        if "alpha" not in found:
            component, _, rest = name.partition(".")
            found["alpha"] = torch.tensor(_peft_alpha(settings, component, rest, found["down"].shape[0]))
        state[names[name]] = _checked(name, found, modules[names[name]], source)
    return state


# The table


@dataclass(frozen=True)
class Dialect:
    """One way to name and lay out a LoRA file."""

    write: Callable[[Mapping[str, LayerTensors], ArchitectureSpec, Shapes], dict[str, Tensor]]
    read: Callable[[Mapping[str, Tensor], ArchitectureSpec, Shapes, Mapping[str, str], str], State]
    signature: re.Pattern[str]
    """What a key of such a file looks like."""


DIALECTS: dict[str, Dialect] = {
    "kohya": Dialect(_write_kohya, _read_kohya, re.compile(r"lora_[a-z0-9]+_[^.]+\.")),
    "diffusers": Dialect(
        _write_diffusers, _read_diffusers, re.compile(r"(unet|transformer|text_encoder)(_\d+)?\..+\.lora_")
    ),
}


def detect(names: Iterable[str], source: str = "this file") -> str:
    """The dialect of a file's tensor names. Raises UserError when it is none that is known."""
    listed = list(names)
    for name, dialect in DIALECTS.items():
        if any(dialect.signature.match(key) for key in listed):
            return name
    raise UserError(
        f"{source} has none of the key names of a LoRA that can be read ({some(listed) or 'it is empty'}); "
        f"give a LoRA file in one of these layouts: {', '.join(DIALECTS)}."
    )


def _dialect(name: str) -> Dialect:
    if name not in DIALECTS:
        raise UserError(f"There is no key dialect {name!r}; use one of {', '.join(DIALECTS)}.")
    return DIALECTS[name]


def export(
    state: Mapping[str, LayerTensors], spec: ArchitectureSpec, dialect: str, modules: Shapes
) -> dict[str, Tensor]:
    """A file's tensors for a state. `modules` are the model's weight shapes; every layer of the state must be there.

    Raises UserError for an unknown dialect, KeyError for a layer that the model lacks.
    """
    if strangers := state.keys() - modules.keys():
        raise KeyError(f"not in the model: {some(strangers)}")
    tensors = _dialect(dialect).write(state, spec, modules)
    return dict(sorted(tensors.items()))


def import_(
    tensors: Mapping[str, Tensor],
    spec: ArchitectureSpec,
    modules: Shapes,
    *,
    dialect: str | None = None,
    metadata: Mapping[str, str] | None = None,
    source: str = "this LoRA",
) -> State:
    """The state of a file's tensors, in fp32. The dialect is recognised when it is not given.

    `metadata` is the file's header metadata: the diffusers dialect keeps alphas there. `source` names the file in
    messages. Raises UserError when any tensor has no place in the model, has another shape or is not finite.
    """
    chosen = _dialect(dialect or detect(tensors, source))
    state = chosen.read(tensors, spec, modules, metadata or {}, source)
    return dict(sorted(state.items()))
