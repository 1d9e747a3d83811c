"""A client of a server whose home is a folder of the test's own."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from loratory.server.app import create_app
from loratory.server.context import Options


@pytest.fixture
def client(tmp_path, monkeypatch):
    monkeypatch.setenv("LORATORY_HOME", str(tmp_path / "home"))
    with TestClient(create_app(Options()), base_url="http://127.0.0.1:8675") as client:
        yield client
