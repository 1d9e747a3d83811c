"""Config and dataset → which pictures at which size, how many batches, steps and epochs. Torch-free."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.batching import BucketsConfig, DurationConfig
from loratory.config.train import TrainConfig
from loratory.data.buckets import BucketRule, Fit, RuleKind, Size, assign, micro_batches_per_epoch
from loratory.data.scan import Item, Scan
from loratory.errors import UserError

_KINDS: dict[str, RuleKind] = {
    "upscale": "kohya",
    "no_upscale": "kohya_no_upscale",
    "aitoolkit": "aitoolkit",
    "off": "off",
}

PASSES_BY_DEFAULT = 100
STEPS_BY_DEFAULT = (500, 3000)


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture at one training size."""

    dataset: int
    item: Item
    fit: Fit
    repeats: int

    @property
    def key(self) -> str:
        """Names the picture for random draws and reports; the same on every machine."""
        return f"{self.dataset}/{self.item.path}"


@dataclass(frozen=True)
class Plan:
    """What one run will do.

    `buckets` maps a bucket's (width, height) to the indexes into `samples`, repeats included, in the fixed order
    (dataset, path, size, repeat) that everything random starts from.
    """

    samples: tuple[Sample, ...]
    buckets: dict[Size, NDArray[np.int64]]
    batch_size: int
    accumulation: int
    total_steps: int
    notes: tuple[str, ...]

    @property
    def micro_batches(self) -> int:
        """Batches in one epoch."""
        return micro_batches_per_epoch((len(members) for members in self.buckets.values()), self.batch_size)

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.micro_batches // self.accumulation)

    @property
    def epochs(self) -> int:
        """Epochs begun when all steps are done."""
        return -(-self.total_steps // self.steps_per_epoch)

    def fingerprint(self) -> str:
        """Changes when a picture joins, leaves or gets another size, bucket or number of repeats."""
        digest = hashlib.blake2b(digest_size=16)
        for sample in self.samples:
            line = (sample.key, sample.item.width, sample.item.height, sample.fit, sample.repeats)
            digest.update(repr(line).encode())
        return digest.hexdigest()


def resolution_of(buckets: BucketsConfig, spec: ArchitectureSpec) -> Size:
    """The training size as (width, height) in pixels."""
    resolution = buckets.resolution or spec.default_resolution
    return (resolution, resolution) if isinstance(resolution, int) else resolution


def bucket_rule(buckets: BucketsConfig, resolution: Size) -> BucketRule:
    """kohya's rule with limits that fit the resolution: a small training size lowers the minimum by itself."""
    smallest = max(buckets.step, min(resolution) // buckets.step * buckets.step)
    minimum = min(buckets.minimum, smallest if min(resolution) > buckets.minimum else max(buckets.step, smallest // 2))
    return BucketRule(
        kind=_KINDS[buckets.mode],
        resolution=resolution,
        minimum=max(minimum, buckets.step),
        maximum=buckets.maximum or 2 * max(resolution),
        step=buckets.step,
    )


def plan(
    config: TrainConfig, spec: ArchitectureSpec, scans: Sequence[Scan], broken: Collection[tuple[int, str]] = ()
) -> Plan:
    """Plan a run. `broken` names pictures to leave out, as (dataset, path). Raises UserError when none is left."""
    samples: list[Sample] = []
    notes: list[str] = []
    usual = resolution_of(config.batching.buckets, spec)
    excluded = frozenset(broken)
    for number, (dataset, scan) in enumerate(zip(config.datasets, scans, strict=True)):
        items = [item for item in scan.items if (number, item.path) not in excluded]
        resolutions = [(each, each) if isinstance(each, int) else each for each in dataset.resolutions] or [usual]
        found: list[Sample] = []
        for resolution in dict.fromkeys(resolutions):
            if not items:
                break
            rule = bucket_rule(config.batching.buckets, resolution)
            fits = assign([(item.width, item.height) for item in items], rule)
            for i, item in enumerate(items):
                if fits.too_small[i]:
                    notes.append(
                        f"{scan.root / item.path} ({item.width}x{item.height}) is smaller than one bucket step and is "
                        "left out; batching.buckets.mode upscale would use it."
                    )
                else:
                    found.append(Sample(number, item, fits[i], item.repeats * dataset.num_repeats))
        # Sizes of one picture stand together, so that adding a size does not move the other pictures.
        samples += sorted(found, key=lambda sample: sample.item.path)
    if not samples:
        raise UserError("None of the pictures can be used, so there is nothing to train on; see the list above.")
    return _finish(config, tuple(samples), notes)


def _finish(config: TrainConfig, samples: tuple[Sample, ...], notes: list[str]) -> Plan:
    members: dict[Size, list[int]] = {}
    for index, sample in enumerate(samples):
        members.setdefault(sample.fit.bucket, []).extend([index] * sample.repeats)
    buckets = {size: np.array(members[size], dtype=np.int64) for size in sorted(members)}
    draft = Plan(samples, buckets, config.batching.size, config.batching.gradient_accumulation_steps, 1, ())
    total, said = total_steps(config.duration, draft.steps_per_epoch)
    return Plan(samples, buckets, draft.batch_size, draft.accumulation, total, (*notes, *said))


def total_steps(duration: DurationConfig, steps_per_epoch: int) -> tuple[int, tuple[str, ...]]:
    """Optimizer steps of the whole run, and what there is to say about it."""
    by_epochs = None if duration.epochs is None else duration.epochs * steps_per_epoch
    if duration.steps is not None and by_epochs is not None:
        steps = min(duration.steps, by_epochs)
        first = "steps" if duration.steps <= by_epochs else "epochs"
        return steps, (f"duration gives steps and epochs; {first} come first, after {steps} steps.",)
    if by_epochs is not None:
        return by_epochs, ()
    if duration.steps is not None:
        return duration.steps, ()
    low, high = STEPS_BY_DEFAULT
    steps = min(high, max(low, PASSES_BY_DEFAULT * steps_per_epoch))
    said = (
        f"duration is not given: training {steps} steps, about {steps / steps_per_epoch:.0f} passes over the pictures."
    )
    return steps, (said,)
