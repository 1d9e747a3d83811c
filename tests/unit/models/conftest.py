"""Tiny models, loaded once per worker by us and by diffusers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline

from loratory.config.model import ModelConfig
from loratory.models import load
from tests.tiny import MODULES
from tests.tiny.fixtures import tiny_file, tiny_model

__all__ = ["tiny_file", "tiny_model"]


def local(path_or_id: str, **_: Any) -> Path:
    """Stands for the Hub's resolver: everything is a path."""
    return Path(path_or_id)


def load_model(path: Path, precision: torch.dtype = torch.float32, **settings: Any) -> Any:
    config = ModelConfig(path=str(path), **{k: str(v) if isinstance(v, Path) else v for k, v in settings.items()})
    return load(config, precision=precision, device=torch.device("cpu"), resolve=local)


@pytest.fixture(scope="session")
def ours(tiny_model: Callable[[str], Path]) -> Callable[[str], Any]:
    """`ours(architecture)` is the tiny model, loaded from its folder. Tests must leave it as it was."""
    loaded: dict[str, Any] = {}

    def get(architecture: str) -> Any:
        if architecture not in loaded:
            loaded[architecture] = load_model(tiny_model(architecture))
        return loaded[architecture]

    return get


@pytest.fixture(scope="session")
def theirs(tiny_model: Callable[[str], Path]) -> Callable[[str], Any]:
    """`theirs(architecture)` is the pipeline that diffusers loads from the same folder."""
    loaded: dict[str, Any] = {}

    def get(architecture: str) -> Any:
        if architecture not in loaded:
            module, folder = MODULES[architecture], tiny_model(architecture)
            if hasattr(module, "theirs"):  # diffusers has no such pipeline
                pipeline = module.theirs(folder)
            else:
                pipeline = DiffusionPipeline.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
            pipeline = getattr(module, "mended", lambda same: same)(pipeline)
            pipeline.set_progress_bar_config(disable=True)
            loaded[architecture] = pipeline
        return loaded[architecture]

    return get
