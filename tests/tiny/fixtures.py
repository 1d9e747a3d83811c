"""Session fixtures: each worker process builds each tiny model once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tiny import TINY, single_file


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`tiny_model(architecture)` is the folder of that tiny model. Tests must not write to it: copy it."""
    root, built = tmp_path_factory.mktemp("tiny"), {}

    def get(architecture: str) -> Path:
        if architecture not in built:
            built[architecture] = TINY[architecture](root / architecture)
        return built[architecture]

    return get


@pytest.fixture(scope="session")
def tiny_file(
    tiny_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Path]:
    """`tiny_file(architecture, layout)` is the same model as one .safetensors file. Tests must not write to it."""
    root, built = tmp_path_factory.mktemp("tiny-files"), {}

    def get(architecture: str, layout: str) -> Path:
        key = architecture, layout
        if key not in built:
            out = root / f"{architecture}-{layout}.safetensors"
            built[key] = single_file(architecture, tiny_model(architecture), out, layout)
        return built[key]

    return get
