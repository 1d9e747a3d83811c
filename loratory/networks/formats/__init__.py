"""Key dialects of LoRA files: our state to and from the names and layouts that other programs use.

Inside, a layer is named by its path in the diffusers model, and stores what its network type says, for LoRA {"down",
"up", "alpha"}. A dialect turns a whole state into a file's tensors. One reader knows the names of all dialects. All
functions are pure; nothing is loaded partly: what cannot be placed is an error.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from loratory.config.architectures.base import ArchitectureSpec, Shapes
from loratory.config.architectures.native import NativeLayer
from loratory.errors import UserError
from loratory.networks import registry
from loratory.networks.formats import fusing, names
from loratory.networks.formats.origin import architectures_of
from loratory.networks.state import LayerTensors, State, some
from loratory.networks.types import bias, dora

__all__ = ["DIALECTS", "METADATA_KEY", "LayerTensors", "State", "detect", "export", "import_", "some"]

METADATA_KEY = "lora_adapter_metadata"


# Reading


def _collect(
    tensors: Mapping[str, Tensor], known: Mapping[str, NativeLayer], spec: ArchitectureSpec, source: str
) -> dict[str, dict[str, Tensor]]:
    """Tensors by the name of a known layer and by our tensor name. Raises UserError for any that has no place."""
    suffixes = names.suffixes()
    places = {key: names.placed(key, suffixes, known, spec) for key in tensors}
    unknown_suffixes = [key for key, place in places.items() if place.name is None]
    unknown_layers = [key for key, place in places.items() if place.name is not None and place.layer is None]
    if len(unknown_suffixes) == len(tensors):
        raise _no_lora(tensors, source)
    if len(unknown_layers) == len(tensors):
        detect(tensors, source)
    if unknown_layers:
        origins = architectures_of(tensors)
        if origins and spec not in origins:
            made_for = " or ".join(origin.title for origin in origins)
            raise UserError(
                f"{source}: this LoRA is for {made_for}, the model is {spec.title}. "
                f"Give a LoRA that was trained on {spec.title}, or set model.path to a model of the LoRA's kind."
            )
        raise UserError(
            f"{source}: {len(unknown_layers)} of {len(tensors)} tensors belong to layers that the {spec.title} model "
            f"lacks ({some(unknown_layers)}); it was made for another architecture or another kind of model. {_CONVERT}"
        )
    if unknown_suffixes:
        raise UserError(
            f"{source}: {len(unknown_suffixes)} of {len(tensors)} tensors are no part of any network type "
            f"({some(unknown_suffixes)}). {_CONVERT}"
        )
    found: dict[str, dict[str, Tensor]] = {}
    given: dict[tuple[NativeLayer, str], str] = {}
    for key, place in places.items():
        assert place.layer is not None and place.name is not None
        before = given.setdefault((known[place.layer], place.name), key)
        if before != key:
            raise UserError(f"{source}: {before} and {key} are the same tensor of one layer; remove one of the two.")
        found.setdefault(place.layer, {})[place.name] = tensors[key]
    return found


_CONVERT = "To go on without them: loratory convert lora --allow-unknown."


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


def _number(value: object, what: str, source: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(
            f"{source}: its {METADATA_KEY} says {value!r} for {what}, which is no number; remove that entry."
        )
    return float(value)


def _pattern_value(patterns: object, path: str, default: float, source: str) -> float:
    """PEFT's rule: the first pattern that matches the end of the path, at a dot.

    Patterns come from a file that anybody may have made; what could take for ever is refused.
    """
    for pattern, value in patterns.items() if isinstance(patterns, dict) else ():
        if len(pattern) > _LONGEST_PATTERN or len(re.findall(r"[*+{]", pattern)) > _MOST_REPEATS:
            raise UserError(f"{source}: its {METADATA_KEY} has a pattern that is too complicated; remove that entry.")
        try:
            fits = re.match(rf"(.*\.)?({pattern})$", path)
        except re.error as error:
            raise UserError(
                f"{source}: its {METADATA_KEY} has {pattern!r}, which is no regular expression ({error}); "
                "remove that entry."
            ) from error
        if fits:
            return _number(value, pattern, source)
    return default


_LONGEST_PATTERN, _MOST_REPEATS = 200, 2


def _peft_alpha(settings: Mapping[str, object], component: str, path: str, rank: int, source: str) -> float:
    """Alpha of a layer, such that alpha / rank is the scale that PEFT would use."""
    alpha = settings.get(f"{component}.lora_alpha")
    if alpha is None:
        return float(rank)
    usual = _number(alpha, f"{component}.lora_alpha", source)
    value = _pattern_value(settings.get(f"{component}.alpha_pattern"), path, usual, source)
    # Rank-stabilised LoRA divides by the root of the rank.
    return value * math.sqrt(rank) if settings.get(f"{component}.use_rslora") else value


# Writing


def _file_tensors(name: str, layer: LayerTensors) -> dict[str, Tensor]:
    """A layer's tensors under LyCORIS' suffixes."""
    kind = fusing.kind_of(layer)
    return {f"{name}.{registry.suffix_of(kind, ours)}": tensor for ours, tensor in layer.items()}


def _write_named(
    state: Mapping[str, LayerTensors],
    layers: Mapping[str, NativeLayer],
    alone: Mapping[str, str],
    modules: Shapes,
    write: Callable[[str, LayerTensors], dict[str, Tensor]] = _file_tensors,
) -> dict[str, Tensor]:
    """Layers under their native names; parts that cannot be put together under a name of their own, `alone`."""
    tensors: dict[str, Tensor] = {}
    for name, layer in layers.items():
        present = [path for path in layer.parts if path in state]
        if not present:
            continue
        native = fusing.to_native(layer, state, modules)
        if native is not None:
            tensors |= write(name, native)
            continue
        for path in present:
            tensors |= write(alone[path], state[path])
    return tensors


def _write_kohya(state: Mapping[str, LayerTensors], spec: ArchitectureSpec, modules: Shapes) -> dict[str, Tensor]:
    alone = {path: names.flat("lycoris", name) for name, path in names.denoiser_paths(spec, modules).items()}
    return _write_named(state, names.kohya_names(spec, modules), alone, modules)


def _write_comfyui(state: Mapping[str, LayerTensors], spec: ArchitectureSpec, modules: Shapes) -> dict[str, Tensor]:
    alone = {path: path for path in modules}
    return _write_named(state, names.comfyui_names(spec, modules), alone, modules)


def _peft_tensors(name: str, layer: LayerTensors, magnitude: str) -> dict[str, Tensor]:
    """A LoRA layer without alpha, which is folded into up: this layout's readers take alpha for the rank."""
    if not {"down", "up"} <= layer.keys() or "mid" in layer:
        raise UserError(
            f"{name}: this layout holds only LoRA and DoRA without Tucker; export the file in kohya's layout."
        )
    scale = float(layer["alpha"]) / layer["down"].shape[0]
    tensors = {} if bias.NAME not in layer else {f"{name}.lora_B.bias": layer[bias.NAME]}
    tensors |= {
        f"{name}.lora_A.weight": layer["down"],
        f"{name}.lora_B.weight": layer["up"] if scale == 1 else layer["up"] * scale,
    }
    if dora.NAME in layer:
        if layer[dora.NAME].shape[0] == 1 < layer["up"].shape[0]:
            raise UserError(f"{name}: this layout holds only DoRA with lengths of outputs; export in kohya's layout.")
        # PEFT gives a convolution's lengths the axes of its output.
        size = (-1,) if layer["up"].ndim == 2 else (1, -1, 1, 1)
        tensors[f"{name}.{magnitude}"] = layer[dora.NAME].reshape(size)
    return tensors


