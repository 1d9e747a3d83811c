"""No request may fill the memory: bodies end at a size, but those of uploads, which go to the disk as they come."""

import json
from collections.abc import Iterator

import pytest

from loratory.server import bodies, schema
from tests.server_routes import Client
from tests.unit.server.uploads import tus

MOST = 10_000
WITH_BODY = [
    (method, path)
    for path, methods in json.loads(schema.text())["paths"].items()
    for method, operation in methods.items()
    if "requestBody" in operation
]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MOST_BYTES", MOST)


def pieces() -> Iterator[bytes]:
    """A body whose size nobody announces."""
    for _ in range(20):
        yield b'{"a": 1} ' * 100


def test_every_operation_ends_reading(client: Client) -> None:
    assert len(WITH_BODY) > 30
    kinds = {"content-type": "application/json"}
    for method, path in WITH_BODY:
        for body in (b"x" * (MOST + 1), pieces()):
            answer = client.request(method, path, content=body, headers=kinds)
            assert answer.status_code == 413, (method, path)
            assert answer.json()["code"] == "too_large"
            assert f"{8192 if path.endswith('login') else MOST:,} bytes" in answer.json()["detail"]


def test_uploads_go_on(client: Client) -> None:
    data = b"x" * (3 * MOST)
    headers = {**tus.BODY, "Upload-Length": str(len(data)), **tus.metadata(root="models", filename="a.bin")}
    assert client.post(tus.URL, headers=headers, content=data).status_code == 201
