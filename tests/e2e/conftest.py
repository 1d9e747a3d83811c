"""Fixtures of the tests that train: a home of their own, photographs, tiny models."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

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


@dataclass(frozen=True)
class Said:
    """How a command ended, and what the person at the terminal saw."""

    code: int
    text: str

    @property
    def error(self) -> str:
        """The one error it named; fails when there is none, several, or a traceback."""
        assert "Traceback" not in self.text, self.text
        errors = [line for line in self.text.splitlines() if line.startswith("Error: ")]
        assert len(errors) == 1, self.text
        return errors[0]


@pytest.fixture
def loratory(capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """`loratory("train", path, …)`: the command line in this process."""
    from loratory.cli import app

    def run(*arguments: object) -> Said:
        capfd.readouterr()
        code = app([str(argument) for argument in arguments], standalone_mode=False)
        printed = capfd.readouterr()
        return Said(code or 0, printed.out + printed.err)

    return run


@pytest.fixture
def job_file(tmp_path: Path) -> Callable[[Data], Path]:
    """Write a job to a new file."""

    def write(data: Data) -> Path:
        path = tmp_path / f"job{len(list(tmp_path.glob('job*.yaml')))}.yaml"
        path.write_text(yaml.safe_dump(data), encoding="utf-8")
        return path

    return write


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[Any], object]], None]:
    """`at_step(n, do)`: from now on every training calls `do(training)` when its n-th step is done, before it saves."""
    from loratory.training import assemble

    original = assemble.make_training

    def arrange(step: int, do: Callable[[Any], object]) -> None:
        def make(*arguments: Any) -> Any:
            training = original(*arguments)

            def on_step(done: int) -> None:
                if done == step:
                    do(training)

            training.on_step = on_step
            return training

        monkeypatch.setattr(assemble, "make_training", make)

    return arrange
