"""Make the web application: routes, errors, and the parts that live as long as the server."""

from __future__ import annotations

from fastapi import FastAPI

from loratory import __version__
from loratory.server.context import Context, Options
from loratory.server.dataset_problems import add_dataset_handlers
from loratory.server.life import life
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
        lifespan=life,
        redirect_slashes=False,  # it would lead to a whole address, which is another one behind a proxy
        responses=PROBLEMS,
    )
    app.state.context = Context(options)
    app.add_middleware(Guard, context=app.state.context)
    add_handlers(app)
    add_dataset_handlers(app)
    for router in ROUTERS:
        app.include_router(router)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    app.include_router(browser.router)  # last: it answers whatever nobody else does
    return app
