"""Rewrite a LoRA file in another program's key layout, with the same effect."""

from __future__ import annotations

from pathlib import Path

import torch

from loratory.config.architectures import get_spec
from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.identify import detect_folder
from loratory.config.network_preview import model_layers
from loratory.errors import UserError
from loratory.networks import formats
from loratory.networks.formats.origin import architecture_of, layers_for
from loratory.networks.metadata import read_lora, save_lora

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
"""Number formats of files that others read."""


def convert_lora(
    source: Path,
    target: Path,
    dialect: str,
    *,
    architecture: str | None = None,
    model: Path | None = None,
    allow_unknown: bool = False,
) -> str:
    """Write `source` in another dialect to `target`; one line that says what was done.

    `architecture` is needed only where the file's names fit none or several; `model` is a diffusers folder whose sizes
    are other than the usual ones. Raises UserError for a file that cannot be read whole, unless `allow_unknown`, and
    for a target that exists; nothing is written then.
    """
    if target.exists():
        raise UserError(f"{target} exists already; give another name.")
    tensors, metadata = read_lora(source)
    spec = _spec_of(tensors, architecture, model, source, partly=allow_unknown)
    layers = layers_for(tensors, spec) if model is None else model_layers(spec, model)
    shapes = {layer.path: layer.shape for layer in layers}
    left: list[str] = []
    if allow_unknown:
        tensors, left = formats.known_part(tensors, spec, shapes)
    state = formats.import_(tensors, spec, shapes, metadata=metadata, source=str(source))
    converted = formats.export(state, spec, dialect, shapes)
    # The alphas that diffusers keeps in the header are in the tensors now.
    kept = {key: value for key, value in metadata.items() if key != formats.METADATA_KEY}
    dtypes = {tensor.dtype for tensor in tensors.values() if tensor.ndim and tensor.dtype in DTYPES}
    save_lora(target, converted, kept, dtypes.pop() if len(dtypes) == 1 else torch.float32)
    dropped = f" {len(left)} unknown tensors were left out." if left else ""
    return f"Wrote {target}: {len(state)} layers of {spec.title} in {dialect}'s layout.{dropped}"


def _spec_of(
    tensors: dict[str, torch.Tensor], architecture: str | None, model: Path | None, source: Path, *, partly: bool
) -> ArchitectureSpec:
    if architecture is not None:
        return get_spec(architecture)
    if model is not None:
        if not (model / "model_index.json").is_file():
            raise UserError(f"{model} is no folder in diffusers layout: it has no model_index.json.")
        return get_spec(detect_folder(model))
    spec = architecture_of(tensors, partly=partly)
    if spec is None:
        raise UserError(f"{source}: its layers are those of no architecture that is known; say which: --architecture.")
    return spec
