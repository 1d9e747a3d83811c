"""Queues: one for each device."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from loratory.server.context import Here

router = APIRouter(prefix="/api/queues", tags=["jobs"])


class QueueShown(BaseModel):
    """The queue of one device: a GPU such as 0, a set such as 0,1, or cpu."""

    name: str
    paused: bool
    """Nothing more is started; what runs goes on."""


@router.get("")
def list_queues(here: Here) -> list[QueueShown]:
    """List the queues that hold jobs or were paused."""
    return [QueueShown(name=name, paused=paused) for name, paused in here.queue.queues().items()]


@router.post("/{name}/pause")
def pause_queue(here: Here, name: str) -> list[QueueShown]:
    """Start nothing more of a queue."""
    here.queue.pause_queue(name, paused=True)
    return list_queues(here)


@router.post("/{name}/start")
def start_queue(here: Here, name: str) -> list[QueueShown]:
    """Start what waits in a queue again."""
    here.queue.pause_queue(name, paused=False)
    return list_queues(here)
