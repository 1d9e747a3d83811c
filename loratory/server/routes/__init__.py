"""The routes, a file for each noun."""

from fastapi import APIRouter

from loratory.server.routes import (
    auth,
    events,
    files,
    health,
    imports,
    jobs,
    queues,
    run_files,
    runs,
    settings,
    system,
    tasks,
    trash,
    uploads,
)

ROUTERS: tuple[APIRouter, ...] = (
    auth.router,
    events.router,
    files.router,
    health.router,
    imports.router,
    jobs.router,
    queues.router,
    run_files.router,
    runs.router,
    settings.router,
    system.router,
    tasks.router,
    trash.router,
    uploads.router,
)
