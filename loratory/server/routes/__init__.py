"""The routes, a file for each noun."""

from fastapi import APIRouter

from loratory.server.routes import health, jobs, queues

ROUTERS: tuple[APIRouter, ...] = (
    health.router,
    jobs.router,
    queues.router,
)  # fmt: skip
