"""Numbers about a dataset: tags and which come together, sizes, shapes, lengths of captions, and buckets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from loratory.config.batching import BucketsConfig
from loratory.data.buckets import Fits, Size, assign, counts_per_bucket, micro_batches_per_epoch
from loratory.datasets.catalogue import Catalogue
from loratory.datasets.query import plain
from loratory.datasets.shelf import Opened

_SIDE_EDGES = (0, 256, 512, 768, 1024, 1280, 1536, 2048, 4096, 8192)
_RATIO_EDGES = (0.0, 0.4, 0.52, 0.62, 0.72, 0.9, 1.12, 1.4, 1.6, 1.95, 2.5)
_WORD_EDGES = (0, 1, 5, 10, 20, 40, 60, 100, 150, 250)
_TAG_EDGES = (0, 1, 2, 5, 10, 15, 20, 30, 45, 75)
_PROSE_WORDS_PER_TAG = 6
_LOOKED_AT = 200
"""Captions that are enough to tell tags from prose."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a histogram: how many are at least `start` and below `end` (None: no limit)."""

    start: float
    end: float | None
    count: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """A dataset in numbers. shorter_side: pixels. ratio: width / height."""

    pictures: int
    captioned: int
    masked: int
    bytes: int
    seen_per_epoch: int
    """Pictures with the repeats that folders such as `10_dog` ask for."""
    different_tags: int
    style: str
    """tags or prose, by the captions' looks."""
    shorter_side: list[Bar]
    ratio: list[Bar]
    words: list[Bar]
    tags: list[Bar]
    types: dict[str, int]
    folders: dict[str, int]


def statistics(opened: Opened, chosen: NDArray[np.bool_]) -> Statistics:
    """Numbers about the chosen pictures (a mask over the catalogue)."""
    catalogue = opened.catalogue
    numbers = np.flatnonzero(chosen)
    sizes = catalogue.sizes[numbers]
    texts = [catalogue.text(int(number)) for number in numbers]
    words = np.array([len(text.split()) for text in texts], dtype=np.float64)
    tags = np.bincount(catalogue.flat_tags().items, minlength=len(catalogue))[numbers].astype(np.float64)
    paths = [catalogue.paths[number] for number in numbers]
    return Statistics(
        pictures=len(numbers),
        captioned=int(catalogue.captioned()[numbers].sum()),
        masked=sum(path in catalogue.masks for path in paths),
        bytes=int(catalogue.bytes[numbers].sum()),
        seen_per_epoch=int(catalogue.repeats[numbers].sum()),
        different_tags=len(opened.tag_counts()),
        style=style_of(opened, words, tags),
        shorter_side=_bars(sizes.min(axis=1) if len(sizes) else sizes, _SIDE_EDGES),
        ratio=_bars(sizes[:, 0] / sizes[:, 1], _RATIO_EDGES),
        words=_bars(words, _WORD_EDGES),
        tags=_bars(tags, _TAG_EDGES),
        types=_count(path.rpartition(".")[2].lower() for path in paths),
        folders=_count(path.rpartition("/")[0] for path in paths),
    )


def caption_style(opened: Opened) -> Literal["tags", "prose"]:
    """What a dataset's captions are, by its settings, or by a look at some of them."""
    if opened.settings.style != "auto":
        return opened.settings.style
    catalogue = opened.catalogue
    some = np.flatnonzero(catalogue.captioned())
    some = some[:: max(1, len(some) // _LOOKED_AT)].tolist()
    words = sum(len(catalogue.text(number).split()) for number in some)
    return _by_looks(words, sum(len(catalogue.tags(number)) for number in some))


def style_of(opened: Opened, words: NDArray[np.float64], tags: NDArray[np.float64]) -> str:
    """What the settings say, else prose where there are many words between commas."""
    if opened.settings.style != "auto":
        return opened.settings.style
    return _by_looks(float(words.sum()), float(tags.sum()))


def _by_looks(words: float, tags: float) -> Literal["tags", "prose"]:
    return "prose" if tags and words / tags > _PROSE_WORDS_PER_TAG else "tags"


def _bars(values: NDArray[np.generic], edges: Sequence[float]) -> list[Bar]:
    places = np.searchsorted(np.asarray(edges), np.asarray(values, dtype=np.float64).reshape(-1), side="right") - 1
    counts = np.bincount(places, minlength=len(edges))
    ends: list[float | None] = [*edges[1:], None]
    return [Bar(start, end, int(count)) for start, end, count in zip(edges, ends, counts, strict=True)]


def _count(names: object) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in names:  # type: ignore[attr-defined]
        found[name] = found.get(name, 0) + 1
    return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))


