"""Which picture goes into which bucket, how it is resized and cut for it, and how many steps that makes.

Sizes are always (width, height) in pixels, in this order, except in `size_conditioning`, where models want (height,
width).
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from loratory.errors import UserError

Size = tuple[int, int]
RuleKind = Literal["kohya", "kohya_no_upscale", "aitoolkit", "off"]
_Sizes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BucketRule:
    """How buckets are made and chosen.

    kind: "kohya" (a fixed list, small pictures are enlarged), "kohya_no_upscale" (one bucket per picture size, rounded
    down to the step), "aitoolkit" (the size nearest to the picture's own area, never enlarged) or "off" (one bucket).
    resolution: its area is the area of every bucket, as nearly as the step allows.
    minimum, maximum: the limits of a bucket's sides; only "kohya" uses them. step: what the sides are a multiple of.
    """

    kind: RuleKind
    resolution: Size
    minimum: int = 256
    maximum: int = 1024
    step: int = 64

    def __post_init__(self) -> None:
        if self.kind not in get_args(RuleKind):
            raise UserError(f"{self.kind!r} is not a bucket rule; use one of {', '.join(get_args(RuleKind))}.")
        if self.step < 1:
            raise UserError(f"The bucket step is {self.step} pixels; it must be at least 1.")
        if min(self.resolution) < (1 if self.kind == "off" else self.step):
            raise UserError(
                f"The resolution {_show(self.resolution)} is smaller than the bucket step of {self.step} pixels; "
                "use a larger resolution."
            )
        if self.kind == "kohya":
            kohya_buckets(self.resolution, self.minimum, self.maximum, self.step)


@dataclass(frozen=True, slots=True)
class Fit:
    """One picture in its bucket: resize it to `scaled` (which covers `bucket`), then cut `bucket` out at `crop`.

    crop is (left, top): of the centre crop, or of a random one anywhere from (0, 0) to scaled - bucket, inclusive.
    """

    bucket: Size
    scaled: Size
    crop: Size


def enlarged(fit: Fit, factor: float) -> Fit:
    """The same bucket, cut out of the centre of a picture that is resized `factor` (1 or more) times larger."""
    width, height = (max(side, round(side * factor)) for side in fit.scaled)
    left, top = (width - fit.bucket[0]) // 2, (height - fit.bucket[1]) // 2
    return Fit(fit.bucket, (width, height), (left, top))


@dataclass(frozen=True, slots=True)
class Fits:
    """Many pictures in their buckets: three int64 arrays [N, 2] that hold what `Fit` holds, and a mask [N].

    too_small: pictures that the rule cannot place, because one side is below the step and it never enlarges; their rows
    in the other arrays are 0.
    """

    bucket: _Sizes
    scaled: _Sizes
    crop: _Sizes
    too_small: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.bucket)

    def __getitem__(self, index: int) -> Fit:
        return Fit(_pair(self.bucket[index]), _pair(self.scaled[index]), _pair(self.crop[index]))


def kohya_buckets(resolution: Size, minimum: int, maximum: int, step: int) -> list[Size]:
    """The sorted bucket list of kohya's sd-scripts; minimum is rounded down and maximum up to a multiple of step.

    Source: the largest square, and for every width the largest height that keeps to the area; both orientations.
    Raises UserError where kohya stops too: the resolution has a side outside minimum..maximum.
    """
    lowest, highest = minimum // step * step, -(-maximum // step) * step
    if lowest < step:
        raise UserError(f"The smallest bucket side is {minimum}; it must be at least one step, that is {step} pixels.")
    if min(resolution) < lowest or max(resolution) > highest:
        raise UserError(
            f"The resolution {_show(resolution)} has a side outside the bucket limits {lowest} to {highest}; "
            "change the resolution or the limits."
        )
    area = resolution[0] * resolution[1]
    square = math.isqrt(area) // step * step
    buckets = {(square, square)}
    for width in range(lowest, highest + 1, step):
        height = min(highest, area // width // step * step)
        if height >= lowest:
            buckets |= {(width, height), (height, width)}
    return sorted(buckets)


def choose(image_size: Size, rule: BucketRule) -> Fit:
    """The bucket of one picture of image_size (width, height, after EXIF orientation).

    Raises UserError if the picture has a side below the step and the rule never enlarges pictures.
    """
    fits = assign(np.array([image_size]), rule)
    if fits.too_small[0]:
        raise UserError(
            f"A picture of {_show(image_size)} pixels is too small for buckets in steps of {rule.step} pixels that "
            "never enlarge pictures; remove it or use a rule that enlarges."
        )
    return fits[0]


def assign(sizes: ArrayLike, rule: BucketRule) -> Fits:
    """The buckets of many pictures at once: sizes [N, 2] are widths and heights, the answer has the same order."""
    table = np.asarray(sizes, dtype=np.int64).reshape(-1, 2)
    assert (table > 0).all(), "a picture has at least one pixel"
    bucket, scaled = _RULES[rule.kind](table, rule)
    too_small = np.any(bucket <= 0, axis=1)
    bucket[too_small] = 0
    scaled[too_small] = 0
    return Fits(bucket, scaled, (scaled - bucket) // 2, too_small)


def counts_per_bucket(fits: Fits, repeats: ArrayLike | None = None) -> dict[Size, int]:
    """How many samples an epoch has in each bucket, sorted by bucket; repeats [N] counts pictures more than once.

    Pictures that are too small for the rule are not counted.
    """
    weights = np.ones(len(fits), dtype=np.int64) if repeats is None else np.asarray(repeats, dtype=np.int64)
    usable = ~fits.too_small
    buckets, positions = np.unique(fits.bucket[usable], axis=0, return_inverse=True)
    counts = np.zeros(len(buckets), dtype=np.int64)
    np.add.at(counts, positions.reshape(-1), weights[usable])
    return {_pair(bucket): int(count) for bucket, count in zip(buckets, counts, strict=True)}


def micro_batches_per_epoch(counts: Iterable[int], batch_size: int) -> int:
    """Batches of one epoch, given the samples of each bucket; the short last batch of a bucket counts as one."""
    return sum(-(-count // batch_size) for count in counts)


def steps_per_epoch(counts: Iterable[int], batch_size: int, processes: int = 1, accumulation: int = 1) -> int:
    """Optimizer steps of one epoch (kohya's arithmetic): the short last step counts as one."""
    return -(-micro_batches_per_epoch(counts, batch_size) // (processes * accumulation))


def size_conditioning(original: Size, fit: Fit, flip: bool = False) -> tuple[int, int, int, int, int, int]:
    """The six numbers that some models are told: original height, width, crop top, left, target height, width.

    original: the picture's (width, height) on disk. The crop is where the bucket was really cut out of the scaled
    picture; a flipped picture has it measured from the mirrored edge, since cutting and mirroring is the same as
    mirroring and cutting there.
    Source: Podell et al. 2023 (arXiv 2307.01952), section 2.2, micro-conditioning.
    """
    left, top = fit.crop
    if flip:
        left = fit.scaled[0] - fit.bucket[0] - left
    return (original[1], original[0], top, left, fit.bucket[1], fit.bucket[0])


def _kohya(sizes: _Sizes, rule: BucketRule) -> tuple[_Sizes, _Sizes]:
    """The bucket with the nearest aspect ratio, the first of equals.

    kohya looks for a bucket of exactly the picture's size before; it is the nearest anyway, since no two buckets of a
    list have the same aspect ratio: the smaller one would not be the largest that keeps to the area and the limits.
    """
    buckets = _bucket_table(rule.resolution, rule.minimum, rule.maximum, rule.step)
    ratios, aspect = buckets[:, 0] / buckets[:, 1], sizes[:, 0] / sizes[:, 1]
    order = np.argsort(ratios)
    above = np.searchsorted(ratios[order], aspect).clip(1, max(1, len(order) - 1)).clip(max=len(order) - 1)
    lower, upper = order[np.maximum(above - 1, 0)], order[above]
    low, high = np.abs(ratios[lower] - aspect), np.abs(ratios[upper] - aspect)
    chosen = np.where((low < high) | ((low == high) & (lower < upper)), lower, upper)
    bucket = buckets[chosen]
    return bucket, _cover(sizes, bucket)


def _kohya_no_upscale(sizes: _Sizes, rule: BucketRule) -> tuple[_Sizes, _Sizes]:
    """Pictures above the area shrink to it, one side on the step; then both sides are rounded down to the step."""
    area, step = rule.resolution[0] * rule.resolution[1], rule.step
    aspect = sizes[:, 0] / sizes[:, 1]
    ideal_width = np.sqrt(area * aspect)
    # Either the width or the height falls on the step; the other follows from the aspect ratio.
    width = _round_down(ideal_width, step)
    height = _round_down(area / ideal_width, step)
    error_by_width = _ratio_error(width, _round_down(width / aspect, step), aspect)
    error_by_height = _ratio_error(_round_down(height * aspect, step), height, aspect)
    by_width = np.stack([width, _round_half_up(width / aspect)], axis=1)
    by_height = np.stack([_round_half_up(height * aspect), height], axis=1)
    shrunk = np.where((error_by_width < error_by_height)[:, None], by_width, by_height)
    scaled = np.where((sizes[:, 0] * sizes[:, 1] > area)[:, None], shrunk, sizes)
    return scaled // step * step, scaled


def _aitoolkit(sizes: _Sizes, rule: BucketRule) -> tuple[_Sizes, _Sizes]:
    """Of the four ways to round the ideal sides to the step: the one whose area is nearest to the ideal area.

    ai-toolkit only bounds the area; here a bucket is also never wider or higher than the picture, so that nothing is
    ever enlarged. If none is left, both sides are rounded down, but not below one step.
    """
    limit, step = rule.resolution[0] * rule.resolution[1], rule.step
    area = sizes[:, 0] * sizes[:, 1]
    target = np.minimum(area, limit)
    ideal = sizes * np.sqrt(target / area)[:, None] / step
    down, up = np.floor(ideal).astype(np.int64), np.ceil(ideal).astype(np.int64)
    bucket = np.maximum(down, 1) * step
    best = np.full(len(sizes), np.inf)
    for horizontal, vertical in ((down, down), (down, up), (up, down), (up, up)):
        candidate = np.stack([horizontal[:, 0], vertical[:, 1]], axis=1) * step
        candidate_area = candidate[:, 0] * candidate[:, 1]
        allowed = (candidate_area > 0) & (candidate_area <= limit) & np.all(candidate <= sizes, axis=1)
        distance = np.where(allowed, np.abs(candidate_area - target), np.inf)
        bucket = np.where((distance < best)[:, None], candidate, bucket)
        best = np.minimum(best, distance)
    bucket = np.where(np.any(sizes < step, axis=1)[:, None], 0, bucket)
    return bucket, _cover(sizes, bucket)


def _off(sizes: _Sizes, rule: BucketRule) -> tuple[_Sizes, _Sizes]:
    """Every picture goes into one bucket of the resolution."""
    bucket = np.broadcast_to(np.array(rule.resolution, dtype=np.int64), sizes.shape).copy()
    return bucket, _cover(sizes, bucket)


_RULES: dict[RuleKind, Callable[[_Sizes, BucketRule], tuple[_Sizes, _Sizes]]] = {
    "kohya": _kohya,
    "kohya_no_upscale": _kohya_no_upscale,
    "aitoolkit": _aitoolkit,
    "off": _off,
}


@lru_cache(maxsize=64)
def _bucket_table(resolution: Size, minimum: int, maximum: int, step: int) -> _Sizes:
    return np.array(kohya_buckets(resolution, minimum, maximum, step), dtype=np.int64)


def _cover(sizes: _Sizes, bucket: _Sizes) -> _Sizes:
    """The sizes that keep the aspect ratio and cover the buckets: the side that is relatively shorter fits exactly."""
    width, height = sizes[:, 0], sizes[:, 1]
    wider = width * bucket[:, 1] > bucket[:, 0] * height
    by_height = np.stack([_round_half_up(width * (bucket[:, 1] / height)), bucket[:, 1]], axis=1)
    by_width = np.stack([bucket[:, 0], _round_half_up(height * (bucket[:, 0] / width))], axis=1)
    return np.where(wider[:, None], by_height, by_width)


def _round_half_up(values: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.floor(values + 0.5).astype(np.int64)


def _round_down(values: NDArray[np.float64], step: int) -> NDArray[np.int64]:
    """To the whole pixel first, then down to the step, as kohya does."""
    return _round_half_up(values) // step * step


def _ratio_error(
    width: NDArray[np.int64], height: NDArray[np.int64], aspect: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How far width / height is from the wished aspect ratio; infinite where a side is 0."""
    ratio = width / np.maximum(height, 1)
    return np.where((width > 0) & (height > 0), np.abs(ratio - aspect), np.inf)


def _pair(row: NDArray[np.int64]) -> Size:
    return int(row[0]), int(row[1])


def _show(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
