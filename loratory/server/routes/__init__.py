"""The routes, a file for each noun."""

from fastapi import APIRouter

from loratory.server.routes import auth, health, settings, system

ROUTERS: tuple[APIRouter, ...] = (
    auth.router,
    health.router,
    settings.router,
    system.router,
)  # fmt: skip
