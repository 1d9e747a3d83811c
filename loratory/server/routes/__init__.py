"""The routes, a file for each noun."""

from fastapi import APIRouter

from loratory.server.routes import configs, health, models, presets

ROUTERS: tuple[APIRouter, ...] = (
    configs.router,
    health.router,
    models.router,
    presets.router,
)  # fmt: skip
