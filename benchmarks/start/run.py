"""Where the time goes between the start of the process and the first step.

    python benchmarks/start/run.py [--repeats 3]

Each repeat is a new process that trains one step on the bundled model with twelve pictures; the first fills the cache,
the later ones find it. Nothing is compiled in this version, so that share is 0.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]

CHILD = """
import json, sys, time
started = float(sys.argv[1])
marks = {"python": time.time() - started}
last = time.time()
def mark(name):
    global last
    now = time.time(); marks[name] = marks.get(name, 0) + now - last; last = now
from pathlib import Path
from loratory.config.load import parse
from loratory.console import Show
from loratory.training import assemble
from loratory.training.loop import StopFlag
from loratory.training.run import run_training
import torch, diffusers, transformers
mark("import")
real_load = assemble.load
def load(*a, **k):
    mark("look at job and pictures")
    result = real_load(*a, **k); mark("load"); return result
assemble.load = load
def prepare(training):
    mark("cache and objects")
    training.on_step = lambda done: mark("first step") if done == 1 else None
run_training(parse(json.loads(sys.argv[2]), "benchmark"), Show(), StopFlag(), prepare_training=prepare)
marks["total to first step"] = sum(marks.values())
Path(sys.argv[3]).write_text(json.dumps(marks))
"""


def job(folder: Path, name: str) -> dict:
    return {
        "name": name,
        "model": {"path": "demo"},
        "datasets": [{"path": str(folder / "pictures")}],
        "batching": {"size": 4, "buckets": {"resolution": 128}},
        "duration": {"steps": 1},
        "memory": {"precision": "fp32"},
        "saving": {"output_dir": str(folder / "out")},
        "sampling": {"before_first_step": False},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    sys.path.insert(0, str(ROOT))
    from loratory.demo.concept import write_dataset
    from loratory.files import write_json

    rows = []
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "pictures").mkdir()
        write_dataset(folder / "pictures")
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
        environment["LORATORY_HOME"] = str(folder / "home")
        for number in range(repeats + 1):
            out = folder / f"{number}.json"
            arguments = [str(time.time()), json.dumps(job(folder, f"run{number}")), str(out)]
            subprocess.run([sys.executable, "-c", CHILD, *arguments], check=True, env=environment,
                           stderr=subprocess.DEVNULL)  # fmt: skip
            rows.append(json.loads(out.read_text()))
    help_seconds = []
    for _ in range(7):
        started = time.perf_counter()
        command = [sys.executable, "-m", "loratory.cli", "--help"]
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        help_seconds.append(time.perf_counter() - started)
    cold, warm = rows[0], rows[1:]
    result = {
        "cold_seconds": {name: round(value, 2) for name, value in cold.items()},
        "warm_seconds": {name: round(statistics.median(row[name] for row in warm), 2) for name in warm[0]},
        "compile_seconds": 0,
        "loratory --help, seconds": round(statistics.median(help_seconds), 2),
        "repeats": repeats,
        "machine": {"python": platform.python_version()},
    }
    write_json(ROOT / "benchmarks" / "results" / "start.json", result)
    sys.stdout.write(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
