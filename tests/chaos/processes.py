"""Trainings in processes of their own, to be killed. On Linux a server that has imported everything forks them.

Importing torch and diffusers takes several seconds of processor time, a whole small training about one.
"""

import json
import multiprocessing
import os
import sys
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# Elsewhere a fork after such imports is not safe (macOS) or not there (Windows): each process then imports for itself.
FORKS = sys.platform == "linux"
# On Windows a process ends itself with the first, and is ended by another with the second.
KILLED = (137, -15) if sys.platform == "win32" else (-9,)

_context = multiprocessing.get_context("forkserver" if FORKS else "spawn")
if FORKS:
    _context.set_forkserver_preload(["tests.chaos.imports"])


@dataclass
class Child:
    """One training. `log` holds all that it printed, `report` what it passed on the way."""

    process: Any
    log: Path
    report: Path

    def end(self, seconds: float = 300.0) -> int:
        """The exit code; a process that does not end is killed and fails the test."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise AssertionError(f"the training did not end within {seconds} s; {self.words()}")
        return self.process.exitcode

    def words(self) -> str:
        return f"it printed:\n{self.log.read_text(encoding='utf-8', errors='replace')[-3000:]}"

    def points(self) -> dict[str, int]:
        """How often each write point was passed, if that was asked for."""
        counts: dict[str, int] = json.loads(self.report.read_text(encoding="utf-8"))
        return counts


@contextmanager
def importable() -> Any:
    """The server is a new interpreter: it must find this package from wherever the tests were started."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *([before] if before else [])])
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def start(
    data: Mapping[str, Any],
    folder: Path,
    *,
    fault: str | None = None,
    kill_after_step: int | None = None,
    shard_bytes: int | None = None,
    count_points: bool = False,
) -> Child:
    """Start a training. `fault` is a value of LORATORY_FAULT; `kill_after_step` kills it between two steps;

    `shard_bytes` makes the files of the cache so small that there are several.
    """
    folder.mkdir(parents=True, exist_ok=True)
    number = len(list(folder.glob("*.log")))
    log, report = folder / f"{number}.log", folder / f"{number}.json"
    log.touch()
    environment = {"LORATORY_HOME": os.environ["LORATORY_HOME"], "LORATORY_FAULT": fault or ""}
    settings = {
        "log": str(log),
        "kill_after_step": kill_after_step,
        "shard_bytes": shard_bytes,
        "report": str(report) if count_points else None,
    }
    process = _context.Process(target=_train, args=(dict(data), environment, settings), daemon=True)
    with importable():
        process.start()
    return Child(process, log, report)


def _train(data: dict[str, Any], environment: dict[str, str], settings: dict[str, Any]) -> None:
    stream = os.open(settings["log"], os.O_WRONLY | os.O_APPEND)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    os.environ.update(environment)
    # What a killed process has written is in the system's memory and not lost; power cuts are not tested here.
    os.fsync = lambda descriptor: None
    imported_before = "tests.chaos.imports" in sys.modules
    from tests.chaos import imports

    if FORKS:
        assert imported_before and os.getpid() != imports.IMPORTED_BY, "the server has not imported everything"
    counts: dict[str, int] = {}
    if settings["report"] is not None:
        _count_points(counts)
    if settings["shard_bytes"] is not None:
        from loratory.training import tensor_cache

        tensor_cache.SHARD_BYTES = settings["shard_bytes"]
    from tests.e2e.jobs import train

    def prepare(training: Any) -> None:
        training.on_step = lambda done: _kill_self() if done == settings["kill_after_step"] else None

    train(data, prepare_training=prepare)
    if settings["report"] is not None:
        Path(settings["report"]).write_text(json.dumps(counts), encoding="utf-8")


def _kill_self() -> None:
    if sys.platform == "win32":
        os._exit(KILLED[0])
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def _count_points(counts: dict[str, int]) -> None:
    """Count in every module that passes write points. Threads pass them too; adding is guarded by the interpreter."""
    import threading

    from loratory import files

    lock, real, real_armed = threading.Lock(), files.reached, files.fault_armed

    def reached(point: str) -> None:
        with lock:
            counts[point] = counts.get(point, 0) + 1
        real(point)

    def fault_armed(point: str) -> bool:
        # Steps that exist only to be interrupted: as if each were asked for.
        with lock:
            counts[point] = counts.get(point, 0) + 1
        return real_armed(point)

    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("loratory"):
            with suppress(AttributeError):
                if module.reached is real:
                    module.reached = reached
            with suppress(AttributeError):
                if module.fault_armed is real_armed:
                    module.fault_armed = fault_armed
