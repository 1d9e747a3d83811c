"""What begins with the server and ends with it. Engines do not: they are processes of their own, and go on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from loratory.errors import UserError
from loratory.jobs.database import database_path, open_database
from loratory.jobs.index import Index
from loratory.jobs.queue import Queue
from loratory.jobs.worker import Worker
from loratory.server import uploads
from loratory.server.context import Context
from loratory.server.live import Live
from loratory.server.watch import publish, watch

log = logging.getLogger(__name__)

SWEEP_SECONDS = 3600.0


@asynccontextmanager
async def life(app: FastAPI) -> AsyncIterator[None]:
    """Parts begin before the first request and end after the last one."""
    here: Context = app.state.context
    await run_in_threadpool(_begin, here)
    background = [asyncio.create_task(watch(here.index, here.bus)), asyncio.create_task(_sweep_uploads())]
    try:
        yield
    finally:
        for task in background:
            task.cancel()
        here.bus.close()
        here.live.close()
        await run_in_threadpool(_end, here)


def _begin(here: Context) -> None:
    here.database = open_database(database_path())
    here.index = Index(here.database, partial(publish, here.bus))
    here.live = Live(here.index.find)
    here.queue = Queue(here.database)
    here.worker = Worker(here.queue)

    def tell() -> None:
        here.bus.publish("queue", {})

    def changed() -> None:
        here.worker.wake()
        tell()

    here.queue.changed, here.queue.moved = changed, tell
    here.datasets.begin()
    here.worker.start()


def _end(here: Context) -> None:
    here.worker.stop()
    here.arrivals.close()
    here.tasks.close()
    here.datasets.end()
    here.thumbnails.end()
    here.machine.close()
    here.database.dispose()


async def _sweep_uploads() -> None:
    """Parts of uploads that nobody goes on with do not fill the disk for ever."""
    while True:
        try:
            await run_in_threadpool(uploads.sweep)
        except (OSError, UserError) as error:
            log.warning("Old uploads could not be swept (%s).", error)
        await asyncio.sleep(SWEEP_SECONDS)
