"""Is the server there, and is it the one that was there before?"""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from loratory import __version__
from loratory.server.context import Here

router = APIRouter(prefix="/api", tags=["system"])


class Health(BaseModel):
    """A server that answers."""

    version: str
    instance: str
    """Another one after each start."""


@router.get("/health")
def health(here: Here) -> Health:
    """Answer, quickly."""
    return Health(version=__version__, instance=here.instance)
