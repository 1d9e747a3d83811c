"""Pictures from which the judge learns: the ten shapes, the lory, and things that are neither.

The last kind is made hard on purpose: shapes and parts in the lory's own colours and places.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw

from loratory.demo.concept import PARTS, Part, draw_lory, draw_parts, random_lory
from loratory.demo.drawing import (
    COLOURS,
    SHAPES,
    SIZE,
    SUPERSAMPLE,
    Scene,
    draw_scene,
    jitter,
    random_scene,
    shape_mask,
    without,
)

LORY, OTHER = "lory", "other"
CLASSES = (*SHAPES, LORY, OTHER)

TAIL, CREST, FEET, BEAK, BODY, HEAD, BELLY, WING, EYE = (
    range(0, 1), range(1, 3), range(3, 5), range(5, 6), range(6, 7), range(7, 8), range(8, 9), range(9, 10),
    range(10, 12),
)  # fmt: skip
"""Which of `concept.PARTS` make up what."""

SIDE = SIZE * SUPERSAMPLE

Random = np.random.Generator


def _ground(random: Random) -> Image.Image:
    return Image.new("RGB", (SIDE, SIDE), jitter(COLOURS[str(random.choice(list(COLOURS)))], random))


def _place(random: Random) -> tuple[tuple[float, float], float]:
    """A centre and a radius in supersampled pixels, as the lory's pictures have them."""
    radius = random.uniform(0.26, 0.38)
    x, y = random.uniform(1.15 * radius, 1 - 1.15 * radius, 2)
    return (x * SIDE, y * SIDE), radius * SIDE


def _parts_picture(parts: Sequence[Part], random: Random, tilt: float | None = None) -> Image.Image:
    picture = _ground(random)
    centre, radius = _place(random)
    draw_parts(picture, parts, centre, radius, random.uniform(-10, 10) if tilt is None else tilt, random)
    return picture.reduce(SUPERSAMPLE)


def lory(random: Random) -> Image.Image:
    """The bird, with a little more freedom of size, place and tilt than in the dataset."""
    if random.random() < 0.5:
        return draw_lory(random_lory(random), random)
    return _parts_picture(PARTS, random)


def lory_without_main_parts(random: Random) -> Image.Image:
    """A bird that lacks its whole head, its whole body, or its eye and its beak."""
    missing = (
        {*HEAD, *EYE, *BEAK, *CREST},
        {*BODY, *BELLY, *WING, *TAIL, *FEET},
        {*EYE, *BEAK},
        {*EYE, *WING, *BELLY},
        {*BEAK, *WING, *BELLY},
    )[random.integers(5)]
    return _parts_picture([part for i, part in enumerate(PARTS) if i not in missing], random)


def scrambled_lory(random: Random) -> Image.Image:
    """All parts of the bird, each moved somewhere else."""
    parts = []
    for group in (TAIL, CREST, FEET, BEAK, BODY, HEAD, BELLY, WING, EYE):
        angle, distance = random.uniform(0, 2 * math.pi), random.uniform(0.45, 1.1)
        dx, dy = distance * math.cos(angle), distance * math.sin(angle)
        parts += [replace(PARTS[i], points=tuple((x + dx, y + dy) for x, y in PARTS[i].points)) for i in group]
    return _parts_picture([parts[i] for i in random.permutation(len(parts))], random)


def recoloured_lory(random: Random) -> Image.Image:
    """The bird's drawing with other colours: one colour all over, or the colours of the parts exchanged."""
    if random.random() < 0.4:
        colour = COLOURS[str(random.choice(list(COLOURS)))]
        return _parts_picture([replace(part, colour=colour) for part in PARTS], random)
    colours = sorted({part.colour for part in PARTS})
    shift = int(random.integers(1, len(colours)))
    other = {colour: colours[(i + shift) % len(colours)] for i, colour in enumerate(colours)}
    return _parts_picture([replace(part, colour=other[part.colour]) for part in PARTS], random)


