"""Make the web application: routes, errors, and the parts that live as long as the server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread
from fastapi import FastAPI

from loratory import __version__
from loratory.server.context import Context, Options
from loratory.server.dataset_problems import add_dataset_handlers
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
    add_dataset_handlers(app)
    for router in ROUTERS:
        app.include_router(router)
    return app


@asynccontextmanager
async def _life(app: FastAPI) -> AsyncIterator[None]:
    """Parts begin before the first request and end after the last one."""
    datasets = app.state.context.datasets
    await to_thread.run_sync(datasets.begin)
    try:
        yield
    finally:
        datasets.end()
