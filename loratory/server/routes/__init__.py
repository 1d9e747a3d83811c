"""The routes, a file for each noun."""

from fastapi import APIRouter

from loratory.server.routes import events, health, run_files, runs

ROUTERS: tuple[APIRouter, ...] = (
    events.router,
    health.router,
    run_files.router,
    runs.router,
)  # fmt: skip
