"""Make the web application: routes, errors, and the parts that live as long as the server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread
from fastapi import FastAPI

from loratory import __version__
from loratory.jobs.database import database_path, open_database
from loratory.jobs.queue import Queue
from loratory.jobs.worker import Worker
from loratory.server.context import Context, Jobs, Options
from loratory.server.openapi import describe
from loratory.server.problems import PROBLEMS, add_handlers
from loratory.server.routes import ROUTERS, browser
from loratory.server.security import Guard


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
    here.jobs = await to_thread.run_sync(_open_jobs)
    try:
        yield
    finally:
        await to_thread.run_sync(here.jobs.worker.stop)
        here.jobs.queue.engine.dispose()
        here.jobs = None
        here.machine.close()


def _open_jobs() -> Jobs:
    queue = Queue(open_database(database_path()))
    worker = Worker(queue)
    queue.changed = worker.wake
    worker.start()
    return Jobs(queue, worker)
