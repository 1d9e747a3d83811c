"""The wheel holds everything the package needs at run time and nothing else, the browser app included."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import hatch_build

ROOT = Path(__file__).resolve().parents[2]
PYPI_LIMIT_BYTES = 100 * 1024 * 1024
OWN = ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore")


def hatch(source: Path, target: str, out: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Build with the backend that pip calls, without a network and on a machine without Node."""
    clean = {name: value for name, value in os.environ.items() if name != hatch_build.SKIP}
    clean |= {"PATH": "/nowhere", "npm_config_registry": "http://127.0.0.1:9", "npm_config_fetch_retry_mintimeout": "1"}
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)]
    return subprocess.run(
        command, cwd=source, capture_output=True, text=True, check=False, env={**clean, **environment}
    )


def built(source: Path, target: str, out: Path, **environment: str) -> Path:
    done = hatch(source, target, out, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    [path] = out.iterdir()
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """Built from a copy of what the wheel is made of."""
    source = tmp_path_factory.mktemp("source")
    for name in OWN:
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "loratory", source / "loratory", ignore=shutil.ignore_patterns("__pycache__", ".static-*"))
    for name in ("tests", "scripts"):
        (source / name).mkdir()
        (source / name / "stray.py").touch()
    path = built(source, "wheel", tmp_path_factory.mktemp("wheel"))
    assert path.stat().st_size < PYPI_LIMIT_BYTES
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_every_file_of_the_package_is_in_it(wheel):
    files = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "loratory").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.parent.name.startswith(".static-")
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


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A small checkout whose app is built."""
    source = tmp_path / "checkout"
    static = source / "loratory" / "server" / "static"
    (static / "assets").mkdir(parents=True)
    for name in OWN:
        shutil.copy(ROOT / name, source)
    (source / "loratory" / "__init__.py").write_text('__version__ = "0.1.0"\n', encoding="utf-8")
    lock = '{"packages": {"node_modules/a": {"version": "1.0.0", "resolved": "http://127.0.0.1:9/a.tgz"}}}'
    web = {"src/main.tsx": "1", "index.html": "2", "package-lock.json": lock, "package.json": '{"name": "x"}'}
    for name, text in (web | {"codegen/package.json": "{}", "node_modules/a/index.js": "3", ".lock": ""}).items():
        path = source / "web" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for name in ("index.html", "assets/a.js", "assets/a.js.br"):
        (static / name).write_text("app", encoding="utf-8")
    (static / hatch_build.STAMP).write_text(hatch_build.digest(source / "web"), encoding="ascii")
    return source


def test_a_wheel_carries_the_built_app_and_needs_no_node_for_it(checkout, tmp_path):
    with zipfile.ZipFile(built(checkout, "wheel", tmp_path / "out")) as archive:
        found = {name for name in archive.namelist() if "/static/" in name}
    within = ("index.html", "assets/a.js", "assets/a.js.br", ".stamp")
    assert found == {f"loratory/server/static/{name}" for name in within}


def test_a_source_archive_carries_the_built_app_and_makes_the_same_wheel(checkout, tmp_path):
    with tarfile.open(built(checkout, "sdist", tmp_path / "out")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        for each in archive.getmembers():  # extractall asks for a filter on some Pythons, and on others knows none
            if (file := archive.extractfile(each)) is not None:
                (tmp_path / each.name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / each.name).write_bytes(file.read())
    assert {"web/src/main.tsx", "web/package-lock.json", "hatch_build.py", "loratory/server/static/.stamp"} <= names
    assert not [name for name in names if "node_modules" in name or name.endswith(".lock")]
    with zipfile.ZipFile(built(tmp_path / "loratory-0.1.0", "wheel", tmp_path / "again")) as archive:
        assert archive.read("loratory/server/static/index.html") == b"app"


@pytest.mark.parametrize("target", ["wheel", "sdist"])
def test_an_app_older_than_its_sources_is_not_packed(checkout, tmp_path, target):
    (checkout / "web" / "src" / "main.tsx").write_text("changed", encoding="utf-8")
    done = hatch(checkout, target, tmp_path / "out")
    assert done.returncode != 0
    assert "The browser app could not be built" in done.stderr
    assert "LORATORY_SKIP_WEB=1 installs Loratory without the app" in done.stderr


def test_the_app_can_be_left_out(checkout, tmp_path):
    shutil.rmtree(checkout / "loratory" / "server" / "static")
    with zipfile.ZipFile(built(checkout, "wheel", tmp_path / "out", LORATORY_SKIP_WEB="1")) as archive:
        assert not [name for name in archive.namelist() if "static" in name]
