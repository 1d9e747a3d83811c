"""The routes, a file for each noun."""

from fastapi import APIRouter

from loratory.server.routes import (
    auth,
    bulk_edits,
    captions,
    checks,
    dataset_numbers,
    datasets,
    events,
    files,
    health,
    imports,
    jobs,
    pictures,
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
    bulk_edits.router,
    captions.router,
    checks.router,
    dataset_numbers.router,
    datasets.router,
    events.router,
    files.router,
    health.router,
    imports.router,
    jobs.router,
    pictures.router,
    queues.router,
    run_files.router,
    runs.router,
    settings.router,
    system.router,
    tasks.router,
    trash.router,
    uploads.router,
)
