import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
KILLED = 137 if sys.platform == "win32" else -9


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **changes}


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a home of its own; no test sees the user's."""
    home = tmp_path / "home"
    monkeypatch.setenv("LORATORY_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def writer() -> dict[str, object]:
    """The functions of writer.py, to be called in this process."""
    return runpy.run_path(str(HERE / "writer.py"))


@pytest.fixture
def python() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a Python process that talks over pipes; what is left of it is killed after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env=environment(**variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def killed() -> int:
    """The exit status of a process that a fault killed."""
    return KILLED
