"""Start engines: processes of their own, which outlive whoever started them. What is started is fixed here, by the kind
of job; nothing of it comes from a client."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from loratory.files import WINDOWS
from loratory.jobs.devices import device_in, environment
from loratory.jobs.folders import config_of
from loratory.jobs.tables import Job

OUTPUT_FILE = "output.txt"
"""In the run's folder: what an engine prints. Its log is the run's log.txt; this tells why one never came so far."""
RUN_VARIABLE = "LORATORY_RUN"
"""In an engine's environment: the id of its run."""
_DETACHED = 0x00000008 | 0x00000200  # Windows: DETACHED_PROCESS, CREATE_NEW_PROCESS_GROUP

Launch = Callable[[Job], "subprocess.Popen[bytes]"]


@dataclass(frozen=True)
class Kind:
    """A kind of job: the arguments of `loratory` that do it, and whether it is light (needs no device for long)."""

    arguments: Callable[[Job, str], list[str]]
    """Of a job, and the `runtime.device` of its config."""
    is_light: bool = False


def _train(job: Job, device: str) -> list[str]:
    found = ["train", job.folder]
    if job.weights_only:
        found.append("--weights-only")
    if (other := device_in(job.queue, device)) is not None:
        found += ["--set", f"runtime.device={other}"]
    return found


KINDS: Mapping[str, Kind] = {
    "train": Kind(_train),
}


def launch(job: Job) -> subprocess.Popen[bytes]:
    """Start a job's engine in a session of its own. It reads tokens as `loratory train` does. Raises OSError;
    UserError for a run without a config."""
    device = config_of(Path(job.folder)).runtime.device
    command = [sys.executable, "-m", "loratory.cli", *KINDS[job.kind].arguments(job, device)]
    return start(command, job)


def start(command: list[str], job: Job) -> subprocess.Popen[bytes]:
    """Start a command as a job's engine: no terminal, its output in the run's folder, its GPUs visible alone."""
    known = os.environ | environment(job.queue) | {RUN_VARIABLE: job.id, "PYTHONUNBUFFERED": "1"}
    with (Path(job.folder) / OUTPUT_FILE).open("ab") as output:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=known,
            start_new_session=not WINDOWS, creationflags=_DETACHED if WINDOWS else 0,
        )  # fmt: skip


def find(run_id: str) -> int | None:
    """The process that was started for a run, if it lives; for a server that died before it could write that down."""
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(RUN_VARIABLE) == run_id and process.status() != psutil.STATUS_ZOMBIE:
                found.append((process.create_time(), process.pid))
        except (psutil.Error, OSError):
            continue  # another user's, or gone
    return min(found)[1] if found else None  # the engine is older than what it started
