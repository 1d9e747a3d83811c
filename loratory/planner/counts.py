"""How many pictures, batches and steps a run has, in numbers alone: milliseconds for any dataset."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.train import TrainConfig
from loratory.data.buckets import BucketRule, Fits, Size, assign, micro_batches_per_epoch
from loratory.data.scan import Scan
from loratory.errors import UserError
from loratory.planner.steps import Bucket, Plan, evened, rules_of, total_steps


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
    buckets: dict[Bucket, int]
    """Samples in an epoch, repeats among them, by bucket: width, height, and the datasets' batch group if they have
    one."""
    batch_size: int
    accumulation: int
    total_steps: int
    notes: tuple[str, ...]
    cached: dict[Bucket, int]
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
        return max((bucket[:2] for bucket in self.buckets), key=lambda size: (math.prod(size), size))

    @property
    def mean_batch(self) -> float:
        """Pictures in a batch on average: some are short."""
        return self.seen_per_epoch / self.batches_per_epoch

    def epochs_for(self, steps: int) -> int:
        """Epochs that make at least so many steps."""
        return -(-steps // self.steps_per_epoch)


def shapes_of(scan: Scan, repeats: int) -> Shapes:
    """A scanned dataset that is repeated so often."""
    table = _table(scan)
    return Shapes(str(scan.root), table[:, :2], table[:, 2] * repeats)


def _table(scan: Scan) -> NDArray[np.int64]:
    """Width, height and repeats of each picture. A form asks for the same scan again and again."""
    known = _tables.get(id(scan))
    if known is not None and known[0] is scan:
        return known[1]
    table = np.array([(item.width, item.height, item.repeats) for item in scan.items], dtype=np.int64).reshape(-1, 3)
    with _lock:
        _tables[id(scan)] = (scan, table)
        while len(_tables) > MOST_TABLES:
            _tables.pop(next(iter(_tables)))
    return table


MOST_TABLES = 8
_tables: dict[int, tuple[Scan, NDArray[np.int64]]] = {}
_lock = threading.Lock()


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
    fitted = [[_fitted(shapes, rule) for rule in rules]
              for shapes, rules in zip(datasets, rules_of(config, spec), strict=True)]  # fmt: skip
    seen = _seen(config, datasets, fitted)
    buckets: dict[Bucket, int] = {}
    cached: dict[Bucket, int] = {}
    found = []
    for dataset, shapes, parts, repeats in zip(config.datasets, datasets, fitted, seen, strict=True):
        for part, counted in zip(parts, repeats, strict=True):
            part.add(counted, dataset.batch_group, buckets)
            part.add(np.minimum(counted, 1), dataset.batch_group, cached)
        area = sum(part.area for part in parts)
        found.append(DatasetCounts(
            path=shapes.path,
            pictures=len(shapes.sizes),
            samples=sum(int(part.usable.sum()) for part in parts),
            seen_per_epoch=int(sum(counted.sum() for counted in repeats)),
            dropped=max(int((~part.usable).sum()) for part in parts),
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
class _Fitted:
    """One dataset at one size, by picture."""

    usable: NDArray[np.bool_]
    bucket: NDArray[np.int64]
    """Width and height in one number."""
    cropped: int
    enlarged: int
    cut: float
    """Pixels, after scaling, that are cut off."""
    area: float

    def add(self, counted: NDArray[np.int64], group: str, table: dict[Bucket, int]) -> None:
        """Put so many of each picture into their buckets."""
        distinct, where = np.unique(self.bucket, return_inverse=True)
        sums = np.bincount(where.reshape(-1), weights=counted, minlength=len(distinct)).astype(np.int64)
        for key, number in zip(distinct.tolist(), sums.tolist(), strict=True):
            size = key >> 32, key & 0xFFFFFFFF
            bucket: Bucket = (*size, group) if group else size
            if number:
                table[bucket] = table.get(bucket, 0) + number


def _fitted(shapes: Shapes, rule: BucketRule) -> _Fitted:
    """Pictures of one size fare alike, so each size is fitted once."""
    key = shapes.sizes[:, 0] << 32 | shapes.sizes[:, 1]
    distinct, where = np.unique(key, return_inverse=True)
    where = where.reshape(-1)
    if not len(distinct):
        return _Fitted(np.zeros(0, dtype=bool), np.zeros(0, dtype=np.int64), 0, 0, 0.0, 0.0)
    sizes = np.stack([distinct >> 32, distinct & 0xFFFFFFFF], axis=1)
    once = np.bincount(where, minlength=len(distinct))
    fits: Fits = assign(sizes, rule)
    usable = ~fits.too_small
    areas, kept = fits.scaled.prod(axis=1), fits.bucket.prod(axis=1)
    cut = np.where(usable, areas - kept, 0)
    return _Fitted(
        usable=usable[where],
        bucket=(fits.bucket[:, 0] << 32 | fits.bucket[:, 1])[where],
        cropped=int(once[usable & (cut > areas * 0.01)].sum()),
        enlarged=int(once[usable & (fits.scaled > sizes).any(axis=1)].sum()),
        cut=float((cut * once).sum()),
        area=float((areas * once).sum()),
    )


def _seen(
    config: TrainConfig, datasets: Sequence[Shapes], fitted: Sequence[Sequence[_Fitted]]
) -> list[list[NDArray[np.int64]]]:
    """How often each picture is seen in an epoch, for each dataset at each of its sizes."""
    seen = [[np.where(part.usable, shapes.repeats, 0) for part in parts]
            for shapes, parts in zip(datasets, fitted, strict=True)]  # fmt: skip
    if not config.batching.balance_regularisation:
        return seen
    for group in {dataset.batch_group for dataset in config.datasets}:
        mine = [i for i, dataset in enumerate(config.datasets) if dataset.batch_group == group]
        extra = [i for i in mine if config.datasets[i].is_regularisation]
        wanted = sum(int(counted.sum()) for i in mine if i not in extra for counted in seen[i])
        # In the plan's order: the sizes of one picture stand together.
        usable = {i: np.stack([part.usable for part in fitted[i]], axis=1) for i in extra}
        tables = {i: np.stack(seen[i], axis=1) for i in extra}
        if not extra:
            continue
        given = [tables[i][usable[i]] for i in extra]
        even = evened(np.concatenate(given), wanted)
        for i, part in zip(extra, np.split(even, np.cumsum([len(each) for each in given])[:-1]), strict=True):
            tables[i][usable[i]] = part
            seen[i] = list(tables[i].T)
    return seen
