"""How fast files arrive by resumable upload, against a plain copy through a loopback connection in the same run.

    python benchmarks/server/uploads.py [--megabytes 400] [--output benchmarks/results/server_uploads.json]

The server is a process of its own. The plain copy reads a socket and writes a file, with nothing between them.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import http.client
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
SERVER = """
import sys, uvicorn
from loratory.server.app import create_app
uvicorn.run(create_app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
"""
TUS = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
REPETITIONS = 3


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def ask(port: int, method: str, path: str, body: bytes | memoryview = b"", **headers: str) -> dict[str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    connection.request(method, path, body, {**TUS, **named})
    answer = connection.getresponse()
    answer.read()
    assert answer.status < 300, answer.status
    connection.close()
    return {key.lower(): value for key, value in answer.getheaders()}


def wait_for(port: int) -> None:
    for _ in range(500):
        try:
            ask(port, "GET", "/api/health")
        except ConnectionError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("the server did not start")


def upload(port: int, data: bytes, piece: int, *, checksum: bool = False) -> float:
    """Seconds for one file in pieces of `piece` bytes, flushed and in its place."""
    name = base64.b64encode(f"{time.time_ns()}.bin".encode()).decode()
    metadata = f"filename {name},root {base64.b64encode(b'models').decode()}"
    start = time.perf_counter()
    made = ask(
        port, "POST", "/api/uploads", Upload_Length=str(len(data)), Upload_Metadata=metadata, Content_Type="none"
    )
    view = memoryview(data)
    for place in range(0, len(data), piece):
        part = view[place : place + piece]
        extra = {}
        if checksum:
            extra["Upload_Checksum"] = f"sha256 {base64.b64encode(hashlib.sha256(part).digest()).decode()}"
        ask(port, "PATCH", f"/api/{made['location']}", part, Upload_Offset=str(place), **extra)
    return time.perf_counter() - start


def processor_seconds(pid: int) -> float:
    """What the server has worked; it tells more than the clock where the machine has other things to do."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def plain_copy(folder: Path, data: bytes) -> float:
    """Seconds for the same bytes through a socket into a file, flushed."""

    def receive(listener: socket.socket) -> None:
        wire, _ = listener.accept()
        with wire, (folder / "plain.bin").open("wb") as file:
            while piece := wire.recv(1 << 20):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=receive, args=(listener,))
        start = time.perf_counter()
        thread.start()
        with socket.create_connection(listener.getsockname()) as wire:
            wire.sendall(data)
        thread.join()
    seconds = time.perf_counter() - start
    (folder / "plain.bin").unlink()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "server_uploads.json")
    arguments = parser.parse_args()
    data = os.urandom(arguments.megabytes * 1_000_000)
    with tempfile.TemporaryDirectory(prefix="loratory-uploads-") as folder:
        port, home = free_port(), Path(folder)
        environment = {**os.environ, "LORATORY_HOME": folder, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen([sys.executable, "-c", SERVER, str(port)], env=environment)
        try:
            wait_for(port)
            memory_before = psutil.Process(process.pid).memory_info().rss
            cases = {
                "plain copy": lambda: plain_copy(home, data),
                "one piece": lambda: upload(port, data, len(data)),
                "pieces of 16 MB": lambda: upload(port, data, 16_000_000),
                "pieces of 16 MB, SHA-256": lambda: upload(port, data, 16_000_000, checksum=True),
            }
            rates: dict[str, list[float]] = {name: [] for name in cases}
            worked = dict.fromkeys(cases, 0.0)
            for _ in range(REPETITIONS):
                for name, work in cases.items():
                    before = processor_seconds(process.pid)
                    rates[name].append(arguments.megabytes / work())
                    worked[name] += processor_seconds(process.pid) - before
                    for path in (home / "models").glob("*.bin"):
                        path.unlink()
            grown = psutil.Process(process.pid).memory_info().rss - memory_before
        finally:
            process.kill()
            process.wait()
    report = {
        "benchmark": "uploads",
        "megabytes": arguments.megabytes,
        "MB per second, median": {name: round(statistics.median(each), 1) for name, each in rates.items()},
        "MB per second, fastest": {name: round(max(each), 1) for name, each in rates.items()},
        "MB per second of the server's processor time": {
            name: round(REPETITIONS * arguments.megabytes / seconds, 1)
            for name, seconds in worked.items()
            if name != "plain copy"
        },
        "server memory grown by, MB": round(grown / 1e6, 1),
        "machine": {"system": platform.system(), "processors": os.cpu_count(), "python": platform.python_version()},
    }
    arguments.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
