"""What became of an engine that is gone: from its run's folder, and where that is silent from how its process ended."""

from __future__ import annotations

import logging
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from loratory.errors import UserError
from loratory.jobs.engines import OUTPUT_FILE
from loratory.runs import RunBusy, RunFolder
from loratory.runs.status import read_status_file
from loratory.secrets import redact

log = logging.getLogger(__name__)

_TAIL_BYTES = 16 << 10
_ERROR = "Error: "
_KILL = 9
"""SIGKILL, a name that Windows does not have."""


@dataclass(frozen=True)
class Evidence:
    """What is known of a process that ended. `code`: its exit code, negative for a signal; None where somebody else
    was its parent. `ran_out`: since it began, the kernel has ended processes for want of memory."""

    code: int | None = None
    rebooted: bool = False
    ran_out: bool = False


@dataclass(frozen=True)
class Ending:
    """The state that a job rests in, and why it failed, if it did."""

    state: str
    cause: dict[str, str] | None = None


def settle(folder: Path, leaving: str | None, evidence: Evidence) -> Ending:
    """What became of a run that no engine has any more; its folder says it too from then on.

    `leaving`: "stopping" or "pausing" if it was asked to. Raises RunBusy while somebody has the run, DiskFull.
    """
    asked = {"stopping": "stopped", "pausing": "paused"}.get(leaving or "")
    try:
        run = RunFolder.open(folder)
        with run.lock():
            return _settle(run, asked, evidence)
    except RunBusy:
        raise
    except UserError as error:
        return Ending(asked or "failed", None if asked else {"code": "missing_folder", "message": str(error)})


def give_up(folder: Path) -> None:
    """Say in the run's folder that it was stopped, though its process cannot be ended (it waits for a broken disk, say)
    and has the lock still. Raises UserError, DiskFull."""
    RunFolder.open(folder).write_status("stopped", message="its process cannot be ended; restart the machine")


def never_began(folder: Path, code: str, sentence: str) -> Ending:
    """No engine could be started for a run; its folder says so from now on, if it can be written to."""
    cause = _cause(code, sentence)
    try:
        run = RunFolder.open(folder)
        with run.lock():
            run.write_status("failed", message=cause["message"], error={"kind": "NotStarted", **cause})
            run.emit("failed", error="NotStarted", **cause)
    except (OSError, UserError) as error:
        log.error("The folder of a run that could not be started does not say so: %s", error)
    return Ending("failed", cause)


def _settle(run: RunFolder, asked: str | None, evidence: Evidence) -> Ending:
    status = read_status_file(run.path)
    if status.state == "finished":
        return Ending("finished")
    if status.state == "stopped":
        return Ending(asked or "stopped")
    if status.state == "failed" and status.error is not None:
        return Ending("failed", cause_of(status.error))
    checkpoint = run.newest_checkpoint()
    onward = "it begins again" if checkpoint is None else f"it goes on from step {checkpoint.step}"
    step = {} if checkpoint is None else {"step": checkpoint.step}
    if asked is not None:
        message = f"ended by force, without saving; {onward}"
        run.write_status("stopped", message=message, **step)  # type: ignore[arg-type]
        run.emit("stopped", message=message, by_force=True)
        return Ending(asked)
    cause = silent_end(evidence, tail(run.path / OUTPUT_FILE, _TAIL_BYTES), onward)
    run.write_status("failed", message=cause["message"], error={"kind": "Died", **cause}, **step)
    run.emit("failed", error="Died", **cause)
    return Ending("failed", cause)


def cause_of(error: Mapping[str, str]) -> dict[str, str]:
    """Code and message of a status's error; runs of earlier versions have no code."""
    return {"code": error.get("code", "unknown"), "message": error.get("message", "")}


def silent_end(evidence: Evidence, output: str, onward: str) -> dict[str, str]:
    """Why a process ended that could not say it itself. `output`: the end of what it printed."""
    number = None if evidence.code is None or evidence.code >= 0 else -evidence.code
    if evidence.rebooted:
        return _cause("restarted", f"The machine was restarted while the run worked; {onward}.")
    if evidence.ran_out and number in (None, _KILL):
        return _cause("out_of_ram", f"The machine's memory was used up, and the system ended the run; {onward}.")
    said = [line for line in output.splitlines() if line.startswith(_ERROR)]
    if said and number is None:
        return _cause("invalid", said[-1].removeprefix(_ERROR))
    if number in (_KILL, signal.SIGTERM) or evidence.code is None:
        return _cause("killed", f"The run's process was ended from outside; {onward}.")
    if number is not None:
        name = signal.Signals(number).name if number in {each.value for each in signal.Signals} else f"signal {number}"
        return _cause("crashed", f"The run's process crashed ({name}); {onward}. {OUTPUT_FILE} and log.txt say more.")
    last = (output.strip().splitlines() or ["it printed nothing"])[-1]
    return _cause("unknown", f"The run's process ended with code {evidence.code} ({last[:300]}); {onward}.")


def _cause(code: str, message: str) -> dict[str, str]:
    return {"code": code, "message": redact(message)}


def tail(path: Path, most_bytes: int = 64 << 10) -> str:
    """The end of a text file; nothing of one that is not there."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, 2) - most_bytes))
            return stream.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def oom_kills() -> int | None:
    """How many processes the kernel has ended for want of memory, in our control group where it says so, else on the
    whole machine; None where it cannot be known. Sources: the kernel's cgroup-v2 (memory.events) and cgroup-v1
    (memory.oom_control) documents, and proc(5) on /proc/vmstat."""
    for path, word in (*_group_files(), (Path("/proc/vmstat"), "oom_kill")):
        try:
            lines = path.read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, number = line.partition(" ")
            if name == word and number.strip().isdigit():
                return int(number)
    return None


def _group_files() -> list[tuple[Path, str]]:
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, place = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            found.append((Path("/sys/fs/cgroup", place.lstrip("/"), "memory.events"), "oom_kill"))
            found.append((Path("/sys/fs/cgroup/memory.events"), "oom_kill"))  # in a container that sees only its own
        elif "memory" in controllers.split(","):
            found.append((Path("/sys/fs/cgroup/memory", place.lstrip("/"), "memory.oom_control"), "oom_kill"))
    return found
