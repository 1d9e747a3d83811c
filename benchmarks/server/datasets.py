"""A dataset of 100,000 pictures in the server: opened, listed, filtered, edited, undone; seconds and memory.

    python benchmarks/server/datasets.py [--count 100000] [--output benchmarks/results/server_datasets.json]

Makes tiny pictures with captions of about twenty tags in a temporary home, and asks the application over its routes,
without a network between. The file system's cache is warm, as it is for someone who works with a dataset.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

FOLDERS = ("10_ohwx dog", "2_cat", "plain", "more")
QUERIES = {
    "filter by a tag": "tag:tag_0017",
    "filter by a wildcard": "tag:*_001? -tag:tag_0000",
    "filter by text in captions": 'caption:"tag_0017, tag"',
    "filter by everything at once": "(tag:tag_001* OR caption:night) AND size:>=16 NOT untagged name:picture_0*",
}


def make_dataset(root: Path, count: int) -> None:
    """count pictures that are copies of twenty, and captions of tags that are as uneven as those of booru sites."""
    from io import BytesIO

    from PIL import Image

    random = np.random.default_rng(1)
    contents = []
    for _ in range(20):
        stream = BytesIO()
        pixels = random.integers(0, 256, (*random.integers(16, 40, 2), 3), dtype=np.uint8)
        Image.fromarray(pixels).save(stream, "PNG")
        contents.append(stream.getvalue())
    names = np.array([f"tag_{number:04}" for number in range(3000)])
    chances = 1 / np.arange(1, 3001)
    chances /= chances.sum()
    chosen = names[random.choice(3000, (count, 20), p=chances)]
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True)
    for number in range(count):
        stem = root / FOLDERS[number % len(FOLDERS)] / f"picture_{number:06d}"
        stem.with_suffix(".png").write_bytes(contents[number % len(contents)])
        stem.with_suffix(".txt").write_text(", ".join(chosen[number]), encoding="utf-8")


class Measured:
    """Seconds of each question, and what it answered."""

    def __init__(self, client: Any) -> None:
        self.client, self.seconds = client, dict[str, float]()

    def ask(self, name: str, method: str, path: str, **more: Any) -> Any:
        begun = time.perf_counter()
        answer = self.client.request(method, path, **more)
        assert answer.status_code < 300, answer.text
        self.note(name, begun)
        return answer.json()

    def until(self, name: str, done: Callable[[], bool]) -> None:
        begun = time.perf_counter()
        while not done():
            time.sleep(0.02)
        self.note(name, begun)

    def note(self, name: str, begun: float) -> None:
        if name:
            self.seconds[name] = round(time.perf_counter() - begun, 4)
            print(f"{name:>40}: {self.seconds[name]:8.3f} s", flush=True)


def edit(measured: Measured, base: str, name: str, path: str, body: dict[str, Any]) -> str:
    """Begin an edit, wait for it, and give its id."""
    begun = time.perf_counter()
    task = measured.ask("", "POST", f"{base}/edits{path}", json=body)["task"]
    while task["state"] not in ("finished", "failed"):
        time.sleep(0.02)
        task = measured.ask("", "GET", f"/api/tasks/{task['id']}")
    assert task["state"] == "finished", task
    measured.note(name, begun)
    return str(task["result"]["id"])


def measure(client: Any, dataset: str, count: int) -> dict[str, float]:
    measured = Measured(client)
    base = f"/api/datasets/{dataset}"
    measured.until("open for the first time", lambda: client.get(f"{base}/pictures").status_code == 200)
    measured.ask("look again, unchanged", "POST", f"{base}/scan")
    measured.ask("list datasets", "GET", "/api/datasets")
    found = measured.ask("first page of 100", "GET", f"{base}/pictures")
    assert found["total"] == count
    measured.ask("last page of 100", "GET", f"{base}/pictures", params={"offset": count - 100})
    measured.ask("first page by caption", "GET", f"{base}/pictures", params={"sort": "caption"})
    for name, query in QUERIES.items():
        total = measured.ask(name, "GET", f"{base}/pictures", params={"query": query})["total"]
        assert 0 < total < count, (query, total)
    measured.ask("most frequent tags", "GET", f"{base}/tags")
    measured.ask("autocomplete", "GET", f"{base}/tags", params={"start": "tag_02", "limit": 20})
    measured.ask("tags together", "GET", f"{base}/tags/together", params={"tag": "tag_0001"})
    measured.ask("statistics", "GET", f"{base}/statistics")
    measured.ask("buckets", "GET", f"{base}/buckets", params={"width": 512, "height": 512})
    item = found["pictures"][7]
    written = {"item": item["path"], "text": "one caption", "based_on": item["caption_version"]}
    measured.ask("write one caption", "PUT", f"{base}/captions", json=written)
    measured.ask("filter after an edit", "GET", f"{base}/pictures", params={"query": "tag:tag_0017"})
    body = {"operations": [{"op": "trigger", "word": "ohwx"}, {"op": "underscores"}]}
    step = edit(measured, base, "preview of an edit of all captions", "", body)
    measured.ask("a page of changes", "GET", f"{base}/edits/{step}", params={"offset": count // 2})
    edit(measured, base, "edit all captions", f"/{step}/apply", {})
    assert measured.ask("", "GET", f"{base}/pictures", params={"query": "tag:ohwx"})["total"] == count
    edit(measured, base, "undo the edit of all captions", f"/{step}/undo", {})
    assert measured.ask("", "GET", f"{base}/pictures", params={"query": "tag:ohwx"})["total"] == 0
    return measured.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=100_000, help="how many pictures")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "server_datasets.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="loratory-datasets-") as folder:
        os.environ["LORATORY_HOME"] = folder
        from fastapi.testclient import TestClient

        from loratory.server.app import create_app

        make_dataset(Path(folder) / "datasets" / "large", arguments.count)
        process = psutil.Process()
        with TestClient(create_app(), base_url="http://127.0.0.1:8675") as client:
            before = process.memory_info().rss
            identifier = client.get("/api/datasets").json()["datasets"][0]["id"]
            seconds = measure(client, identifier, arguments.count)
            after = process.memory_info().rss
        with TestClient(create_app(), base_url="http://127.0.0.1:8675") as client:
            again = Measured(client)
            pages = f"/api/datasets/{identifier}/pictures"
            again.until("open after a restart of the server", lambda: client.get(pages).status_code == 200)
        journal = next(Path(folder).glob("state/datasets/*/edits.sqlite")).stat().st_size
    report = {
        "pictures": arguments.count,
        "seconds": seconds | again.seconds,
        "megabytes": {"memory that the open dataset takes": round((after - before) / 1e6, 1),
                      "history of two edits of all captions": round(journal / 1e6, 1)},
        "machine": {"system": platform.system(), "processors": os.cpu_count(), "python": platform.python_version()},
    }  # fmt: skip
    arguments.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report["megabytes"]))


if __name__ == "__main__":
    main()
