"""Buckets: lists, choices and step counts against the rules written out by hand, and what must hold for any picture."""

import math
from dataclasses import replace
from fractions import Fraction
from functools import cache

import numpy as np
import pytest

from loratory.data.buckets import (
    BucketRule,
    Fit,
    assign,
    choose,
    counts_per_bucket,
    kohya_buckets,
    micro_batches_per_epoch,
    size_conditioning,
    steps_per_epoch,
)
from loratory.errors import UserError

KOHYA_512 = [
    (256, 832), (256, 896), (256, 960), (256, 1024), (320, 704), (320, 768), (384, 640), (448, 576), (512, 512),
    (576, 448), (640, 384), (704, 320), (768, 320), (832, 256), (896, 256), (960, 256), (1024, 256),
]  # fmt: skip


@cache
def list_by_hand(resolution, minimum, maximum, step):
    while minimum % step:
        minimum -= 1
    while maximum % step:
        maximum += 1
    area = resolution[0] * resolution[1]
    sides = [side for side in range(step, maximum + 1, step) if side >= minimum]
    square = max(side for side in range(step, max(resolution) + step, step) if side * side <= area)
    found = {(square, square)}
    for width in sides:
        fitting = [height for height in sides if width * height <= area]
        if fitting:
            found.update([(width, max(fitting)), (max(fitting), width)])
    return sorted(found)


@pytest.mark.parametrize(
    ("resolution", "minimum", "maximum", "step"),
    [
        ((512, 512), 256, 1024, 64),
        ((768, 768), 256, 1024, 64),
        ((1024, 1024), 256, 1024, 64),
        ((1024, 1024), 256, 2048, 64),
        ((1024, 1024), 512, 2048, 32),
        ((128, 128), 64, 256, 64),
        ((128, 128), 64, 256, 32),
        ((768, 512), 256, 1024, 64),
        ((768, 512), 300, 1000, 64),
        ((1000, 1000), 333, 1777, 32),
        ((512, 512), 257, 1023, 32),
    ],
)
def test_kohya_list(resolution, minimum, maximum, step):
    buckets = kohya_buckets(resolution, minimum, maximum, step)
    assert buckets == list_by_hand(resolution, minimum, maximum, step)
    # So a picture of exactly a bucket's size finds it by the aspect ratio alone.
    assert len({Fraction(*bucket) for bucket in buckets}) == len(buckets)


def test_kohya_list_literally():
    assert kohya_buckets((512, 512), 256, 1024, 64) == KOHYA_512
    assert kohya_buckets((512, 512), 300, 1000, 64) == KOHYA_512, "300 is rounded down to 256 and 1000 up to 1024"
    large = kohya_buckets((1024, 1024), 512, 2048, 64)
    # 25 widths from 512 to 2048 give a bucket each. Turned, all are among them but those of the widths 1280, 1408,
    # 1536, 1664, 1728, 1856, 1920 and 1984, whose heights (768, 704, 640, 576, 512) have a larger partner as widths.
    assert {(1024, 1024), (1152, 896), (1216, 832), (1344, 768), (1536, 640), (2048, 512), (512, 2048)} <= set(large)
    assert len(large) == 33


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (("kohya", (512, 512), 576, 1024, 64), "outside the bucket limits 576 to 1024"),
        (("kohya", (2048, 512), 256, 1024, 64), "outside the bucket limits"),
        (("kohya", (512, 512), 32, 1024, 64), "at least one step"),
        (("kohya", (32, 32), 256, 1024, 64), "smaller than the bucket step"),
        (("aitoolkit", (512, 512), 256, 1024, 0), "at least 1"),
        (("square", (512, 512), 256, 1024, 64), "not a bucket rule"),
    ],
)
def test_impossible_rules_are_refused(values, words):
    with pytest.raises(UserError, match=words):
        BucketRule(*values)