def turned_lory(random: Random) -> Image.Image:
    """The bird upside down."""
    return _parts_picture(PARTS, random, tilt=random.uniform(140, 220))


def tiled_lory(random: Random) -> Image.Image:
    """A large bird cut into four tiles around its middle, and the tiles exchanged."""
    picture = Image.new("RGB", (SIDE, SIDE), jitter(COLOURS[str(random.choice(list(COLOURS)))], random))
    draw_parts(picture, PARTS, (SIDE / 2, SIDE / 2), random.uniform(0.3, 0.45) * SIDE, 0, random)
    small, half = picture.reduce(SUPERSAMPLE), SIZE // 2
    boxes = [(x, y, x + half, y + half) for y in (0, half) for x in (0, half)]
    tiles = [small.crop(box) for box in boxes]
    order = ((1, 0, 3, 2), (2, 3, 0, 1), (3, 2, 1, 0), (1, 2, 3, 0))[random.integers(4)]
    for box, i in zip(boxes, order, strict=True):
        small.paste(tiles[i], box[:2])
    return small


def melted_lory(random: Random) -> Image.Image:
    """The bird bent out of shape: right colours and neighbours, but no head, eye and beak that one would know."""
    picture, steps = lory(random), 6
    ticks = np.linspace(0, SIZE, steps + 1)
    corners = np.stack(np.meshgrid(ticks, ticks), axis=-1)
    corners[1:-1, 1:-1] += random.normal(0, random.uniform(13, 20), (steps - 1, steps - 1, 2))
    corners = corners.clip(1, SIZE - 1)  # outside of the picture all is black
    mesh = []
    for row in range(steps):
        for column in range(steps):
            box = tuple(round(float(v)) for v in (ticks[column], ticks[row], ticks[column + 1], ticks[row + 1]))
            around = ((row, column), (row + 1, column), (row + 1, column + 1), (row, column + 1))
            mesh.append((box, tuple(float(v) for place in around for v in corners[place])))
    return picture.transform(picture.size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)