# --- tags ---


def tags_like(opened: Opened, start: str, limit: int) -> tuple[int, list[tuple[str, int]]]:
    """How many tags begin with a text, or have a word that does, and those of most pictures first."""
    wanted = plain(start.casefold().strip())
    counts = opened.tag_counts()
    if not wanted:
        return len(counts), list(counts.items())[:limit]
    first, other = [], []
    for tag, count in counts.items():
        text = plain(tag.casefold())
        if text.startswith(wanted):
            first.append((tag, count))
        elif f" {wanted}" in text:
            other.append((tag, count))
    return len(first) + len(other), (first + other)[:limit]


def together(opened: Opened, tag: str, limit: int) -> list[tuple[str, int]]:
    """The tags that pictures with this one have, too, and how many of them have both."""
    catalogue = opened.catalogue
    if tag not in opened.tag_counts():
        return []
    flat = catalogue.flat_tags()
    number = catalogue.vocabulary.index(tag)
    has = np.zeros(len(catalogue), dtype=np.bool_)
    has[flat.items[flat.tags == number]] = True
    counts = catalogue.tags_of(has)
    counts[number] = 0
    order = np.argsort(-counts, kind="stable")[:limit]
    return [(catalogue.vocabulary[int(each)], int(counts[each])) for each in order if counts[each]]


# --- buckets ---


@dataclass(frozen=True, slots=True)
class Bucket:
    """Pictures that come into batches together. `seen` counts repeats."""

    width: int
    height: int
    pictures: int
    seen: int


@dataclass(frozen=True, slots=True)
class Placed:
    """One picture in its bucket. The box is what is left of the picture, in its own pixels: left, top, right, bottom.

    bucket and box are None for a picture that is left out because it is too small.
    """

    item: str
    width: int
    height: int
    bucket: Size | None
    box: tuple[int, int, int, int] | None
    cut_share: float
    """Of the picture's area."""
    scale: float
    """Above 1: it is enlarged."""


@dataclass(frozen=True, slots=True)
class BucketPreview:
    """What buckets do to a dataset."""

    buckets: list[Bucket]
    dropped: int
    cropped: int
    """Pictures that lose more than a hundredth of their area."""
    enlarged: int
    batches_per_epoch: int
    numbers: NDArray[np.int64]
    """The pictures, those that lose most first, then those that are left out."""
    fits: Fits
    cut: NDArray[np.float64]


def buckets(catalogue: Catalogue, numbers: NDArray[np.int64], config: BucketsConfig, resolution: Size,
            batch_size: int) -> BucketPreview:  # fmt: skip
    """Put pictures into buckets as training does. Raises UserError for settings that cannot be."""
    from loratory.planner.steps import bucket_rule  # the planner has all of a config with it

    rule = bucket_rule(config, resolution)
    fits = assign(catalogue.sizes[numbers], rule)
    seen = counts_per_bucket(fits, catalogue.repeats[numbers])
    pictures = counts_per_bucket(fits)
    area = np.maximum(fits.scaled.prod(axis=1), 1)
    cut = np.where(fits.too_small, 0.0, 1 - fits.bucket.prod(axis=1) / area)
    enlarged = (fits.scaled > catalogue.sizes[numbers]).any(axis=1) & ~fits.too_small
    order = np.argsort(np.where(fits.too_small, 2.0, -cut), kind="stable")
    return BucketPreview(
        [Bucket(*size, pictures[size], count) for size, count in seen.items()],
        int(fits.too_small.sum()), int((cut > 0.01).sum()), int(enlarged.sum()),
        micro_batches_per_epoch(seen.values(), batch_size), order, fits, cut,
    )  # fmt: skip


def placed(catalogue: Catalogue, numbers: NDArray[np.int64], preview: BucketPreview, place: int) -> Placed:
    """One picture of a preview: the place is one of `preview.numbers`."""
    number = int(numbers[place])
    width, height = map(int, catalogue.sizes[number])
    item = catalogue.paths[number]
    if preview.fits.too_small[place]:
        return Placed(item, width, height, None, None, 0.0, 1.0)
    fit = preview.fits[place]
    scale = (fit.scaled[0] / width, fit.scaled[1] / height)
    left, top = fit.crop[0] / scale[0], fit.crop[1] / scale[1]
    box = (round(left), round(top), min(width, round(left + fit.bucket[0] / scale[0])),
           min(height, round(top + fit.bucket[1] / scale[1])))  # fmt: skip
    return Placed(item, width, height, fit.bucket, box, round(float(preview.cut[place]), 5), round(max(scale), 5))
