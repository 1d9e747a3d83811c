"""A server in the test's own process, with a home of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from loratory.server.app import create_app
from loratory.server.context import Options


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("LORATORY_HOME", str(tmp_path / "home"))
    with TestClient(create_app(Options()), base_url="http://127.0.0.1:8675") as client:
        yield client
