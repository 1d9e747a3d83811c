"""The routes, a file for each noun."""

from fastapi import APIRouter

from loratory.server.routes import auth, events, health, jobs, queues, run_files, runs, settings, system

ROUTERS: tuple[APIRouter, ...] = (
    auth.router,
    health.router,
    settings.router,
    system.router,
    events.router,
    jobs.router,
    queues.router,
    run_files.router,
    runs.router,
)  # fmt: skip
