"""A small tus client for the tests, written from the protocol and not from the server."""

from __future__ import annotations

import base64
from typing import Any

URL = "/api/uploads"
VERSION = {"Tus-Resumable": "1.0.0"}
BODY = {**VERSION, "Content-Type": "application/offset+octet-stream"}


def metadata(**values: str) -> dict[str, str]:
    pairs = [f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items()]
    return {"Upload-Metadata": ",".join(pairs)}


def create(client: Any, size: int, **values: str) -> Any:
    values.setdefault("root", "models")
    return client.post(URL, headers={**VERSION, "Upload-Length": str(size), **metadata(**values)})


def begin(client: Any, size: int, **values: str) -> str:
    """The address of a new upload, as a client makes it from Location."""
    answer = create(client, size, **values)
    assert answer.status_code == 201, answer.text
    return str(answer.url.join(answer.headers["location"]).path)


def patch(client: Any, url: str, offset: int, data: Any, **headers: str) -> Any:
    return client.patch(url, headers={**BODY, "Upload-Offset": str(offset), **headers}, content=data)


def offset(client: Any, url: str) -> int:
    answer = client.head(url, headers=VERSION)
    assert answer.status_code == 200, answer.status_code
    return int(answer.headers["upload-offset"])
