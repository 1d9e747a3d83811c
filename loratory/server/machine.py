"""What the machine is and does right now: processor, memory, disks, graphics cards, and `doctor`'s report.

Nothing here is waited for longer than a moment: what takes long is looked at in a thread, and the last known is told.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import psutil

from loratory import __version__
from loratory.files import home
from loratory.runs import utc_now
from loratory.secrets import redact
from loratory.settings import roots

log = logging.getLogger(__name__)

GPU_SECONDS = 2.0
NVIDIA_SMI_SECONDS = 15
DOCTOR_SECONDS = 180
_CGROUP = Path("/sys/fs/cgroup")
_PACKAGES = ("torch", "diffusers", "transformers", "fastapi")
_QUERY = "index,uuid,name,memory.total,memory.used,utilization.gpu,temperature.gpu,power.draw,power.limit"

Value = TypeVar("Value")


@dataclass(frozen=True)
class Gpu:
    """A graphics card; None for what its driver does not tell."""

    index: int
    uuid: str
    name: str
    memory_total_bytes: int | None
    memory_used_bytes: int | None
    utilisation_percent: float | None
    temperature_celsius: float | None
    power_watts: float | None
    power_limit_watts: float | None


@dataclass(frozen=True)
class Disk:
    """The disk below a folder; without sizes where the folder is not there."""

    kind: Literal["home", "datasets", "models"]
    root: str
    path: str
    total_bytes: int | None
    free_bytes: int | None


@dataclass(frozen=True)
class Memory:
    """The computer's memory, or what the container may have of it."""

    total_bytes: int
    used_bytes: int


class Kept(Generic[Value]):
    """A value that takes long to find: looked for in a thread when it is asked for and too old."""

    def __init__(self, find: Callable[[], Value], first: Value, keep_seconds: float) -> None:
        self._find, self._value, self._keep = find, first, keep_seconds
        self._known_at = float("-inf")
        self._lock = threading.Lock()
        self._found: threading.Event | None = None

    def get(self, wait_seconds: float = 0.0) -> Value:
        """The newest known. Waits for so long, at most, where nothing was found yet."""
        with self._lock:
            known = self._known_at > float("-inf")
            if self._found is None and time.monotonic() - self._known_at > self._keep:
                self._found = threading.Event()
                threading.Thread(target=self._look, args=(self._found,), daemon=True).start()
            found = self._found
        if found is not None and not known:
            found.wait(wait_seconds)
        return self._value

    def _look(self, found: threading.Event) -> None:
        try:
            self._value = self._find()
        finally:
            with self._lock:
                self._known_at, self._found = time.monotonic(), None
            found.set()


ReportState = Literal["none", "running", "done", "failed"]


@dataclass(frozen=True)
class Report:
    """What `loratory doctor` said last."""

    state: ReportState = "none"
    time: str | None = None
    checks: tuple[dict[str, Any], ...] = ()
    error: str | None = None


class Doctor:
    """Runs `loratory doctor` in a process of its own: it loads torch."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._report = Report()
        self._process: subprocess.Popen[str] | None = None
        self._closed = False

    def report(self) -> Report:
        """The last one, or that one is being made."""
        return self._report

    def start(self) -> Report:
        """Begin a new one, unless one is being made."""
        with self._lock:
            if self._report.state != "running" and not self._closed:
                self._report = Report("running", utc_now(), self._report.checks)
                threading.Thread(target=self._examine, daemon=True).start()
            return self._report

    def close(self) -> None:
        """End the process, if there is one."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()

    def _examine(self) -> None:
        command = [sys.executable, "-m", "loratory.cli", "doctor", "--json"]
        try:
            with self._lock:
                if self._closed:
                    return
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                           stderr=subprocess.PIPE, text=True, encoding="utf-8")  # fmt: skip
                self._process = process
            self._report = _understood(process)
        except OSError as error:
            self._report = Report("failed", utc_now(), error=f"`loratory doctor` cannot be started: {error}.")
        finally:
            self._process = None


