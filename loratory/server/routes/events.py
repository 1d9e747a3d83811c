"""Live data: what happens to one run, and what happens at all; over WebSockets, or asked for again and again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response, WebSocket
from pydantic import BaseModel, Field
from starlette.websockets import WebSocketDisconnect

from loratory.jobs.index import UnknownRun
from loratory.server.context import Context, Here
from loratory.server.problems import Refused
from loratory.server.ring import PAGE, Page, Wish

log = logging.getLogger(__name__)

router = APIRouter(prefix="/api", tags=["events"])

LONGEST_WAIT = 20.0
SEND_SECONDS = 20.0
"""A reader who takes nothing for so long is dropped; with the cursor of the last page it can come back."""
CLOSE_UNKNOWN, CLOSE_SLOW = 4404, 4408

After = Annotated[str | None, Query(max_length=300, description="The cursor of the last event that was seen.")]
Kinds = Annotated[
    list[str] | None, Query(description="Only events of these kinds; `resync` always comes. All where left out.")
]
Limit = Annotated[int, Query(ge=1, le=1000, description="Events at most.")]
Wait = Annotated[float, Query(ge=0, le=LONGEST_WAIT, description="Seconds to wait for an event where there is none.")]


class LiveEvent(BaseModel):
    """One event. What `data` holds depends on the kind: docs/reference/events.md lists them."""

    cursor: str
    kind: str
    source: str
    """Where it comes from: run (its event log), metrics, log, status, server."""
    time: str | None = None
    seq: int | None = None
    """Its number in the run's event log."""
    data: dict[str, Any] = Field(default_factory=dict)


class EventPage(BaseModel):
    """Events in their order. Ask for what comes after `cursor` next; an empty list: nothing new yet."""

    events: list[LiveEvent]
    cursor: str


def _wish(kinds: list[str] | None, limit: int = PAGE, beat: float | None = None) -> Wish:
    return Wish(frozenset(kinds or ()), limit) if beat is None else Wish(frozenset(kinds or ()), limit, beat)


@router.get("/jobs/{run_id}/events", response_model=EventPage)
async def list_run_events(
    here: Here, run_id: str, after: After = None, limit: Limit = PAGE, wait: Wait = 0, kinds: Kinds = None
) -> Response:
    """Events of a run after a cursor: at once where there are any, else as soon as there is one.

    Without a cursor from the first event on; `after=now` begins with the present state.
    """
    try:
        return await _first(here.live.follow(run_id, after, _wish(kinds, limit, wait)))
    except UnknownRun as error:
        raise Refused(404, "unknown_run", str(error)) from error


@router.get("/events", response_model=EventPage)
async def list_events(
    here: Here, after: After = None, limit: Limit = PAGE, wait: Wait = 0, kinds: Kinds = None
) -> Response:
    """What happens to all runs, jobs and the queue, after a cursor; without one from now on."""
    return await _first(here.bus.follow(after, _wish(kinds, limit, wait)))


async def _first(pages: AsyncGenerator[Page, None]) -> Response:
    async with aclosing(pages) as open_pages:
        async for page in open_pages:
            return Response(page.text(), media_type="application/json")
    raise Refused(503, "ending", "The server is ending; ask again when it is back.", headers={"Retry-After": "2"})


@router.websocket("/jobs/{run_id}/events")
async def run_events(socket: WebSocket, run_id: str, after: After = None, kinds: Kinds = None) -> None:
    """The same as it happens: each message is a page; an empty one is a sign of life."""
    here: Context = socket.app.state.context
    await _stream(socket, here.live.follow(run_id, after, _wish(kinds)))


@router.websocket("/events")
async def events(socket: WebSocket, after: After = None, kinds: Kinds = None) -> None:
    """The same as it happens."""
    here: Context = socket.app.state.context
    await _stream(socket, here.bus.follow(after, _wish(kinds)))


async def _stream(socket: WebSocket, pages: AsyncGenerator[Page, None]) -> None:
    """Send pages until one of the two ends it. What the other side says is not listened to."""
    await socket.accept()
    sending, leaving = asyncio.create_task(_send(socket, pages)), asyncio.create_task(_left(socket))
    try:
        await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sending, leaving):
            task.cancel()
        await asyncio.wait({sending, leaving})
    if sending.cancelled():
        return
    error = sending.exception()
    if isinstance(error, UnknownRun):
        await socket.close(CLOSE_UNKNOWN, "There is no such run.")
    elif isinstance(error, TimeoutError):
        await socket.close(CLOSE_SLOW, "Too slow.")
    elif error is not None and not isinstance(error, WebSocketDisconnect):
        raise error
    elif error is None:
        await socket.close(1000)


async def _send(socket: WebSocket, pages: AsyncGenerator[Page, None]) -> None:
    async with aclosing(pages) as open_pages:
        async for page in open_pages:
            await asyncio.wait_for(socket.send_text(page.text()), SEND_SECONDS)


async def _left(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
