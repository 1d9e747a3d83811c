"""The models, each behind the interface in `base.py`. `load` is the way in."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from loratory.config.architectures import get_spec
from loratory.config.identify import Resolve, inspect, locate, recognise
from loratory.config.model import ModelConfig

if TYPE_CHECKING:
    import torch
    from torch import nn

    from loratory.models.base import Architecture, Source


def load(
    config: ModelConfig,
    *,
    precision: torch.dtype,
    device: torch.device,
    resolve: Resolve,
    place: Callable[[str, nn.Module], nn.Module] | None = None,
) -> Architecture:
    """Load the model that the config names, frozen, weights in `precision` (the autoencoder in its own) on `device`.

    `place`, if given, brings each loaded module (on the CPU, with its component's name) to where it shall be, instead
    of `device`. `resolve` turns Hub ids and paths into local paths. Raises UserError for everything that is wrong with
    the files, before anything large is loaded.
    """
    found = inspect(config, resolve)
    # Heavy libraries come only now: a mistyped path is told at once.
    from loratory.models.common.checkpoint import open_checkpoint
    from loratory.models.common.loading import Request

    checkpoint, name = None, found.architecture
    if found.kind != "folder":
        checkpoint = open_checkpoint(
            found.path, allow_pickle=config.allow_pickle, field="model.path", mapped=not config.disable_mmap
        )
    if checkpoint is not None and found.kind == "pickle":
        name = recognise(checkpoint.shapes, str(found.path), found.architecture)
    assert name is not None
    spec = get_spec(name)
    module, function = spec.code.split(":")
    source = _source(config, found.path, resolve)
    request = Request(spec, config, precision, device, resolve, found.path, checkpoint, source, place)
    architecture: Architecture = getattr(importlib.import_module(module), function)(request)
    return architecture


def _source(config: ModelConfig, path: Path, resolve: Resolve) -> Source:
    from loratory.models.base import Source

    title, file = _title(config.path, path)
    if config.vae_path is None:
        return Source(title, file)
    vae_title, vae_file = _title(config.vae_path, locate(config.vae_path, resolve, "model.vae_path"))
    return Source(title, file, vae_title, vae_file)


def _title(text: str, path: Path) -> tuple[str, str | None]:
    """A name without the folders of this machine, and the path of a single file."""
    if path.is_file():
        return path.name, str(path)
    is_local = text != "demo" and Path(text).exists()
    return (path.name if is_local else text), None