@pytest.mark.parametrize(
    ("kind", "size", "fit"),
    [
        # 1920/1080 = 1.78; the nearest of the list is 640/384 = 1.67. Height fits: 1920 * 384/1080 = 682.67.
        ("kohya", (1920, 1080), Fit((640, 384), (683, 384), (21, 0))),
        ("kohya", (1080, 1920), Fit((384, 640), (384, 683), (0, 21))),
        ("kohya", (100, 100), Fit((512, 512), (512, 512), (0, 0))),
        # 320/704 and 320/768 are both listed.
        ("kohya", (320, 768), Fit((320, 768), (320, 768), (0, 0))),
        # Ideal 682.67 x 384. By width 640 x 320 (ratio 2.0), by height 640 x 384 (1.67): the height wins.
        ("kohya_no_upscale", (1920, 1080), Fit((640, 384), (683, 384), (21, 0))),
        ("kohya_no_upscale", (500, 300), Fit((448, 256), (500, 300), (26, 22))),
        ("kohya_no_upscale", (512, 512), Fit((512, 512), (512, 512), (0, 0))),
        # Ideal 10.67 x 6 steps; 11 x 6 would be above the area, so 10 x 6.
        ("aitoolkit", (1920, 1080), Fit((640, 384), (683, 384), (21, 0))),
        # Ideal 7.8 x 4.7 steps = 150000 pixels. 7 x 5 is 143360 but higher than the picture; 7 x 4 is left.
        ("aitoolkit", (500, 300), Fit((448, 256), (448, 269), (0, 6))),
        # Ideal 80 x 0.8 steps; 80 x 1 is above the area but no side may vanish.
        ("aitoolkit", (10000, 100), Fit((5120, 64), (6400, 64), (640, 0))),
        ("off", (1920, 1080), Fit((512, 512), (910, 512), (199, 0))),
        # 1025 / 2 = 512.5 is rounded up.
        ("off", (1024, 1025), Fit((512, 512), (512, 513), (0, 0))),
        ("off", (300, 600), Fit((512, 512), (512, 1024), (0, 256))),
    ],
)
def test_choice_literally(kind, size, fit):
    assert choose(size, BucketRule(kind, (512, 512))) == fit


def nearest_by_hand(size, rule):
    buckets = list_by_hand(rule.resolution, rule.minimum, rule.maximum, rule.step)
    if size in buckets:
        return size
    return min(buckets, key=lambda bucket: (abs(bucket[0] / bucket[1] - size[0] / size[1]), bucket))


def no_upscale_by_hand(size, rule):
    """The scaled size; None where one side vanishes."""
    area, aspect = rule.resolution[0] * rule.resolution[1], size[0] / size[1]
    if size[0] * size[1] <= area:
        return size
    ideal = math.sqrt(area * aspect)

    def down(value):
        return int(value + 0.5) - int(value + 0.5) % rule.step

    def error(width, height):
        return abs(width / height - aspect) if width and height else math.inf

    width, height = down(ideal), down(area / ideal)
    if error(width, down(width / aspect)) < error(down(height * aspect), height):
        return width, int(width / aspect + 0.5)
    return int(height * aspect + 0.5), height


def aitoolkit_by_hand(size, rule):
    limit, step = rule.resolution[0] * rule.resolution[1], rule.step
    if min(size) < step:
        return 0, 0
    target = min(limit, size[0] * size[1])
    factor = math.sqrt(target / (size[0] * size[1]))
    ideal = [side * factor / step for side in size]
    options = [
        (across * step, along * step)
        for across in sorted({math.floor(ideal[0]), math.ceil(ideal[0])})
        for along in sorted({math.floor(ideal[1]), math.ceil(ideal[1])})
    ]
    options = [
        (w, h) for w, h in options if w and h and w * h <= limit and w <= size[0] and h <= size[1]
    ]  # fmt: skip
    if options:
        return min(options, key=lambda option: abs(option[0] * option[1] - target))
    return max(1, math.floor(ideal[0])) * step, max(1, math.floor(ideal[1])) * step


RULES = [
    BucketRule(kind, resolution, minimum, maximum, step)
    for kind in ("kohya", "kohya_no_upscale", "aitoolkit", "off")
    for resolution, minimum, maximum, step in [
        ((512, 512), 256, 1024, 64), ((1024, 1024), 256, 2048, 32),
        ((128, 128), 64, 256, 64), ((768, 512), 300, 900, 64),
    ]
]  # fmt: skip


def some_sizes():
    random = np.random.default_rng(5)
    wild = np.exp(random.uniform(np.log(1), np.log(9000), (700, 2))).astype(int) + 1
    usual = random.integers(200, 2500, (700, 2))
    exact = np.array([(w, h) for w in range(64, 1100, 64) for h in range(64, 1100, 64)])
    return np.concatenate([wild, usual, exact, exact + 1, [(1, 1), (1, 9999), (9999, 1), (640, 360)]])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.kind}-{rule.resolution[0]}x{rule.resolution[1]}")
