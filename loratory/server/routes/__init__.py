"""The routes, a file for each noun."""

from fastapi import APIRouter

from loratory.server.routes import health

ROUTERS: tuple[APIRouter, ...] = (
    health.router,
)  # fmt: skip
