"""The routes, a file for each noun."""

from fastapi import APIRouter

from loratory.server.routes import bulk_edits, captions, checks, dataset_numbers, datasets, health, pictures

ROUTERS: tuple[APIRouter, ...] = (
    health.router,
    datasets.router,
    pictures.router,
    captions.router,
    bulk_edits.router,
    dataset_numbers.router,
    checks.router,
)  # fmt: skip
