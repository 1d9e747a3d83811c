"""Read the background's and the shape's colour from the pixels of a picture. No learning, no model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from loratory.demo.drawing import COLOURS, Scene, shade

NAMES = tuple(COLOURS)
_REFERENCES = np.array([[COLOURS[name], shade(COLOURS[name])] for name in NAMES], dtype=np.float32)

TOO_FAR = 80.0
"""A pixel farther than this (Euclidean distance in RGB, 0 to 255) from every reference has no colour name."""

FRAME = 5
"""Width of the border, in pixels, that is taken for the background. No drawn shape reaches into it far."""

FRAME_SHARE = 0.75
"""Share of the border's pixels that must have the background's colour."""

SHAPE_SHARE = 0.6
"""Share of the pixels inside the shape that must have its colour or the darker or lighter one of its pattern."""

LEAST_AREA = 0.005
"""Share of the picture below which what is not background is taken for noise."""


@dataclass(frozen=True)
class Reading:
    """Colour names seen in a picture; None where no colour prevails."""

    background: str | None
    colour: str | None


def pixel_names(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index into NAMES of every pixel, -1 for none: among the nine plain colours, and with their pattern shades too.

    `pixels` is (height, width, 3), values 0 to 255; both results are (height, width).
    """
    flat = pixels.reshape(-1, 3).astype(np.float32)
    references = _REFERENCES.reshape(-1, 3)
    squares = (flat**2).sum(axis=1)[:, None] - 2 * flat @ references.T + (references**2).sum(axis=1)
    distance = np.sqrt(np.maximum(squares, 0)).reshape(*pixels.shape[:2], len(NAMES), 2)
    plain, both = distance[..., 0], distance.min(axis=-1)
    return (
        np.where(plain.min(axis=-1) < TOO_FAR, plain.argmin(axis=-1), -1),
        np.where(both.min(axis=-1) < TOO_FAR, both.argmin(axis=-1), -1),
    )


def _prevailing(indices: np.ndarray, share: float) -> str | None:
    counts = np.bincount(indices[indices >= 0], minlength=len(NAMES))
    return NAMES[int(counts.argmax())] if counts.max() >= share * max(1, indices.size) else None


def read_colours(picture: Image.Image) -> Reading:
    """Background: the colour of the border. Shape: the colour of what differs from it, without its edge's pixels."""
    pixels = np.asarray(picture.convert("RGB"))
    plain, both = pixel_names(pixels)
    frame = np.ones(plain.shape, dtype=bool)
    frame[FRAME:-FRAME, FRAME:-FRAME] = False
    background = _prevailing(plain[frame], FRAME_SHARE)
    if background is None:
        return Reading(None, None)
    ground = np.median(pixels[frame & (plain == NAMES.index(background))], axis=0)
    differs = np.linalg.norm(pixels.astype(np.float32) - ground, axis=-1) > TOO_FAR / 2
    inside = differs.copy()
    for axis in (0, 1):
        for shift in (-1, 1):
            inside &= np.roll(differs, shift, axis=axis)
    if inside.mean() < LEAST_AREA:
        return Reading(background, None)
    return Reading(background, _prevailing(both[inside], SHAPE_SHARE))


def has_asked_colours(picture: Image.Image, scene: Scene) -> bool:
    return read_colours(picture) == Reading(scene.background, scene.colour)
