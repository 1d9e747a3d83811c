"""Config and dataset → which pictures at which size, how many batches, steps and epochs. Torch-free."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.batching import BucketsConfig, DurationConfig
from loratory.config.sizes import resolution_of
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


Bucket = tuple[int, int] | tuple[int, int, str]
"""(width, height) in pixels; and the datasets' `batch_group`, where they have one."""


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

    `buckets` maps what may come together in a batch to the indexes into `samples`, repeats included, in the fixed order
    (dataset, path, size, repeat) that everything random starts from.
    """

    samples: tuple[Sample, ...]
    buckets: dict[Bucket, NDArray[np.int64]]
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


def bucket_rule(buckets: BucketsConfig, resolution: Size) -> BucketRule:
    """kohya's rule with limits that fit the resolution: a small training size lowers the minimum by itself."""
    smallest = max(buckets.step, min(resolution) // buckets.step * buckets.step)
    if min(resolution) <= buckets.minimum:
        smallest = max(buckets.step, smallest // 2)
    minimum = min(buckets.minimum, smallest) if buckets.adapt_minimum else buckets.minimum
    return BucketRule(
        kind=_KINDS[buckets.mode],
        resolution=resolution,
        minimum=max(minimum, buckets.step),
        maximum=buckets.maximum or 2 * max(resolution),
        step=buckets.step,
    )


def rules_of(config: TrainConfig, spec: ArchitectureSpec) -> tuple[tuple[BucketRule, ...], ...]:
    """For each dataset, how pictures find their buckets at each of its sizes."""
    buckets = config.batching.buckets
    usual = resolution_of(buckets, spec)
    rules = []
    for dataset in config.datasets:
        sizes = [(each, each) if isinstance(each, int) else each for each in dataset.resolutions] or [usual]
        rules.append(tuple(bucket_rule(buckets, size) for size in dict.fromkeys(sizes)))
    return tuple(rules)


def plan(
    config: TrainConfig, spec: ArchitectureSpec, scans: Sequence[Scan], broken: Collection[tuple[int, str]] = ()
) -> Plan:
    """Plan a run. `broken` names pictures to leave out, as (dataset, path). Raises UserError when none is left."""
    samples: list[Sample] = []
    notes: list[str] = []
    excluded = frozenset(broken)
    for number, (rules, scan) in enumerate(zip(rules_of(config, spec), scans, strict=True)):
        dataset = config.datasets[number]
        items = [item for item in scan.items if (number, item.path) not in excluded]
        found: list[Sample] = []
        for rule in rules if items else ():
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
    if config.batching.balance_regularisation:
        samples, said = balanced(samples, config)
        notes += said
    if not samples:
        raise UserError("None of the pictures can be used, so there is nothing to train on; see the list above.")
    return _finish(config, tuple(samples), notes)


def balanced(samples: Sequence[Sample], config: TrainConfig) -> tuple[list[Sample], list[str]]:
    """The samples with as many regularisation pictures as others in each batch group, and what was left out for it.

    Source: sd-scripts. The regularisation pictures are taken in their order with the repeats they have, until there are
    as many as others; then each gets one more in turn, until there are.
    """
    regular = [config.datasets[sample.dataset].is_regularisation for sample in samples]
    repeats = np.array([0 if extra else sample.repeats for sample, extra in zip(samples, regular, strict=True)])
    groups: dict[str, list[int]] = {}
    for i, sample in enumerate(samples):
        groups.setdefault(config.datasets[sample.dataset].batch_group, []).append(i)
    for mine in groups.values():
        wanted = sum(int(repeats[i]) for i in mine)
        extra = [i for i in mine if regular[i]]
        repeats[extra] = evened(np.array([samples[i].repeats for i in extra], dtype=np.int64), wanted)
    left_out = int((repeats == 0).sum())
    said = (
        [f"batching.balance_regularisation leaves out {left_out} regularisation pictures: there are fewer others."]
        if left_out else []
    )  # fmt: skip
    used = [replace(sample, repeats=int(count)) for sample, count in zip(samples, repeats, strict=True) if count]
    return used, said


def evened(repeats: NDArray[np.int64], wanted: int) -> NDArray[np.int64]:
    """Repeats of regularisation pictures, changed so that `wanted` are seen; none where there are no pictures."""
    given = np.where(np.cumsum(repeats) - repeats >= wanted, 0, repeats)
    missing = max(0, wanted - int(given.sum())) if len(given) else 0
    return given + missing // max(1, len(given)) + (np.arange(len(given)) < missing % max(1, len(given)))


def _finish(config: TrainConfig, samples: tuple[Sample, ...], notes: list[str]) -> Plan:
    members: dict[Bucket, list[int]] = {}
    for index, sample in enumerate(samples):
        group = config.datasets[sample.dataset].batch_group
        bucket: Bucket = (*sample.fit.bucket, group) if group else sample.fit.bucket
        members.setdefault(bucket, []).extend([index] * sample.repeats)
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
