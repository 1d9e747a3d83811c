"""Make the web application: routes, errors, and the parts that live as long as the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI

from loratory import __version__
from loratory.jobs.database import open_database
from loratory.jobs.index import Index
from loratory.runs import home_folder
from loratory.server.context import Context, Options
from loratory.server.live import Live
from loratory.server.problems import add_handlers
from loratory.server.routes import ROUTERS
from loratory.server.watch import publish, watch

DATABASE = "queue.sqlite"


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
    here.database = open_database(home_folder("state") / DATABASE)
    here.index = Index(here.database, partial(publish, here.bus))
    here.live = Live(here.index.find)
    watching = asyncio.create_task(watch(here.index, here.bus))
    try:
        yield
    finally:
        watching.cancel()
        here.bus.close()
        here.live.close()
        here.database.dispose()
