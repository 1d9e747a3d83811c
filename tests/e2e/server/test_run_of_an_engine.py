"""What a real training leaves is what the server tells of it."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from loratory.server.app import create_app
from tests.e2e.jobs import Data, events, train

pytestmark = pytest.mark.slow


def test_a_trained_run_over_http(make_job: Callable[..., Data], own_home: Path) -> None:
    prompts = ["a red lory --n blurry --w 32 --h 32 --d 3 --s 2"]
    run = train(
        make_job("sd15", {"sampling": {"prompts": prompts, "every_n_steps": 2}, "saving.checkpoint_every_n_steps": 2})
    )
    with TestClient(create_app(), base_url="http://127.0.0.1:8675") as client:
        (facts,) = client.get("/api/runs").json()["runs"]
        assert (facts["id"], facts["state"], facts["step"]) == (run.id, "finished", 4)
        assert facts["loss"] is not None and facts["architecture"]

        told = client.get(f"/api/jobs/{run.id}/events", params={"limit": 1000}).json()["events"]
        mine = [(event["seq"], event["kind"]) for event in told if event["source"] == "run"]
        assert mine == [(event.seq, event.kind) for event in events(run)]
        assert [line for event in told if event["kind"] == "log" for line in event["data"]["lines"]] == (
            run.log_path.read_text(encoding="utf-8").splitlines()
        )
        assert told[-1]["data"]["average_iterations_per_second"] > 0

        samples = client.get(f"/api/runs/{run.id}/samples").json()
        (prompt,) = samples["prompts"]
        assert (prompt["text"], prompt["negative"], prompt["settings"]["Steps"]) == ("a red lory", "blurry", "2")
        assert samples["steps"] == sorted({sample["step"] for sample in samples["samples"]})
        assert [each["is_whole"] for each in client.get(f"/api/runs/{run.id}/checkpoints").json()].count(False) == 0
        final = client.get(f"/api/runs/{run.id}/exports").json()[-1]
        assert (final["kind"], final["metadata"]["steps"]) == ("final", "4")
        assert client.get(f"/api/runs/{run.id}/lora").content == run.final_export_path.read_bytes()

        frame = client.get(f"/api/runs/{run.id}/metrics", params={"name": "loss"}).content
        (length,) = struct.unpack("<I", frame[:4])
        count = json.loads(frame[4 : 4 + length])["series"][0]["count"]
        lines = [json.loads(line) for line in run.metrics_path.read_text().splitlines()[1:]]
        expected = np.array([line["loss"] for line in lines if "loss" in line], np.float32)
        np.testing.assert_array_equal(np.frombuffer(frame, "<f4", count, 4 + length + 4 * count), expected)