def _write_diffusers(state: Mapping[str, LayerTensors], spec: ArchitectureSpec, modules: Shapes) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name, layer in names.dotted_names(spec, modules).items():
        if layer.parts[0] in state:
            # transformers, which loads the text encoders' part, knows only the longer name.
            is_text = name.partition(".")[0] in spec.text_encoders
            magnitude = "lora_magnitude_vector.weight" if is_text else "lora_magnitude_vector"
            tensors |= _peft_tensors(name, state[layer.parts[0]], magnitude)
    return tensors


def _write_aitoolkit(state: Mapping[str, LayerTensors], spec: ArchitectureSpec, modules: Shapes) -> dict[str, Tensor]:
    """kohya's names for UNets; for transformers PEFT's for LoRA, and LyCORIS' suffixes for the other types."""
    if spec.denoiser == "unet":
        return _write_kohya(state, spec, modules)
    naming = {"native": names.comfyui_names, "diffusers": names.dotted_names, "diffusion_model": names.prefixed_names}
    layers = naming[spec.aitoolkit_names](spec, modules)
    return _write_named(state, layers, {path: path for path in modules}, modules, _aitoolkit_tensors)


def _aitoolkit_tensors(name: str, layer: LayerTensors) -> dict[str, Tensor]:
    is_lora = {"down", "up"} <= layer.keys() and "mid" not in layer
    return _peft_tensors(name, layer, "magnitude") if is_lora else _file_tensors(name, layer)


