"""The ways to see a picture: mirrored or not, and cut, zoomed and coloured at random.

A picture has `augmentation.variants` fixed variants, functions of (seed, picture, number), so that each can be encoded
once; a use picks one by (step, slot). With variants left empty every use draws for itself. Mirroring is drawn in every
use and multiplies the variants by two.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from loratory.config.dataset import AugmentationConfig
from loratory.data.buckets import Fit, enlarged
from loratory.planner import Sample
from loratory.training.colours import ColourChange, draw_colours
from loratory.training.randomness import stream

Draw = Callable[[str], np.random.Generator]
"""The stream of this name."""


@dataclass(frozen=True)
class View:
    """One way to see a picture; nothing in it is random any more."""

    fit: Fit
    """To which size it is resized, and where the bucket is cut out of it."""
    flip: bool = False
    colours: ColourChange | None = None
    pipeline_seed: int | None = None
    """What `augmentation.pipeline` does; None where there is none."""


def pick_view(seed: int, augmentation: AugmentationConfig, sample: Sample, step: int, slot: int) -> View:
    """How a picture is seen in this place."""
    flip = augmentation.flip and bool(stream(seed, "flip", step, slot).random() < 0.5)
    if not augmentation.varies():
        return View(sample.fit, flip)
    if augmentation.variants is None:
        return drawn(augmentation, sample, flip, lambda name: stream(seed, name, step, slot))
    number = int(stream(seed, "variant", step, slot).integers(augmentation.variants))
    return variant(seed, augmentation, sample, flip, number)


def variant(seed: int, augmentation: AugmentationConfig, sample: Sample, flip: bool, number: int) -> View:
    """The picture's variant of this number, counted from 0."""
    digest = hashlib.blake2b(sample.key.encode(), digest_size=16).hexdigest()
    return drawn(augmentation, sample, flip, lambda name: stream(seed, f"{name}/{digest}", number))


def every_view(seed: int, augmentation: AugmentationConfig, sample: Sample) -> list[View]:
    """All that `pick_view` can give, each once. Needs a number of variants where pictures vary."""
    flips = (False, True) if augmentation.flip else (False,)
    if not augmentation.varies():
        return [View(sample.fit, flip) for flip in flips]
    assert augmentation.variants is not None, "a rule has checked it"
    numbers = range(augmentation.variants)
    views = [variant(seed, augmentation, sample, flip, number) for number in numbers for flip in flips]
    return list(dict.fromkeys(views))


def drawn(augmentation: AugmentationConfig, sample: Sample, flip: bool, draw: Draw) -> View:
    """A view of a picture; each kind of change has a stream of its own."""
    fit = sample.fit
    if augmentation.zoom > 1:
        fit = enlarged(fit, 1 + (augmentation.zoom - 1) * draw("zoom").random())
    if augmentation.random_crop:
        left, top = draw("crop").integers(np.subtract(fit.scaled, fit.bucket) + 1)
        fit = dataclasses.replace(fit, crop=(int(left), int(top)))
    colours = draw_colours(draw("colour")) if augmentation.colour else None
    return View(fit, flip, colours, int(draw("pipeline").integers(2**63)) if augmentation.pipeline else None)
