"""The server's stream tells of runs that begin, change and go, also those of the command line."""

import json
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from loratory.runs import RunFolder
from loratory.server import watch
from loratory.trash import to_trash


def test_runs_on_the_stream(application: FastAPI, loratory_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "SECONDS", 0.02)
    with (
        TestClient(application, base_url="http://127.0.0.1:8675") as client,
        client.websocket_connect("/api/events?kinds=run&kinds=run_gone", headers={"host": "127.0.0.1:8675"}) as stream,
    ):
        run = RunFolder.create(loratory_home / "output", "dog")

        def told() -> tuple[str, dict[str, object]]:
            (event,) = json.loads(stream.receive_text())["events"]
            return event["kind"], event["data"]

        kind, data = told()
        assert (kind, data["id"], data["state"]) == ("run", run.id, "queued")
        run.write_status("finished", step=3)
        kind, data = told()
        assert (kind, data["state"], data["step"]) == ("run", "finished", 3)
        to_trash(run.path, "run")
        assert told() == ("run_gone", {"id": run.id})
