"""The routes, a file for each noun."""

from fastapi import APIRouter

from loratory.server.routes import events, health

ROUTERS: tuple[APIRouter, ...] = (
    events.router,
    health.router,
)  # fmt: skip
