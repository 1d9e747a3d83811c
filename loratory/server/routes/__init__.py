"""The routes, a file for each noun."""

from fastapi import APIRouter

from loratory.server.routes import health, tasks

ROUTERS: tuple[APIRouter, ...] = (
    health.router,
    tasks.router,
)  # fmt: skip
