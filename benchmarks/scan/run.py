"""How long a dataset folder takes to open: the first time, again unchanged, and again after a few changes.

    python benchmarks/scan/run.py [--count 100000] [--output benchmarks/results/scan.json]

Makes a dataset of tiny pictures with captions in a temporary folder, measures, prints and writes the figures.
The file system's cache is warm, as it is for someone who works with a dataset.
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
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from loratory.data.buckets import BucketRule, assign, counts_per_bucket
from loratory.data.scan import Scan, scan

FOLDERS = ("10_ohwx dog", "2_cat", "plain", "plain/deep", "more")
FORMATS = (("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP"))
CHANGES = 10
REPETITIONS = 5


def make_dataset(root: Path, count: int) -> None:
    """count pictures and as many captions, spread over FOLDERS; the pictures are copies of thirty different ones."""
    random = np.random.default_rng(1)
    contents: list[tuple[str, bytes]] = []
    for number in range(30):
        suffix, format_name = FORMATS[number % len(FORMATS)]
        size = tuple(int(side) for side in random.integers(16, 64, 2))
        stream = BytesIO()
        Image.fromarray(random.integers(0, 256, (*size, 3), dtype=np.uint8)).save(stream, format=format_name)
        contents.append((suffix, stream.getvalue()))
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True)
    for number in range(count):
        suffix, content = contents[number % len(contents)]
        stem = root / FOLDERS[number % len(FOLDERS)] / f"picture_{number:06d}"
        stem.with_suffix(f".{suffix}").write_bytes(content)
        stem.with_suffix(".txt").write_bytes(b"a photo of a dog, grass, sun")


def timed(work: Callable[[], Scan]) -> tuple[float, float, Scan]:
    """(seconds on the clock, seconds of processor time, result); they differ where the machine has other work to do."""
    start, start_cpu = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - start, time.process_time() - start_cpu, result


def change(root: Path, found: Scan, random: np.random.Generator) -> None:
    """Changes the time of CHANGES pictures, as a program does that saves them anew."""
    for index in random.choice(len(found.items), CHANGES, replace=False):
        path = root / found.items[index].path
        path.write_bytes(path.read_bytes() + b"\0")
        os.utime(path, ns=(time.time_ns(), found.items[index].mtime_ns + 1_000_000))


def measure(root: Path, index_path: Path) -> dict[str, float]:
    def again() -> Scan:
        return scan(root, index_path=index_path)

    seconds: dict[str, float] = {}
    seconds["first open"], seconds["first open, processor"], found = timed(again)
    unchanged = [timed(again) for _ in range(REPETITIONS)]
    assert all(result == found for _, _, result in unchanged)
    seconds["unchanged, median"] = statistics.median(clock for clock, _, _ in unchanged)
    seconds["unchanged, fastest"] = min(clock for clock, _, _ in unchanged)
    seconds["unchanged, processor"] = statistics.median(processor for _, processor, _ in unchanged)
    random = np.random.default_rng(2)
    changed = []
    for _ in range(REPETITIONS):
        change(root, found, random)
        changed.append(timed(again))
    seconds[f"{CHANGES} changes, median"] = statistics.median(clock for clock, _, _ in changed)
    seconds[f"{CHANGES} changes, processor"] = statistics.median(processor for _, processor, _ in changed)
    sizes = [(item.width, item.height) for item in found.items]
    rule = BucketRule("kohya", (1024, 1024), 256, 2048, 64)
    start = time.perf_counter()
    counts_per_bucket(assign(sizes, rule), [item.repeats for item in found.items])
    seconds["buckets of all"] = time.perf_counter() - start
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=100_000, help="how many pictures")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "scan.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="loratory-scan-") as folder:
        root = Path(folder) / "dataset"
        start = time.perf_counter()
        make_dataset(root, arguments.count)
        print(f"made {arguments.count} pictures and captions in {time.perf_counter() - start:.1f} s")
        index_path = Path(folder) / "state" / "index.json"
        seconds = measure(root, index_path)
        index_megabytes = index_path.stat().st_size / 1e6
    for name, duration in seconds.items():
        print(f"{name:>24}: {duration:7.3f} s")
    print(f"{'index':>24}: {index_megabytes:7.2f} MB")
    report = {
        "benchmark": "scan",
        "pictures": arguments.count,
        "seconds": {name: round(duration, 4) for name, duration in seconds.items()},
        "index_megabytes": round(index_megabytes, 3),
        "machine": {
            "system": platform.system(),
            "processors": os.cpu_count(),
            "python": platform.python_version(),
            "pillow": PIL.__version__,
            "numpy": np.__version__,
        },
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"written to {arguments.output}")


if __name__ == "__main__":
    main()
