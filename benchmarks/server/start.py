"""From `loratory serve` to its first answer, against importing the web framework alone.

    python benchmarks/server/start.py [--repeats 7]

Each repeat starts the processes anew, one after the other in turns, so that a busy machine slows all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def importing(modules: str) -> float:
    """Seconds of a Python that imports these."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {modules}" if modules else "pass"], check=True, env=ENVIRONMENT)
    return time.perf_counter() - began


def serving(home: str) -> dict[str, float]:
    """A server's start, first answer and end."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "loratory.cli", "serve", "--port", "0"]
    environment = {**ENVIRONMENT, "LORATORY_HOME": home}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        said = time.perf_counter() - began
        found = re.search(r"http://\S+", line)
        assert found, line
        with urllib.request.urlopen(f"{found[0]}api/health") as answer:
            answer.read()
        answered = time.perf_counter() - began
        import psutil

        seen = psutil.Process(process.pid)
        memory, spent = seen.memory_info().rss / 1e6, seen.cpu_times()
        began = time.perf_counter()
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
        return {
            "address said, seconds": said, "first answer, seconds": answered,
            "processor until then, seconds": spent.user + spent.system,
            "stopped after, seconds": time.perf_counter() - began, "memory, MB": memory,
        }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    sys.path.insert(0, str(ROOT))
    from loratory.files import write_json

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    rows: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as home:
        for _ in range(repeats + 1):
            bare, framework = importing(""), importing("fastapi, uvicorn")
            rows.append(
                {"python alone, seconds": bare, "import fastapi and uvicorn, seconds": framework, **serving(home)}
            )
    rows = rows[1:]  # the first reads files that the others find in memory
    result = {name: round(statistics.median(row[name] for row in rows), 2) for name in rows[0]}
    result["slowest first answer, seconds"] = round(max(row["first answer, seconds"] for row in rows), 2)
    result |= {
        "repeats": repeats,
        "load before": round(load, 1),
        "machine": {"python": platform.python_version(), "cores": os.cpu_count()},
    }
    write_json(ROOT / "benchmarks" / "results" / "server_start.json", result)
    sys.stdout.write(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