def test_choices_and_what_must_hold_for_any_picture(rule):
    sizes = some_sizes()
    fits = assign(sizes, rule)
    assert len(fits) == len(sizes)
    for index, size in enumerate(map(tuple, sizes.tolist())):
        if rule.kind == "kohya":
            assert fits[index].bucket == nearest_by_hand(size, rule), size
        elif rule.kind == "kohya_no_upscale":
            scaled = no_upscale_by_hand(size, rule)
            bucket = tuple(side - side % rule.step for side in scaled)
            assert fits.too_small[index] == (0 in bucket), size
            assert 0 in bucket or (fits[index].scaled, fits[index].bucket) == (scaled, bucket), size
        elif rule.kind == "aitoolkit":
            assert fits[index].bucket == aitoolkit_by_hand(size, rule), size
        else:
            assert fits[index].bucket == rule.resolution
    used = ~fits.too_small
    bucket, scaled, crop = fits.bucket[used], fits.scaled[used], fits.crop[used]
    assert (scaled >= bucket).all(), "the scaled picture covers its bucket"
    assert (crop >= 0).all()
    assert (crop + bucket <= scaled).all()
    # One side of the margin is at most one pixel wider than the other.
    assert (np.abs((scaled - bucket - crop) - crop) <= 1).all()
    if rule.kind != "off":
        assert (bucket % rule.step == 0).all()
    if rule.kind in {"kohya_no_upscale", "aitoolkit"}:
        assert (scaled <= sizes[used]).all(), "never enlarged"
        assert fits.too_small[(sizes < rule.step).any(axis=1)].all()
    else:
        assert not fits.too_small.any()
    if rule.kind == "kohya":
        assert bucket.max() <= -(-rule.maximum // rule.step) * rule.step
        assert bucket.min() >= rule.minimum // rule.step * rule.step


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.kind}-{rule.resolution[0]}x{rule.resolution[1]}")
def test_the_aspect_ratio_is_kept_within_a_pixel(rule):
    sizes = some_sizes()
    fits = assign(sizes, rule)
    for index in np.flatnonzero(~fits.too_small):
        width, height = map(int, sizes[index])
        scaled = fits[int(index)].scaled
        # One side is exact, the other rounded to the nearest pixel; "no upscale" may be off by half a pixel more.
        by_width = abs(Fraction(scaled[0] * height, width) - scaled[1])
        by_height = abs(Fraction(scaled[1] * width, height) - scaled[0])
        assert min(by_width, by_height) <= Fraction(501, 1000), (sizes[index], scaled)


def test_pictures_that_are_too_small_have_one_clear_error():
    for kind in ("kohya_no_upscale", "aitoolkit"):
        with pytest.raises(UserError, match=r"63x500 pixels is too small .* 64 pixels .* remove it"):
            choose((63, 500), BucketRule(kind, (512, 512)))
    fits = assign([(63, 500), (640, 640)], BucketRule("aitoolkit", (512, 512)))
    assert fits.too_small.tolist() == [True, False]
    assert counts_per_bucket(fits) == {(512, 512): 1}


def test_no_pictures_at_all():
    fits = assign(np.empty((0, 2)), BucketRule("kohya", (512, 512)))
    assert len(fits) == 0
    assert counts_per_bucket(fits) == {}


def test_epoch_arithmetic():
    sizes = [(512, 512)] * 5 + [(1920, 1080)] * 3 + [(600, 600)] * 2
    fits = assign(sizes, BucketRule("kohya", (512, 512)))
    counts = counts_per_bucket(fits, [1, 1, 1, 1, 1, 10, 10, 10, 4, 4])
    assert counts == {(512, 512): 13, (640, 384): 30}
    assert counts_per_bucket(fits) == {(512, 512): 7, (640, 384): 3}
    # ceil(13/4) = 4 and ceil(30/4) = 8 batches; 12 batches over 2 processes x 5 micro-batches need 2 steps.
    assert micro_batches_per_epoch(counts.values(), 4) == 12
    assert steps_per_epoch(counts.values(), 4) == 12
    assert steps_per_epoch(counts.values(), 4, processes=2, accumulation=5) == 2
    assert steps_per_epoch(counts.values(), 1, processes=2) == 22
    assert steps_per_epoch([], 4) == 0


def test_size_conditioning():
    fit = choose((1920, 1080), BucketRule("kohya", (512, 512)))
    assert size_conditioning((1920, 1080), fit) == (1080, 1920, 0, 21, 384, 640)
    # 683 - 640 leaves 43 columns: 21 left of the window, 22 right of it, which is left of the mirrored window.
    assert size_conditioning((1920, 1080), fit, flip=True) == (1080, 1920, 0, 22, 384, 640)
    aside = replace(fit, crop=(5, 0))
    assert size_conditioning((1920, 1080), aside) == (1080, 1920, 0, 5, 384, 640)
    assert size_conditioning((1920, 1080), aside, flip=True) == (1080, 1920, 0, 38, 384, 640)