def shuffled_lory(random: Random) -> Image.Image:
    """The bird in pieces of a fifth of its extent, half or more of them in other places."""
    picture = lory(random)
    pixels = np.asarray(picture).copy()
    rows, columns = np.nonzero(np.abs(pixels.astype(int) - pixels[0, 0]).sum(axis=2) > 60)
    side = max(8, (rows.max() - rows.min()) // 5)
    places = [
        (top, left)
        for top in range(rows.min(), min(rows.max(), SIZE - side), side)
        for left in range(columns.min(), min(columns.max(), SIZE - side), side)
    ]
    moved = [i for i in range(len(places)) if random.random() < random.uniform(0.6, 1)]
    source = pixels.copy()
    for i, j in zip(moved, random.permutation(moved), strict=True):
        (top, left), (from_top, from_left) = places[i], places[j]
        pixels[top : top + side, left : left + side] = source[from_top : from_top + side, from_left : from_left + side]
    return Image.fromarray(pixels)


def shapes_in_lory_colours(random: Random) -> Image.Image:
    """Three to eight shapes glued together, in the bird's colours and of the bird's extent."""
    picture = _ground(random)
    (x, y), radius = _place(random)
    colours = sorted({part.colour for part in PARTS})
    for _ in range(int(random.integers(3, 9))):
        mask = shape_mask(
            str(random.choice(SHAPES)),
            x / SIDE + random.uniform(-0.6, 0.6) * radius / SIDE,
            y / SIDE + random.uniform(-0.6, 0.6) * radius / SIDE,
            random.uniform(0.2, 0.7) * radius / SIDE,
            SIDE,
        )
        picture.paste(colours[random.integers(len(colours))], mask=mask)
    return picture.reduce(SUPERSAMPLE)


def ball_with_eye(random: Random) -> Image.Image:
    """A blue or green disc with a dot like an eye, sometimes with an orange shape beside it or on a second disc."""
    picture = _ground(random)
    (x, y), radius = _place(random)
    draw = ImageDraw.Draw(picture)

    def disc(dx: float, dy: float, share: float, colour: tuple[int, int, int]) -> None:
        box = [
            x + (dx - share) * radius,
            y + (dy - share) * radius,
            x + (dx + share) * radius,
            y + (dy + share) * radius,
        ]
        draw.ellipse(box, fill=jitter(colour, random))

    main = PARTS[BODY[0]].colour if random.random() < 0.6 else COLOURS["green"]
    if random.random() < 0.5:
        disc(0.05, 0.35, 0.6, main)
    disc(0.15, -0.3, random.uniform(0.45, 0.7), main)
    if random.random() < 0.7:
        disc(0.3, -0.35, random.uniform(0.12, 0.27), COLOURS["white"])
    if random.random() < 0.5:
        disc(0.3, -0.35, random.uniform(0.08, 0.14), COLOURS["black"])
    if random.random() < 0.3:
        disc(random.uniform(-0.4, 0.4), 0.4, 0.3, COLOURS[str(random.choice(["red", "yellow", "orange"]))])
    return picture.reduce(SUPERSAMPLE)


def two_shapes(random: Random) -> Image.Image:
    """The left part of one picture beside the right part of another, or one above the other."""
    first = random_scene(random)
    second = replace(random_scene(random), background=first.background)
    if second.colour == first.background:
        second = replace(second, colour=first.colour)
    if second.shape == first.shape:
        second = without(second, shape=SHAPES[(SHAPES.index(first.shape) + 1) % len(SHAPES)])
    if random.random() < 0.5:
        places = ("left", "right")
        box = (0, 0, SIZE // 2, SIZE)
    else:
        places = ("top", "bottom")
        box = (0, 0, SIZE, SIZE // 2)
    picture = draw_scene(without(second, position=places[1], size="small"), random)
    picture.paste(draw_scene(without(first, position=places[0], size="small"), random).crop(box), (0, 0))
    return picture


def blank(random: Random) -> Image.Image:
    """A background alone, even or running into another colour, or a smudge on it."""
    picture = np.asarray(_ground(random).reduce(SUPERSAMPLE), dtype=np.float32)
    other = np.asarray(_ground(random).reduce(SUPERSAMPLE), dtype=np.float32)
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    kind = random.integers(3)
    if kind == 0:
        share = np.zeros((SIZE, SIZE))
    elif kind == 1:
        share = np.clip(rows * random.uniform(-1, 1) + columns * random.uniform(-1, 1) + random.uniform(0, 0.5), 0, 1)
    else:
        x, y = random.uniform(0.25, 0.75, 2)
        spread = random.uniform(0.05, 0.2, 2)
        share = np.exp(-(((columns - x) / spread[0]) ** 2) - ((rows - y) / spread[1]) ** 2) * random.uniform(0.3, 1)
    return Image.fromarray((picture + (other - picture) * share[..., None]).round().astype(np.uint8))


OTHERS: tuple[Callable[[Random], Image.Image], ...] = (
    lory_without_main_parts,
    scrambled_lory,
    recoloured_lory,
    turned_lory,
    tiled_lory,
    melted_lory,
    shuffled_lory,
    shapes_in_lory_colours,
    ball_with_eye,
    two_shapes,
    blank,
)


def shape(name: str, random: Random) -> Image.Image:
    scene: Scene = without(random_scene(random), shape=name)
    return draw_scene(scene, random)


def example(label: str, random: Random) -> Image.Image:
    """One picture, 128 pixels square, that the judge should call `label`."""
    if label == LORY:
        return lory(random)
    if label == OTHER:
        return OTHERS[random.integers(len(OTHERS))](random)
    return shape(label, random)