# The table


@dataclass(frozen=True)
class Dialect:
    """One way to name and lay out a LoRA file."""

    write: Callable[[Mapping[str, LayerTensors], ArchitectureSpec, Shapes], dict[str, Tensor]]
    signature: re.Pattern[str]
    """What a key of such a file looks like."""


DIALECTS: dict[str, Dialect] = {
    "kohya": Dialect(_write_kohya, re.compile(r"(lora_[a-z0-9]+|lycoris|oft_unet)_[^.]+\.")),
    "diffusers": Dialect(
        _write_diffusers,
        re.compile(r"(base_model\.model|(unet|transformer|text_encoder)(_\d+)?)\..+\.(lora|lokr|hada|alpha)"),
    ),
    "comfyui": Dialect(_write_comfyui, re.compile(r"(diffusion_model|text_encoders)\.")),
    "aitoolkit": Dialect(_write_aitoolkit, re.compile(r"(transformer|text_encoder)(_\d+)?\..+\.magnitude$")),
}


def detect(keys: Iterable[str], source: str = "this file") -> str:
    """The dialect of a file's tensor names. Raises UserError when it is none that is known.

    A file of ai-toolkit without DoRA is one of kohya's or of diffusers' layout.
    """
    listed = list(keys)
    for name, dialect in reversed(DIALECTS.items()):
        if any(dialect.signature.match(key) for key in listed):
            return name
    raise _no_lora(listed, source)


def _no_lora(keys: Iterable[str], source: str) -> UserError:
    return UserError(
        f"{source} has none of the key names of a LoRA that can be read ({some(keys) or 'it is empty'}); "
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

    Raises UserError for an unknown dialect or a network type that it cannot hold, KeyError for a layer that the model
    lacks.
    """
    if strangers := state.keys() - modules.keys():
        raise KeyError(f"not in the model: {some(strangers)}")
    held = {path: fusing.for_file(layer) for path, layer in state.items()}
    return dict(sorted(_dialect(dialect).write(held, spec, modules).items()))


def known_part(
    tensors: Mapping[str, Tensor], spec: ArchitectureSpec, modules: Shapes
) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors that have a place in the model, and the names of the others."""
    known, suffixes = names.all_names(spec, modules), names.suffixes()
    kept = {
        key: tensor for key, tensor in tensors.items() if names.placed(key, suffixes, known, spec).layer is not None
    }
    return kept, sorted(tensors.keys() - kept.keys())


def check_names(shapes: Shapes, spec: ArchitectureSpec, modules: Shapes, source: str) -> None:
    """Raises UserError as `import_` does when a tensor has no place in the model; `shapes` are a file's header."""
    tensors = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    _collect(tensors, names.all_names(spec, modules), spec, source)


def import_(
    tensors: Mapping[str, Tensor],
    spec: ArchitectureSpec,
    modules: Shapes,
    *,
    metadata: Mapping[str, str] | None = None,
    source: str = "this LoRA",
) -> State:
    """The state of a file's tensors, in fp32, whatever its dialect.

    `metadata` is the file's header metadata: the diffusers dialect keeps alphas there. `source` names the file in
    messages. Raises UserError when any tensor has no place in the model, has another shape or is not finite.
    """
    known = names.all_names(spec, modules)
    settings = _adapter_configs(metadata or {}, source)
    state: State = {}
    for name, found in _collect(tensors, known, spec, source).items():
        layer = known[name]
        first = modules[layer.parts[0]]
        shape = (sum(fusing.part_rows(layer, modules)), *first[1:])
        if "alpha" not in found and "down" in found:
            component, _, rest = layer.parts[0].partition(".")
            found["alpha"] = torch.tensor(
                _peft_alpha(settings, component, rest, found["down"].shape[:1].numel(), source)
            )
        try:
            layers = fusing.from_native(layer, fusing.checked(found, shape), modules)
        except UserError as error:
            raise UserError(f"{source}: {name}: {error}") from error
        if twice := layers.keys() & state.keys():
            raise UserError(f"{source}: {name}: it changes {some(twice)}, which is there under another name, too; "
                            "remove one of the two.")  # fmt: skip
        state |= layers
    return dict(sorted(state.items()))
