"""Write the tables of every architecture's layers: `python -m scripts.module_tables [--check]`.

Made from the true configs on the meta device, so nothing is downloaded and no weight is made. The tables lie in
loratory/config/modules/; what reads them needs no torch.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import diffusers
import torch
import transformers
from torch import nn

import loratory.models
from loratory.config.architectures import SPECS
from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.modules import FOLDER, table_text
from loratory.models.common import omnigen2, radiance
from loratory.networks.base import layers_of

CONFIGS = Path(loratory.models.__file__).parent / "configs"


@dataclass(frozen=True)
class Modules:
    denoiser: nn.Module
    text_encoders: dict[str, nn.Module]


@dataclass(frozen=True)
class Model:
    """As much of a loaded architecture as a network needs: shapes without weights."""

    spec: ArchitectureSpec
    components: Modules


def from_config(folder: Path, library: str, class_name: str) -> nn.Module:
    """A module as its config says. `library` and `class_name` as model_index.json has them."""
    if library in ("diffusers", "loratory"):
        places = (diffusers,) if library == "diffusers" else (radiance, omnigen2)
        kind = next(getattr(place, class_name) for place in places if hasattr(place, class_name))
        return kind.from_config(kind.load_config(folder))
    return getattr(transformers, class_name)(transformers.AutoConfig.from_pretrained(folder))


def true_model(spec: ArchitectureSpec, config: str | None = None) -> Model:
    """The architecture in its true sizes, on the meta device; `config` is one of its `other_true_configs`."""
    folder = CONFIGS / (config or spec.true_config)
    index = diffusers.DiffusionPipeline.load_config(folder)
    with torch.device("meta"):
        modules = {name: from_config(folder / name, *index[name]) for name in (spec.denoiser, *spec.text_encoders)}
    denoiser = modules.pop(spec.denoiser)
    return Model(spec, Modules(denoiser, modules))


def tables() -> Iterator[tuple[str, str]]:
    """Name and content of every table; those of further sizes have the denoiser only."""
    for spec in SPECS.values():
        yield spec.name, table_text(spec, layers_of(true_model(spec)))
        for config in spec.other_true_configs:
            found = [layer for layer in layers_of(true_model(spec, config)) if layer.path.startswith(spec.denoiser)]
            yield config, table_text(spec, found)


def write_or_check(found: Iterable[tuple[str, str]], folder: Path, complaint: str) -> int:
    """Write tables, given as names and contents, into a folder; with --check only say which are not as they would be.
    Returns the exit code."""
    stale = []
    for name, text in found:
        path = folder / f"{name}.json"
        if "--check" not in sys.argv[1:]:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
    if stale:
        sys.stderr.write(f"{complaint}: {', '.join(stale)}\n")
    return 1 if stale else 0


def main() -> int:
    return write_or_check(tables(), FOLDER, "Not as the architectures' true configs have it")


if __name__ == "__main__":
    sys.exit(main())
