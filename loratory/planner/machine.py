"""The graphics card, as far as it can be known without torch."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """What a job would run on."""

    name: str
    """The card's name; "cpu" without one."""
    memory_bytes: int | None
    """Of the card; None where it is not known or there is none."""


CPU = Machine("cpu", None)


def machine_here() -> Machine:
    """The first card that NVIDIA's own tool names, or Apple's; without an answer the processor."""
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return Machine("mps", None)  # its memory is the computer's
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return CPU
    query = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(query, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=True)
    except (subprocess.SubprocessError, OSError):
        return CPU  # `loratory doctor` says what is wrong with the driver
    return parsed(said.stdout)


def parsed(said: str) -> Machine:
    """The first line: a name and MiB."""
    name, _, memory = (said.splitlines() or [""])[0].rpartition(",")
    return Machine(name.strip(), int(memory) * 2**20) if name and memory.strip().isdigit() else CPU
