"""How long a plan takes that a form asks for at every key: 10,000 pictures, nothing new in the folder.

python benchmarks/server/configs.py [--pictures 10000]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

ROUNDS = 12


def make_pictures(folder: Path, number: int) -> None:
    """Small files of many sizes, each with a caption."""
    from PIL import Image

    folder.mkdir(parents=True)
    sizes = [(512 + 32 * i, 1024 - 32 * i) for i in range(16)]
    for i, size in enumerate(sizes):
        Image.new("L", size).save(folder / f"size{i}.png")
    contents = [(folder / f"size{i}.png").read_bytes() for i in range(len(sizes))]
    for i in range(number - len(sizes)):
        (folder / f"{i:06}.png").write_bytes(contents[i % len(sizes)])
        (folder / f"{i:06}.txt").write_text("a dog")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["LORATORY_HOME"] = temporary
        folder = Path(temporary) / "datasets" / "many"
        make_pictures(folder, arguments.pictures)
        from fastapi.testclient import TestClient

        from loratory.server.app import create_app
        from loratory.server.context import Options

        with TestClient(create_app(Options()), base_url="http://127.0.0.1:8675") as client:
            for architecture in ("sd15", "sdxl", "flux1", "qwen_image"):
                for route in ("plan", "check"):
                    measure(client, route, architecture, folder)


def measure(client: Any, route: str, architecture: str, folder: Path) -> None:
    """Print the first answer's time, and the median of the next ones, each to another draft."""
    times = []
    for number in range(ROUNDS):
        data = {"name": "x", "model": {"architecture": architecture, "path": "a/b"},
                "datasets": [{"path": str(folder)}], "optimizer": {"learning_rate": 1e-4 * (number + 1)}}  # fmt: skip
        body: dict[str, Any] = {"data": data} | ({"gpu_memory_gib": 12} if route == "plan" else {})
        start = time.perf_counter()
        answer = client.post(f"/api/configs/{route}", json=body)
        times.append(time.perf_counter() - start)
        answer.raise_for_status()
    later = sorted(times[1:])
    first, median, slowest = (each * 1e3 for each in (times[0], statistics.median(later), later[-1]))
    print(f"{architecture:12} {route:6} first {first:6.0f} ms, then median {median:5.0f} ms, slowest {slowest:5.0f} ms")


if __name__ == "__main__":
    main()
