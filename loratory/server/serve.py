"""Run the server until it is asked to stop."""

from __future__ import annotations

from collections.abc import Callable

import uvicorn

from loratory.server.app import create_app
from loratory.server.context import Options

SECONDS_TO_LEAVE = 3
"""An open stream would otherwise keep the process alive."""


def run(options: Options, say: Callable[[str], None]) -> int:
    """Serve. Returns the exit code."""
    config = uvicorn.Config(
        create_app(options), host=options.host, port=options.port, log_level="warning", access_log=False,
        timeout_graceful_shutdown=SECONDS_TO_LEAVE,
    )  # fmt: skip
    server = uvicorn.Server(config)
    say(f"Loratory is served at http://{options.host}:{options.port}{options.root_path}/")
    server.run()
    return 0 if server.started else 1
