"""Make the web application: routes, errors, and the parts that live as long as the server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from loratory import __version__
from loratory.jobs.database import database_path, open_database
from loratory.jobs.queue import Queue
from loratory.jobs.worker import Worker
from loratory.server.context import Context, Jobs, Options
from loratory.server.problems import add_handlers
from loratory.server.routes import ROUTERS


def create_app(options: Options | None = None) -> FastAPI:
    """The application. Names of functions are the operation ids, from which the browser's client is generated."""
    options = options or Options()
    app = FastAPI(
        title="Loratory",
        version=__version__,
        root_path=options.root_path,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        lifespan=_life,
    )
    app.state.context = Context(options)
    add_handlers(app)
    for router in ROUTERS:
        app.include_router(router)
    return app


@asynccontextmanager
async def _life(app: FastAPI) -> AsyncIterator[None]:
    """Parts begin before the first request and end after the last one."""
    here: Context = app.state.context
    here.jobs = await run_in_threadpool(_open_jobs)
    try:
        yield
    finally:
        await run_in_threadpool(here.jobs.worker.stop)
        here.jobs.queue.engine.dispose()
        here.jobs = None


def _open_jobs() -> Jobs:
    queue = Queue(open_database(database_path()))
    worker = Worker(queue)
    queue.changed = worker.wake
    worker.start()
    return Jobs(queue, worker)
