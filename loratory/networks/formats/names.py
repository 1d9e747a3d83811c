"""The names that files give a model's layers, in every trainer's way."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from loratory.config.architectures.base import ArchitectureSpec, Shapes
from loratory.config.architectures.native import NativeLayer, native_layers
from loratory.networks import registry


def text_encoder_name(path: str) -> str:
    """A text encoder's layer as files name it: with `text_model.`, which CLIPTextModel lost in transformers 5."""
    return f"text_model.{path}" if path.startswith(("encoder.layers.", "embeddings.", "final_layer_norm")) else path


def text_layers(spec: ArchitectureSpec, modules: Shapes) -> Iterator[tuple[str, str, str]]:
    """(component, name in files, our path) of every layer of the text encoders."""
    for path in modules:
        component, _, rest = path.partition(".")
        if component in spec.text_encoder_prefixes:
            yield component, text_encoder_name(rest), path


def flat(prefix: str, path: str) -> str:
    """kohya's way: underscores for dots, after a prefix."""
    return f"{prefix}_{path.replace('.', '_')}"


def denoiser_paths(spec: ArchitectureSpec, modules: Shapes) -> dict[str, str]:
    """Our path of every layer of the denoiser, by the path inside it."""
    prefix = spec.denoiser + "."
    return {path.removeprefix(prefix): path for path in modules if path.startswith(prefix)}


def alone(paths: Mapping[str, str]) -> dict[str, NativeLayer]:
    return {name: NativeLayer(name, (path,)) for name, path in paths.items()}


def kohya_names(spec: ArchitectureSpec, modules: Shapes) -> dict[str, NativeLayer]:
    """lora_unet_… and lora_te…"""
    if spec.kohya_names == "native":
        layers = {flat("lora_unet", layer.name): layer for layer in native_layers(spec, modules)}
    else:
        layers = alone({flat("lora_unet", name): path for name, path in denoiser_paths(spec, modules).items()})
    text = {flat(spec.text_encoder_prefixes[component], name): path
            for component, name, path in text_layers(spec, modules)}  # fmt: skip
    return layers | alone(text)


def dotted_names(spec: ArchitectureSpec, modules: Shapes) -> dict[str, NativeLayer]:
    """unet.… or transformer.…, and text_encoder.…: diffusers' way."""
    denoiser = {f"{spec.denoiser}.{name}": path for name, path in denoiser_paths(spec, modules).items()}
    text = {f"{component}.{name}": path for component, name, path in text_layers(spec, modules)}
    return alone(denoiser | text)


def prefixed_names(spec: ArchitectureSpec, modules: Shapes) -> dict[str, NativeLayer]:
    """diffusion_model.… with diffusers' names, and text_encoder.…"""
    names = {f"diffusion_model.{name}": path for name, path in denoiser_paths(spec, modules).items()}
    return alone(names | {f"{component}.{name}": path for component, name, path in text_layers(spec, modules)})


def comfyui_names(spec: ArchitectureSpec, modules: Shapes) -> dict[str, NativeLayer]:
    """diffusion_model.… with the native names, and text_encoders.…"""
    layers = {f"diffusion_model.{layer.name}": layer for layer in native_layers(spec, modules)}
    text = {f"text_encoders.{spec.comfyui_text_encoders[component]}.{name}": path
            for component, name, path in text_layers(spec, modules)}  # fmt: skip
    return layers | alone(text)


def all_names(spec: ArchitectureSpec, modules: Shapes) -> dict[str, NativeLayer]:
    """Every name that any trainer gives a layer. Where two would clash the usual one counts."""
    inside = denoiser_paths(spec, modules)
    plain = {path: path for path in modules}
    flattened = {flat(prefix, name): path for name, path in inside.items()
                 for prefix in ("lora_unet", "lora_transformer", "lycoris")}  # fmt: skip
    dotted = {f"{prefix}.{name}": path for name, path in inside.items()
              for prefix in ("diffusion_model", "base_model.model")}  # fmt: skip
    bare = alone(inside | plain | flattened | dotted)
    return bare | dotted_names(spec, modules) | comfyui_names(spec, modules) | kohya_names(spec, modules)


_OTHER_SUFFIXES = {
    "lora_A.weight": "down",
    "lora_B.weight": "up",
    "lora_B.bias": "up_bias",
    "lora_A.default.weight": "down",
    "lora_B.default.weight": "up",
    "lora_B.default.bias": "up_bias",
    "lora.down.weight": "down",
    "lora.up.weight": "up",
    "lora_linear_layer.down.weight": "down",
    "lora_linear_layer.up.weight": "up",
    "down.weight": "down",
    "up.weight": "up",
    "oft_diag": "oft_diag",
    "lora_magnitude_vector": "magnitude",
    "lora_magnitude_vector.weight": "magnitude",
    "lora_magnitude_vector.default.weight": "magnitude",
    "magnitude": "magnitude",
}

_OTHER_NAMES = {
    # diffusers before it used PEFT
    r"(.+)\.processor\.to_out_lora": r"\1.to_out.0",
    r"(.+)\.processor\.(to_[qkv]|add_[qkv]_proj)_lora": r"\1.\2",
    # kohya's own OFT
    r"oft_unet_(.+)": r"lora_unet_\1",
}
"""Names of layers in files, and what they are in the usual ones, whatever the architecture."""


def usual_name(name: str, known: Mapping[str, object], spec: ArchitectureSpec) -> str:
    """The name that is known for a layer that a file calls otherwise; the same name where there is none."""
    if name in known:
        return name
    for pattern, usual in (_OTHER_NAMES | dict(spec.other_names)).items():
        if match := re.fullmatch(pattern, name):
            return match.expand(usual)
    return name


def suffixes() -> dict[str, str]:
    """Our name of every tensor that files hold, by its suffix; the longest first."""
    known = registry.suffixes() | _OTHER_SUFFIXES
    return {suffix: known[suffix] for suffix in sorted(known, key=len, reverse=True)}


@dataclass(frozen=True)
class Place:
    """A layer under a name that is known, and our name of a tensor of it; None for what is not known."""

    layer: str | None
    name: str | None


def placed(key: str, endings: Mapping[str, str], known: Mapping[str, object], spec: ArchitectureSpec) -> Place:
    """Where a tensor of a file belongs; `endings` are those of `suffixes`.

    "weight" is a suffix of its own and the end of others: which layers are known decides.
    """
    fitting = [suffix for suffix in endings if key.endswith(f".{suffix}")]
    for suffix in fitting:
        layer = usual_name(key.removesuffix(f".{suffix}"), known, spec)
        if layer in known:
            return Place(layer, endings[suffix])
    return Place(None, endings[fitting[0]] if fitting else None)
