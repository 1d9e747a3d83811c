"""Which queue a job waits in: one for each device, a set of GPUs or the processor."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from loratory.errors import UserError

if TYPE_CHECKING:
    from loratory.config.train import TrainConfig

LIGHT = "light"
"""Where jobs wait that need no device for long."""
LIGHT_SLOTS = 2
_OTHERS = ("cpu", "mps", "xpu", LIGHT)
_GPUS = re.compile(r"\d{1,3}(,\d{1,3})*")
_VARIABLE = "CUDA_VISIBLE_DEVICES"


def check_queue(name: str) -> str:
    """The queue's name in its one form ("1, 0" is "0,1"). Raises UserError for what is no device."""
    plain = name.replace(" ", "").lower()
    if plain in _OTHERS:
        return plain
    if _GPUS.fullmatch(plain):
        return ",".join(map(str, sorted({int(each) for each in plain.split(",")})))
    raise UserError(
        f"{name!r} is no queue; give the number of a GPU such as 0, several such as 0,1, or cpu.", code="no_queue"
    )


def queue_of(config: TrainConfig) -> str:
    """The queue of a job that names none: `runtime.device` decides. Several runs may use the processor of their GPUs'
    machine, but only those of the queue `cpu` train on it."""
    device = config.runtime.device
    kind, _, number = device.partition(":")
    if kind == "auto":
        return _first_device()
    if kind == "cuda":
        return check_queue(number or "0")
    return kind if kind in _OTHERS else "cpu"


@cache
def _first_device() -> str:
    """What `auto` will take, as far as can be known without torch."""
    visible = os.environ.get(_VARIABLE)
    if visible is not None and not visible.strip(" -1"):
        return "cpu"
    if Path("/dev/kfd").exists() and Path("/dev/dri").exists():  # AMD's driver
        return "0"
    from loratory.planner.machine import machine_here

    name = machine_here().name
    return name if name in ("cpu", "mps") else "0"


def gpus(queue: str) -> frozenset[int]:
    """The GPUs of a queue; none for the others."""
    return frozenset(int(each) for each in queue.split(",")) if _GPUS.fullmatch(queue) else frozenset()


def share_a_device(one: str, other: str) -> bool:
    """Would jobs of these two queues be in each other's way?"""
    return one == other or bool(gpus(one) & gpus(other))


def device_in(queue: str, device: str) -> str | None:
    """The `runtime.device` that an engine is told, because its job waited in a queue for another one than its config
    names; None where the config's own is right. An engine of a GPU queue sees only its GPUs, which count from 0."""
    kind = device.partition(":")[0]
    if gpus(queue):
        return None if device in ("auto", "cuda") else "cuda"
    wanted = "cpu" if queue == LIGHT else queue
    is_right = kind == wanted or (kind == "auto" and _first_device() == wanted)
    return None if is_right else wanted


def environment(queue: str) -> dict[str, str]:
    """What an engine of this queue has to see in its environment: its own GPUs and no others.

    Where the server itself sees only some, the queue's numbers count among those.
    """
    if not gpus(queue):
        return {}
    seen = [each.strip() for each in os.environ.get(_VARIABLE, "").split(",") if each.strip()]
    chosen = [seen[number] if number < len(seen) else str(number) for number in sorted(gpus(queue))]
    return {_VARIABLE: ",".join(chosen)}
