"""Make the web application: routes, errors, and the parts that live as long as the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from anyio import to_thread
from fastapi import FastAPI

from loratory import __version__
from loratory.jobs.database import database_path, open_database
from loratory.jobs.index import Index
from loratory.jobs.queue import Queue
from loratory.jobs.worker import Worker
from loratory.server.context import Context, Options
from loratory.server.live import Live
from loratory.server.openapi import describe
from loratory.server.problems import PROBLEMS, add_handlers
from loratory.server.routes import ROUTERS, browser
from loratory.server.security import Guard
from loratory.server.watch import publish, watch


def create_app(options: Options | None = None) -> FastAPI:
    """The application. Names of functions are the operation ids, from which the browser's client is generated.

    Raises UserError for settings that cannot be read.
    """
    options = options or Options()
    app = FastAPI(
        title="Loratory",
        version=__version__,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        lifespan=_life,
        redirect_slashes=False,  # it would lead to a whole address, which is another one behind a proxy
        responses=PROBLEMS,
    )
    app.state.context = Context(options)
    app.add_middleware(Guard, context=app.state.context)
    add_handlers(app)
    for router in ROUTERS:
        app.include_router(router)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    app.include_router(browser.router)  # last: it answers whatever nobody else does
    return app


@asynccontextmanager
async def _life(app: FastAPI) -> AsyncIterator[None]:
    """Parts begin before the first request and end after the last one."""
    here: Context = app.state.context
    await to_thread.run_sync(_begin, here)
    watching = asyncio.create_task(watch(here.index, here.bus))
    try:
        yield
    finally:
        watching.cancel()
        here.bus.close()
        here.live.close()
        await to_thread.run_sync(_end, here)


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
    here.worker.start()


def _end(here: Context) -> None:
    """Engines go on: they are processes of their own."""
    here.worker.stop()
    here.machine.close()
    here.database.dispose()
