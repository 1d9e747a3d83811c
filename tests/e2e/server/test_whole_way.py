"""From pictures to a LoRA file over the API alone, with the bundled model, as a browser or a script goes this way."""

from __future__ import annotations

import base64
import hashlib
import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from safetensors.torch import load

from loratory.demo.concept import write_dataset
from tests.e2e.server.test_serve import Server, served

STEPS = 12
PATIENCE = 240


def call(
    server: Server, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[Any, dict[str, str]]:
    """What is answered (JSON, or the bytes), and the headers; a refusal fails the test with its sentence."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    kind = {"content-type": "application/json"} if data is not None and not isinstance(body, bytes) else {}
    request = urllib.request.Request(server.address + path, data=data, method=method, headers=kind | (headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            content = answer.read()
            is_json = answer.headers.get_content_type().endswith("json") and content
            return (json.loads(content) if is_json else content), {k.lower(): v for k, v in answer.headers.items()}
    except urllib.error.HTTPError as error:
        pytest.fail(f"{method} {path}: {error.code} {error.read().decode()}")


def upload(server: Server, file: Path, folder: str) -> None:
    """Send a file in two pieces."""
    facts = {"filename": file.name, "root": "datasets", "folder": folder}
    words = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in facts.items())
    content, tus = file.read_bytes(), {"Tus-Resumable": "1.0.0"}
    _, made = call(
        server, "POST", "/api/uploads", None, tus | {"Upload-Length": str(len(content)), "Upload-Metadata": words}
    )
    half = len(content) // 2
    for offset, piece in ((0, content[:half]), (half, content[half:])):
        headers = tus | {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
        call(server, "PATCH", urljoin("/api/uploads", made["location"]), piece, headers)


def job(dataset: str) -> dict[str, Any]:
    return {
        "name": "lory", "model": {"path": "demo"}, "datasets": [{"path": f"dataset:{dataset}"}],
        "runtime": {"device": "cpu"}, "network": {"rank": 4}, "duration": {"steps": STEPS},
        "memory": {"precision": "fp32"}, "batching": {"size": 2, "buckets": {"resolution": 128}},
        "sampling": {"prompts": ["a lory on a red background"], "every_n_steps": 6, "steps": 2},
        "saving": {"export_every_n_steps": 6},
    }  # fmt: skip


def followed(server: Server, job_id: str) -> list[dict[str, Any]]:
    """All events until the run has finished, without a gap: each cursor goes on where the last one ended."""
    found: list[dict[str, Any]] = []
    cursor, deadline = "", time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        page, _ = call(
            server, "GET", f"/api/jobs/{job_id}/events?wait=10&limit=500" + (f"&after={cursor}" if cursor else "")
        )
        found += page["events"]
        cursor = page["cursor"]
        if any(event["kind"] in ("finished", "failed") for event in found):
            return found
    pytest.fail(f"no end after {PATIENCE} s; the last events: {found[-5:]}")


@pytest.mark.slow
def test_from_pictures_to_a_lora_file(tmp_path: Path) -> None:
    write_dataset(tmp_path / "mine")
    with served(tmp_path / "home") as server:
        dataset, _ = call(server, "POST", "/api/datasets", {"name": "lories"})
        for file in sorted((tmp_path / "mine").iterdir()):
            upload(server, file, "lories")
        pictures, _ = call(server, "GET", f"/api/datasets/{dataset['id']}/pictures")
        assert pictures["total"] == 12
        assert all(each["caption"] for each in pictures["pictures"])

        checked, _ = call(server, "POST", "/api/configs/check", {"data": job(dataset["id"])})
        assert checked["valid"], checked["findings"]
        planned, _ = call(server, "POST", "/api/configs/plan", {"data": job(dataset["id"])})
        made, _ = call(server, "POST", "/api/jobs", {"config": job(dataset["id"])})
        events = followed(server, made["id"])

        kinds = [event["kind"] for event in events]
        assert "failed" not in kinds, events[-1]
        run, _ = call(server, "GET", f"/api/runs/{made['id']}")
        status = run["status"]
        assert (status["state"], status["step"], status["total_steps"]) == ("finished", STEPS, STEPS)
        assert planned["plan"]["total_steps"] == STEPS
        samples, _ = call(server, "GET", f"/api/runs/{made['id']}/samples")
        assert samples["steps"] == [0, 6, 12]
        file = f"/api/runs/{made['id']}/files/lory.safetensors"
        content, headers = call(server, "GET", file)
        kept = tmp_path / "home" / "output" / "lory" / "lory.safetensors"
        assert hashlib.sha256(content).digest() == hashlib.sha256(kept.read_bytes()).digest()
        assert "attachment" in headers["content-disposition"]
        assert len(load(content)) > 10
        part, _ = call(server, "GET", file, headers={"Range": "bytes=0-7"})
        assert part == content[:8]
        deadline = time.monotonic() + 30
        while (states := [each["state"] for each in call(server, "GET", "/api/jobs")[0]]) != ["finished"]:
            assert time.monotonic() < deadline, states
            time.sleep(0.2)
