"""Fixtures of the tests that train: a home of their own, photographs, tiny models."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.jobs import Data, job
from tests.photos import write_photos
from tests.tiny.fixtures import tiny_file, tiny_model

__all__ = ["tiny_file", "tiny_model"]


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Caches, registry and runs of a test are its own."""
    monkeypatch.setenv("LORATORY_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LORATORY_FAULT", raising=False)
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def no_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushing to the disk takes most of the time on a busy machine and shows nothing: a kill is no power cut."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five photographs in three shapes, with captions. Tests must not write to it."""
    return write_photos(tmp_path_factory.mktemp("photos") / "photos")


@pytest.fixture
def make_job(tmp_path: Path, tiny_model: Callable[[str], Path], photos: Path) -> Callable[..., Data]:
    """`make_job(architecture, {dotted path: value})`: a small job whose run goes to `tmp_path/out/run`."""

    def make(architecture: str = "sd15", changes: Mapping[str, Any] | None = None, *, output: str = "out") -> Data:
        return job(tiny_model(architecture), photos, tmp_path / output, changes)

    return make
