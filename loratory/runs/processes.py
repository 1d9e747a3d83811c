"""Processes, told apart for certain: a number alone is given again to another one, soon or after a reboot."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_STATE, _START = 0, 19
"""Places in /proc/<pid>/stat behind the name: the state's letter, and the start in clock ticks since the boot
(proc_pid_stat(5): fields 3 and 22)."""


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process for all time: its number, when it began (a text that means nothing else), and the machine's boot."""

    pid: int
    began: str
    boot: str


@cache
def boot_id() -> str:
    """Another text after each start of this machine; empty where the system does not say."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text(encoding="ascii").strip() if path.exists() else ""


def began(pid: int) -> str | None:
    """When a process began, as a text; None where there is none, or one that is dead and only not waited for."""
    if sys.platform == "linux":
        fields = _stat(pid)
        return None if fields is None or fields[_STATE] in "ZX" else fields[_START]
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.Error:
        return None


def identify(pid: int) -> ProcessId | None:
    """The process that has this number now, if there is one."""
    start = began(pid)
    return None if start is None else ProcessId(pid, start, boot_id())


def this_process() -> ProcessId:
    """The one that asks."""
    found = identify(os.getpid())
    assert found is not None, "who asks is alive"
    return found


def is_alive(process: ProcessId) -> bool:
    """Does that very process still live, on this machine and since this boot?"""
    return process.boot == boot_id() and began(process.pid) == process.began


def is_stopped(pid: int) -> bool:
    """Has somebody halted the process (SIGSTOP, or Ctrl+Z in its terminal)?"""
    import psutil

    try:
        return bool(psutil.Process(pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP))
    except psutil.Error:
        return False


def work_done(pid: int) -> float | None:
    """A number that grows while a process computes or reads files, even where its interpreter has no time to beat
    (a library that loads tens of gigabytes in one call). None where it cannot be known."""
    import psutil

    try:
        process = psutil.Process(pid)
        times = process.cpu_times()
        read = process.io_counters().read_bytes if hasattr(process, "io_counters") else 0
    except psutil.Error:
        return None
    return float(round(times.user + times.system, 1) + read / 2**20)


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()  # the name in parentheses may hold spaces and parentheses
