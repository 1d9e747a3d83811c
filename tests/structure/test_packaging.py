"""The wheel holds everything the package needs at run time and nothing else."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYPI_LIMIT_BYTES = 100 * 1024 * 1024


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """Built from a copy of what the wheel is made of, without a network."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "loratory", source / "loratory", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("tests", "scripts"):
        (source / name).mkdir()
        (source / name / "stray.py").touch()
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [path] = target.glob("*.whl")
    assert path.stat().st_size < PYPI_LIMIT_BYTES
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_every_file_of_the_package_is_in_it(wheel):
    files = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "loratory").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files - set(wheel.namelist()) == set()
    assert any(name.startswith("loratory/demo/model/") and name.endswith(".safetensors") for name in files)
    assert any(re.match(r"loratory/models/configs/.+\.json$", name) for name in files)


def test_nothing_else_is_in_it(wheel):
    outside = [name for name in wheel.namelist() if not re.match(r"loratory(-[\d.]+\.dist-info)?/", name)]
    assert outside == []


def test_what_it_says_of_itself(wheel):
    [metadata] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    said = wheel.read(metadata).decode("utf-8")
    assert re.search(r"^Requires-Python: <3\.14,>=3\.11$", said, re.MULTILINE)
    assert re.search(r"^License-Expression: Apache-2\.0$", said, re.MULTILINE)
    entry_points = wheel.read(metadata.replace("METADATA", "entry_points.txt")).decode("utf-8")
    assert "loratory = loratory.cli:main" in entry_points
