"""Make the web application: routes, errors, and the parts that live as long as the server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from loratory import __version__
from loratory.errors import UserError
from loratory.server import uploads
from loratory.server.context import Context, Options
from loratory.server.problems import add_handlers
from loratory.server.routes import ROUTERS

log = logging.getLogger(__name__)

SWEEP_SECONDS = 3600.0


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
    sweeping = asyncio.create_task(_sweep_uploads())
    try:
        yield
    finally:
        sweeping.cancel()
        await asyncio.to_thread(here.tasks.close)


async def _sweep_uploads() -> None:
    """Parts of uploads that nobody goes on with do not fill the disk for ever."""
    while True:
        try:
            await asyncio.to_thread(uploads.sweep)
        except (OSError, UserError) as error:
            log.warning("Old uploads could not be swept (%s).", error)
        await asyncio.sleep(SWEEP_SECONDS)
