"""A server in this process, with a home of its own, for every test of a route."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from loratory.server.app import create_app
from loratory.server.context import Options


@pytest.fixture
def loratory_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The LORATORY_HOME of this test."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("LORATORY_HOME", str(home))
    return home


@pytest.fixture
def client(loratory_home: Path) -> Iterator[TestClient]:
    """A client of a running server, as scripts on the same machine are."""
    with TestClient(create_app(Options()), base_url="http://127.0.0.1:8675") as client:
        yield client
