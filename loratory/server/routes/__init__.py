"""The routes, a file for each noun."""

from fastapi import APIRouter

from loratory.server.routes import files, health, imports, tasks, trash, uploads

ROUTERS: tuple[APIRouter, ...] = (
    files.router,
    health.router,
    imports.router,
    tasks.router,
    trash.router,
    uploads.router,
)  # fmt: skip
