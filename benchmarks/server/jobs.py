"""What a long queue costs: jobs put into it over HTTP, listed, moved, and found again from their folders.

    python benchmarks/server/jobs.py [--jobs 200] [--output benchmarks/results/server_jobs.json]

The server is in this process; times are of whole requests, the disk's flushes included. "listed" is compared with the
bare answer of `/api/health` in the same run.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))


def median_ms(action: Callable[[], Any], times: int = 20) -> float:
    took = []
    for _ in range(times):
        begin = time.perf_counter()
        action()
        took.append(time.perf_counter() - begin)
    return round(1000 * statistics.median(took), 2)


def measured(jobs: int) -> dict[str, Any]:
    from fastapi.testclient import TestClient

    from loratory.demo.concept import write_dataset
    from loratory.jobs.queue import Queue
    from loratory.jobs.reindex import rebuild
    from loratory.server.app import create_app
    from loratory.server.context import Options

    write_dataset(Path(os.environ["LORATORY_HOME"]) / "datasets" / "lories")
    config = {"model": {"path": "demo"}, "datasets": [{"path": "datasets/lories"}], "runtime": {"device": "cpu"}}
    app = create_app(Options())
    with TestClient(app, base_url="http://127.0.0.1:8675") as client:

        def answered(answer: Any) -> Any:
            answer.raise_for_status()
            return answer.json() if answer.content else None

        added = []
        for number in range(jobs):
            begin = time.perf_counter()
            body = {"config": {**config, "name": f"job {number}"}, "hold": True}
            answered(client.post("/api/jobs", json=body))
            added.append(time.perf_counter() - begin)
        ids = [job["id"] for job in answered(client.get("/api/jobs"))]
        assert len(ids) == jobs
        queue = app.state.context.queue
        assert isinstance(queue, Queue)
        return {
            "jobs": jobs,
            "python": platform.python_version(),
            "put into the queue, ms (median)": round(1000 * statistics.median(added), 1),
            "put into the queue, ms (last ten, median)": round(1000 * statistics.median(added[-10:]), 1),
            "bare answer, ms": median_ms(lambda: answered(client.get("/api/health"))),
            "all listed, ms": median_ms(lambda: answered(client.get("/api/jobs"))),
            "one shown, ms": median_ms(lambda: answered(client.get(f"/api/jobs/{ids[-1]}"))),
            "last moved to the top, ms": median_ms(lambda: answered(client.post(f"/api/jobs/{ids[-1]}/move", json={}))),
            "found again from their folders, ms": median_ms(lambda: rebuild(queue), 3),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "server_jobs.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["LORATORY_HOME"] = home
        result = measured(arguments.jobs)
    print(json.dumps(result, indent=2))
    arguments.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
