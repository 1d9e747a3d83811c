"""The names that files give a model's layers, in every trainer's way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from loratory.config.architectures.base import ArchitectureSpec, Shapes
from loratory.config.architectures.native import NativeLayer, native_layers
from loratory.networks import registry
from loratory.networks.types import dora


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
    "lora_A.default.weight": "down",
    "lora_B.default.weight": "up",
    "lora.down.weight": "down",
    "lora.up.weight": "up",
    "lora_magnitude_vector": dora.NAME,
    "lora_magnitude_vector.weight": dora.NAME,
    "lora_magnitude_vector.default.weight": dora.NAME,
    "magnitude": dora.NAME,
}


def suffixes() -> dict[str, str]:
    """Our name of every tensor that files hold, by its suffix; the longest first."""
    known = registry.suffixes() | _OTHER_SUFFIXES
    return {suffix: known[suffix] for suffix in sorted(known, key=len, reverse=True)}


def layer_name(key: str) -> str | None:
    """The layer of a tensor in a file; None for a tensor that is no part of a network type."""
    return next((key.removesuffix(f".{suffix}") for suffix in suffixes() if key.endswith(f".{suffix}")), None)
