"""A server in this process, with a home of its own, for every test of a route."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from loratory.server.app import create_app
from loratory.server.context import Options
from tests.server_routes import Client

ADDRESS = "http://127.0.0.1:8675"
"""As a browser on the same machine names the server: on loopback it is open, but for a foreign Host."""


@pytest.fixture
def loratory_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The LORATORY_HOME of this test."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("LORATORY_HOME", str(home))
    return home


@pytest.fixture
def application(loratory_home: Path) -> FastAPI:
    """The server's application, not yet begun."""
    return create_app(Options())


@pytest.fixture
def client(application: FastAPI) -> Iterator[Client]:
    """A client of a running server, as scripts on the same machine are: no Origin, a loopback Host."""
    with Client(application, base_url=ADDRESS) as client:
        yield client
