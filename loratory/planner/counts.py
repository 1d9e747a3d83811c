"""How many pictures, batches and steps a run has, in numbers alone: milliseconds for any dataset."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.train import TrainConfig
from loratory.data.buckets import Size, assign, micro_batches_per_epoch
from loratory.data.scan import Scan
from loratory.errors import UserError
from loratory.planner.steps import Plan, bucket_rule, resolution_of, total_steps


@dataclass(frozen=True)
class Shapes:
    """Pictures of one dataset in numbers: widths and heights [N, 2], and how often each is seen in an epoch [N]."""

    path: str
    sizes: NDArray[np.int64]
    repeats: NDArray[np.int64]


@dataclass(frozen=True)
class DatasetCounts:
    """One dataset. A picture that is trained at several sizes counts in each."""

    path: str
    pictures: int
    samples: int
    """Pictures at their training sizes, without repeats."""
    seen_per_epoch: int
    """With repeats."""
    dropped: int
    """Smaller than one bucket step, where nothing is enlarged."""
    cropped: int
    """Samples that lose more than a hundredth of their area to their bucket."""
    cut_share: float
    """Of the area of all samples."""
    enlarged: int
    """Samples that are smaller than their bucket."""


@dataclass(frozen=True)
class Counts:
    """A run in numbers."""

    datasets: tuple[DatasetCounts, ...]
    buckets: dict[Size, int]
    """Samples in an epoch, repeats among them, by bucket as (width, height)."""
    batch_size: int
    accumulation: int
    total_steps: int
    notes: tuple[str, ...]
    cached: dict[Size, int]
    """Samples without repeats, by bucket: what a cache of latents holds of them once."""
    missing_from_full_batches: int
    """Places that stay empty in the last batches of the buckets of one epoch."""

    @property
    def pictures(self) -> int:
        return sum(each.pictures for each in self.datasets)

    @property
    def seen_per_epoch(self) -> int:
        return sum(self.buckets.values())

    @property
    def batches_per_epoch(self) -> int:
        return micro_batches_per_epoch(self.buckets.values(), self.batch_size)

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.batches_per_epoch // self.accumulation)

    @property
    def epochs(self) -> float:
        """Passes over the pictures."""
        return self.total_steps / self.steps_per_epoch

    @property
    def largest(self) -> Size:
        """The bucket with most pixels."""
        return max(self.buckets, key=lambda size: (math.prod(size), size))

    @property
    def mean_batch(self) -> float:
        """Pictures in a batch on average: some are short."""
        return self.seen_per_epoch / self.batches_per_epoch

    def epochs_for(self, steps: int) -> int:
        """Epochs that make at least so many steps."""
        return -(-steps // self.steps_per_epoch)


def shapes_of(scan: Scan, repeats: int) -> Shapes:
    """A scanned dataset that is repeated so often."""
    table = np.array([(item.width, item.height, item.repeats) for item in scan.items], dtype=np.int64).reshape(-1, 3)
    return Shapes(str(scan.root), table[:, :2], table[:, 2] * repeats)


def typed(pictures: int, size: Size, repeats: int = 1) -> Shapes:
    """So many pictures of one size, that nobody has yet."""
    return Shapes(f"{pictures} pictures of {size[0]}x{size[1]}", np.full((pictures, 2), size, dtype=np.int64),
                  np.full(pictures, repeats, dtype=np.int64))  # fmt: skip


def counts_of(plan: Plan) -> Counts:
    """The numbers of a plan that was made picture by picture."""
    buckets = {size: len(members) for size, members in plan.buckets.items()}
    cached = {size: len(np.unique(members)) for size, members in plan.buckets.items()}
    empty = plan.micro_batches * plan.batch_size - sum(buckets.values())
    return Counts((), buckets, plan.batch_size, plan.accumulation, plan.total_steps, plan.notes, cached, empty)


def count(config: TrainConfig, spec: ArchitectureSpec, datasets: Sequence[Shapes]) -> Counts:
    """Count a run. `datasets` are in the config's order. Raises UserError when no picture can be used."""
    usual = resolution_of(config.batching.buckets, spec)
    buckets: dict[Size, int] = {}
    cached: dict[Size, int] = {}
    found = []
    for dataset, shapes in zip(config.datasets, datasets, strict=True):
        resolutions = [(each, each) if isinstance(each, int) else each for each in dataset.resolutions] or [usual]
        parts = [_at(config, shapes, size, buckets, cached) for size in dict.fromkeys(resolutions)]
        area = sum(part.area for part in parts)
        found.append(DatasetCounts(
            path=shapes.path,
            pictures=len(shapes.sizes),
            samples=sum(part.samples for part in parts),
            seen_per_epoch=sum(part.seen for part in parts),
            dropped=max(part.dropped for part in parts),
            cropped=sum(part.cropped for part in parts),
            cut_share=sum(part.cut for part in parts) / area if area else 0.0,
            enlarged=sum(part.enlarged for part in parts),
        ))  # fmt: skip
    if not buckets:
        raise UserError("None of the pictures can be used, so there is nothing to train on.")
    batching = config.batching
    micro = micro_batches_per_epoch(buckets.values(), batching.size)
    total, notes = total_steps(config.duration, -(-micro // batching.gradient_accumulation_steps))
    return Counts(
        datasets=tuple(found),
        buckets=dict(sorted(buckets.items())),
        batch_size=batching.size,
        accumulation=batching.gradient_accumulation_steps,
        total_steps=total,
        notes=notes,
        cached=dict(sorted(cached.items())),
        missing_from_full_batches=micro * batching.size - sum(buckets.values()),
    )


@dataclass(frozen=True)
class _Part:
    """One dataset at one size."""

    samples: int
    seen: int
    dropped: int
    cropped: int
    enlarged: int
    cut: float
    """Pixels, after scaling, that are cut off."""
    area: float


def _at(config: TrainConfig, shapes: Shapes, resolution: Size, buckets: dict[Size, int],
        cached: dict[Size, int]) -> _Part:  # fmt: skip
    """Add one dataset at one size to the buckets. Pictures of one size fare alike, so each is fitted once."""
    if not len(shapes.sizes):
        return _Part(0, 0, 0, 0, 0, 0.0, 0.0)
    key = shapes.sizes[:, 0] << 32 | shapes.sizes[:, 1]
    distinct, where = np.unique(key, return_inverse=True)
    sizes = np.stack([distinct >> 32, distinct & 0xFFFFFFFF], axis=1)
    once = np.bincount(where.reshape(-1), minlength=len(distinct))
    seen = np.bincount(where.reshape(-1), weights=shapes.repeats, minlength=len(distinct)).astype(np.int64)
    fits = assign(sizes, bucket_rule(config.batching.buckets, resolution))
    usable = ~fits.too_small
    distinct, where = np.unique(fits.bucket[usable, 0] << 32 | fits.bucket[usable, 1], return_inverse=True)
    for table, counted in ((buckets, seen), (cached, once)):
        sums = np.bincount(where.reshape(-1), weights=counted[usable], minlength=len(distinct)).astype(np.int64)
        for bucket, number in zip(distinct.tolist(), sums.tolist(), strict=True):
            size = bucket >> 32, bucket & 0xFFFFFFFF
            table[size] = table.get(size, 0) + number
    areas, kept = fits.scaled.prod(axis=1), fits.bucket.prod(axis=1)
    cut = np.where(usable, areas - kept, 0)
    return _Part(
        samples=int(once[usable].sum()),
        seen=int(seen[usable].sum()),
        dropped=int(once[~usable].sum()),
        cropped=int(once[usable & (cut > areas * 0.01)].sum()),
        enlarged=int(once[usable & (fits.scaled > sizes).any(axis=1)].sum()),
        cut=float((cut * once).sum()),
        area=float((areas * once).sum()),
    )
