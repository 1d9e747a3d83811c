"""Numbers about a dataset: its tags, statistics and buckets."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from loratory.config.batching import BucketsConfig
from loratory.datasets import counts
from loratory.datasets.query import find
from loratory.errors import UserError
from loratory.server.dataset_parts import Asked, Limit, QueryText, ThisDataset, fields_of

router = APIRouter(prefix="/api/datasets/{dataset_id}", tags=["datasets"])


class TagOut(BaseModel):
    """A tag, and how many pictures have it."""

    tag: str
    count: int


class TagList(BaseModel):
    """The most frequent of the tags that were asked for."""

    total: int
    tags: list[TagOut]


class BarOut(BaseModel):
    """A bar of a histogram: how many are at least `start` and below `end` (null: no limit)."""

    start: float
    end: float | None
    count: int


class StatisticsOut(BaseModel):
    """A dataset in numbers. shorter_side: pixels. ratio: width / height. words, tags: of a caption."""

    pictures: int
    captioned: int
    masked: int
    bytes: int
    seen_per_epoch: int
    different_tags: int
    style: str
    shorter_side: list[BarOut]
    ratio: list[BarOut]
    words: list[BarOut]
    tags: list[BarOut]
    types: dict[str, int]
    folders: dict[str, int]


class BucketOut(BaseModel):
    """Pictures that come into batches together, in pixels. `seen` counts repeats."""

    width: int
    height: int
    pictures: int
    seen: int


class BucketsAsked(Asked):
    """Which pictures, and how buckets are made, as `batching.buckets` of a job says it. Sides are pixels."""

    query: str = Field("", max_length=5000)
    width: int = Field(1024, ge=16, le=16_384)
    height: int = Field(1024, ge=16, le=16_384)
    mode: Literal["upscale", "no_upscale", "aitoolkit", "off"] = "upscale"
    step: int = Field(64, ge=8, le=512)
    minimum: int = Field(256, ge=16, le=8192)
    maximum: int | None = Field(None, ge=16, le=16_384)
    batch_size: int = Field(1, ge=1, le=4096)
    offset: int = Field(0, ge=0, le=10_000_000)
    limit: int = Field(100, ge=1, le=1000)


class PlacedOut(BaseModel):
    """One picture in its bucket. box: what is left of it, in its own pixels (left, top, right, bottom)."""

    item: str
    width: int
    height: int
    bucket: tuple[int, int] | None
    box: tuple[int, int, int, int] | None
    cut_share: float
    scale: float


class BucketsOut(BaseModel):
    """What buckets do to the pictures, those that lose most first, and those that are left out before them."""

    buckets: list[BucketOut]
    dropped: int
    cropped: int
    enlarged: int
    batches_per_epoch: int
    total: int
    pictures: list[PlacedOut]


@router.get("/tags")
def list_tags(dataset: ThisDataset, start: Annotated[str, Query(max_length=1000)] = "",
              limit: Limit = 100) -> TagList:  # fmt: skip
    """List the most frequent tags; with `start`, those that begin with it, or have a word that does."""
    total, found = counts.tags_like(dataset, start, limit)
    return TagList(total=total, tags=[TagOut(tag=tag, count=count) for tag, count in found])


@router.get("/tags/together")
def list_tags_together(dataset: ThisDataset, tag: Annotated[str, Query(min_length=1, max_length=1000)],
                       limit: Limit = 50) -> list[TagOut]:  # fmt: skip
    """List the tags that pictures with a tag have, too."""
    return [TagOut(tag=other, count=count) for other, count in counts.together(dataset, tag, limit)]


@router.get("/statistics")
def get_dataset_statistics(dataset: ThisDataset, query: QueryText = "") -> StatisticsOut:
    """Count sizes, shapes and lengths of captions of the pictures that a query finds."""
    found = counts.statistics(dataset, find(dataset.catalogue, query))
    bars = {name: [BarOut(**fields_of(bar, BarOut)) for bar in getattr(found, name)]
            for name in ("shorter_side", "ratio", "words", "tags")}  # fmt: skip
    return StatisticsOut(**fields_of(found, StatisticsOut) | bars)


@router.get("/buckets")
def preview_buckets(dataset: ThisDataset, asked: Annotated[BucketsAsked, Query()]) -> BucketsOut:
    """Put pictures into buckets as training does: what is cropped, enlarged and left out."""
    catalogue = dataset.catalogue
    config = BucketsConfig(mode=asked.mode, step=asked.step, minimum=asked.minimum, maximum=asked.maximum)
    numbers = np.flatnonzero(find(catalogue, asked.query))
    if not len(numbers):
        raise UserError("The query finds no picture, so there is nothing to put into buckets.")
    found = counts.buckets(catalogue, numbers, config, (asked.width, asked.height), asked.batch_size)
    page = found.numbers[asked.offset : asked.offset + asked.limit]
    return BucketsOut(
        buckets=[BucketOut(**fields_of(bucket, BucketOut)) for bucket in found.buckets],
        dropped=found.dropped, cropped=found.cropped, enlarged=found.enlarged,
        batches_per_epoch=found.batches_per_epoch, total=len(numbers),
        pictures=[PlacedOut(**fields_of(counts.placed(catalogue, numbers, found, int(place)), PlacedOut))
                  for place in page],
    )  # fmt: skip
