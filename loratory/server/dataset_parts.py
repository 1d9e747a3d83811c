"""What the routes about datasets share: finding one, the forms of what they answer, and who asks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from loratory.datasets.diff import Kind, Piece
from loratory.datasets.journal import State, Step, What
from loratory.datasets.shelf import Opened
from loratory.server.context import Here

WHO = "browser"
SECONDS = 2.0
"""Work that takes no longer is waited for; of other work the answer says how far it is."""

DatasetId = Annotated[str, Path(pattern="^[0-9a-f]{12}$", description="Twelve hex digits.")]
ItemPath = Annotated[str, Field(min_length=1, max_length=4096)]
ItemQuery = Annotated[str, Query(min_length=1, max_length=4096, description="A picture's path in its dataset.")]
Offset = Annotated[int, Query(ge=0, le=10_000_000)]
Limit = Annotated[int, Query(ge=1, le=1000)]
QueryText = Annotated[str, Query(max_length=5000, description="A query such as `tag:dog -tag:cat`; empty for all.")]
Version = Annotated[str, Field(max_length=40)]


def opened(dataset_id: DatasetId, here: Here) -> Opened:
    """The dataset that the address names, known at least once."""
    found = here.datasets.open(dataset_id, SECONDS)
    _ = found.catalogue  # raises StillScanning
    return found


ThisDataset = Annotated[Opened, Depends(opened)]


class Asked(BaseModel):
    """The body of a request: a key that is not known is an error."""

    model_config = ConfigDict(extra="forbid")


class Chosen(Asked):
    """Which pictures: those that are named, else those that the query finds."""

    items: Annotated[list[ItemPath] | None, Field(max_length=200_000)] = None
    query: str = Field("", max_length=5000)


class PieceOut(BaseModel):
    """A part of the old text, the new one, or both."""

    kind: Kind
    text: str


def pieces_out(pieces: list[Piece]) -> list[PieceOut]:
    return [PieceOut(kind=each.kind, text=each.text) for each in pieces]


class StepOut(BaseModel):
    """An edit of captions: what it was, and how many captions it changes. Times are UTC."""

    id: str
    time: str
    who: str
    what: What
    title: str
    state: State
    count: int
    undoes: str | None
    undone_by: str | None
    problem: str


def step_out(step: Step) -> StepOut:
    return StepOut(**{name: getattr(step, name) for name in StepOut.model_fields})


def fields_of(thing: Any, model: type[BaseModel]) -> dict[str, Any]:
    """The attributes of a thing that a model has, too."""
    return {name: getattr(thing, name) for name in model.model_fields if hasattr(thing, name)}


Order = Literal["up", "down"]