def _understood(process: subprocess.Popen[str]) -> Report:
    try:
        said, complained = process.communicate(timeout=DOCTOR_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return Report("failed", utc_now(), error=f"`loratory doctor` did not end within {DOCTOR_SECONDS} s.")
    try:
        checks = json.loads(said)
    except json.JSONDecodeError:
        last = complained.strip().rpartition("\n")[2] or f"it ended with code {process.returncode}"
        return Report("failed", utc_now(), error=f"`loratory doctor` said nothing of use: {redact(last)}")
    return Report("done", utc_now(), tuple(checks))


class Machine:
    """Looks at this machine, for as long as the server runs."""

    def __init__(self) -> None:
        self.doctor = Doctor()
        self._gpus: Kept[tuple[Gpu, ...]] = Kept(find_gpus, (), GPU_SECONDS)
        self._lock = threading.Lock()
        self._times: tuple[float, float, float] | None = None
        self._cpu, self._cpu_known = 0.0, False

    def gpus(self) -> tuple[Gpu, ...]:
        """NVIDIA's cards as they were a moment ago; none where there is no driver."""
        return self._gpus.get(wait_seconds=1.5)

    def cpu_percent(self) -> float:
        """How busy all cores together were since the last look, at least a tenth of a second.

        psutil's own percentage is one per thread, and each request comes in another one: it would often be 0.
        """
        with self._lock:
            if self._times is None:
                self._times = _processor_times()
                time.sleep(0.1)
            now = _processor_times()
            if not self._cpu_known or now[0] - self._times[0] > 1.0:
                spent, idle = now[1] - self._times[1], now[2] - self._times[2]
                self._cpu = min(100.0, max(0.0, 100 * (1 - idle / spent))) if spent > 0 else self._cpu
                self._times, self._cpu_known = now, True
            return round(self._cpu, 1)

    def close(self) -> None:
        """End what was started."""
        self.doctor.close()


def _processor_times() -> tuple[float, float, float]:
    """Now, and how long the cores were there and did nothing, in seconds."""
    times = psutil.cpu_times()
    # On Linux what guests use is a part of what users use.
    spent = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return time.monotonic(), spent, times.idle + getattr(times, "iowait", 0.0)


def find_gpus() -> tuple[Gpu, ...]:
    """What NVIDIA's own tool says; nothing where there is no driver, or it does not answer."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    query = [tool, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(query, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=NVIDIA_SMI_SECONDS, check=True)  # fmt: skip
    except (subprocess.SubprocessError, OSError) as error:
        log.warning("nvidia-smi does not answer: %s", error)
        return ()
    return tuple(filter(None, map(_gpu, said.stdout.splitlines())))


def _gpu(line: str) -> Gpu | None:
    parts = [part.strip() for part in line.split(",")]
    if len(parts) < 9 or not parts[0].isdecimal():
        return None
    total, used, busy, celsius, watts, limit = map(_number, parts[-6:])
    name = ", ".join(parts[2:-6])
    return Gpu(int(parts[0]), parts[1], name, _bytes(total), _bytes(used), busy, celsius, watts, limit)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:  # [N/A], [Not Supported]
        return None


def _bytes(mebibytes: float | None) -> int | None:
    return None if mebibytes is None else int(mebibytes * 2**20)


def memory(cgroup: Path = _CGROUP) -> Memory:
    """The computer's memory; in a container that may have less, the container's."""
    seen = psutil.virtual_memory()
    try:
        limit = int((cgroup / "memory.max").read_text(encoding="ascii"))
        facts = (cgroup / "memory.stat").read_text(encoding="ascii").splitlines()
        now = int((cgroup / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):  # no Linux, no container, or "max"
        return Memory(int(seen.total), int(seen.total - seen.available))
    if limit >= seen.total:
        return Memory(int(seen.total), int(seen.total - seen.available))
    # Files that are kept at hand and can be let go at once are no use of memory.
    spare = next((int(line.split()[1]) for line in facts if line.startswith("inactive_file ")), 0)
    return Memory(limit, max(0, now - spare))


def cores() -> int:
    """Cores that this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def disks() -> list[Disk]:
    """The disks below the home and below all roots. Raises DamagedSettings."""
    found: list[tuple[Literal["home", "datasets", "models"], str, Path]] = [("home", "home", home())]
    for kind in ("datasets", "models"):
        found += [(root.kind, root.id, root.path) for root in roots(kind) if root.id != "home"]
    return [_disk(*each) for each in found]


def _disk(kind: Literal["home", "datasets", "models"], root: str, path: Path) -> Disk:
    try:
        usage = shutil.disk_usage(path)
    except OSError:
        return Disk(kind, root, str(path), None, None)
    return Disk(kind, root, str(path), usage.total, usage.free)


def versions() -> dict[str, str]:
    """Loratory, Python, the system, and the libraries as they are installed. Loads none of them."""
    found = {"loratory": __version__, "python": platform.python_version(), "system": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
