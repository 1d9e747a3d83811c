"""The routes, a file for each noun."""

from fastapi import APIRouter

from loratory.server.routes import auth, health, jobs, queues, settings, system

ROUTERS: tuple[APIRouter, ...] = (
    auth.router,
    health.router,
    settings.router,
    system.router,
    jobs.router,
    queues.router,
)  # fmt: skip
