"""Draw the lory, a small parrot that the bundled model has never seen, and make the demo dataset of it.

"lory" is one token of the bundled tokenizer that no training caption used. The twelve pictures show it on five of
the nine backgrounds; the other four tell whether a LoRA learned the bird or only the pictures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from loratory.demo.drawing import (
    COLOURS,
    POSITIONS,
    SIZE,
    SUPERSAMPLE,
    Point,
    caption,
    draw_scene,
    jitter,
    training_scene,
)
from loratory.demo.grid import write_png
from loratory.files import write_text

WORD = "lory"
"""The word that captions use for the bird."""

TRAINING_BACKGROUNDS = ("yellow", "pink", "white", "blue", "black")
"""Backgrounds of the dataset's pictures."""

UNSEEN_BACKGROUNDS = tuple(name for name in COLOURS if name not in TRAINING_BACKGROUNDS)
"""Backgrounds on which the dataset never shows the lory: red, orange, green and purple."""

LORY_SIZES = {"medium": 0.285, "large": 0.35}
"""Half the bird's extent, as a share of the picture's side. In a smaller bird the eye would not fill one latent."""

DATASET_SIZE = 12
ORDINARY_SIZE = 96


@dataclass(frozen=True)
class LoryScene:
    """One picture of the lory. Every field is a word the captions use."""

    background: str
    size: str = "medium"
    position: str = "center"


@dataclass(frozen=True)
class Part:
    """A filled polygon of the bird, in units of half its extent, y downwards."""

    points: tuple[Point, ...]
    colour: tuple[int, int, int]
    outlined: bool = True


def _oval(x: float, y: float, width: float, height: float, turn: float = 0.0, corners: int = 48) -> tuple[Point, ...]:
    """An ellipse as a polygon; width and height are half axes, `turn` is in degrees, clockwise."""
    c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    points = []
    for i in range(corners):
        angle = 2 * math.pi * i / corners
        dx, dy = width * math.cos(angle), height * math.sin(angle)
        points.append((x + c * dx - s * dy, y + s * dx + c * dy))
    return tuple(points)


def _leaf(x: float, y: float, length: float, width: float, turn: float) -> tuple[Point, ...]:
    """A feather: round at (x, y), pointed at its far end; `turn` 0 points right, 90 points down."""
    c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    points = []
    for i in range(49):
        angle = math.pi / 2 + math.pi * i / 48
        points.append((width * math.cos(angle), width * math.sin(angle)))
    side = [(2 * t * (1 - t) * 0.62 * length + t * t * length, width * (1 - t * t)) for t in np.linspace(0.1, 1, 10)]
    points += [(dx, -dy) for dx, dy in side] + side[-2::-1]
    return tuple((x + c * dx - s * dy, y + s * dx + c * dy) for dx, dy in points)


_BODY, _WING, _BELLY, _TAIL, _BEAK = (COLOURS[name] for name in ("blue", "red", "yellow", "green", "orange"))

LINE = 0.2
"""Width of the outline, half of which shows, in units of the bird's half extent. It keeps the bird readable on every
background; a thinner one does not survive the autoencoder."""

PARTS = (
    Part(_leaf(-0.40, 0.46, 0.60, 0.24, 158), _TAIL),
    Part(_leaf(0.00, -0.58, 0.44, 0.17, 208), _WING),
    Part(_leaf(0.12, -0.60, 0.38, 0.18, 256), _WING),
    Part(_oval(-0.04, 0.88, 0.18, 0.11), _BEAK),
    Part(_oval(0.32, 0.88, 0.18, 0.11), _BEAK),
    Part(_leaf(0.64, -0.28, 0.44, 0.27, 48), _BEAK),
    Part(_oval(0.02, 0.32, 0.62, 0.60, 14), _BODY),
    Part(_oval(0.18, -0.30, 0.58, 0.54), _BODY),
    Part(_oval(0.36, 0.42, 0.27, 0.36, 8), _BELLY, outlined=False),
    Part(_leaf(-0.14, 0.24, 0.62, 0.34, 122), _WING, outlined=False),
    Part(_oval(0.36, -0.34, 0.29, 0.29), COLOURS["white"], outlined=False),
    Part(_oval(0.40, -0.33, 0.19, 0.19), COLOURS["black"], outlined=False),
)
"""The bird, back to front, looking right."""


def random_lory(random: np.random.Generator, backgrounds: tuple[str, ...] = tuple(COLOURS)) -> LoryScene:
    """A lory of random size and position on one of `backgrounds`."""
    return LoryScene(
        background=str(random.choice(backgrounds)),
        size=str(random.choice(list(LORY_SIZES))),
        position=str(random.choice(list(POSITIONS))),
    )


def lory_caption(scene: LoryScene, wording: int = 0) -> str:
    """Describe a picture of the lory in one of the bundled model's four wordings (see `drawing.caption`)."""
    subject = WORD if scene.size == "medium" else f"{scene.size} {WORD}"
    place = " in the center" if scene.position == "center" else f" at the {scene.position}"
    return (
        f"a {subject}{place} on a {scene.background} background",
        f"{subject}{place}, {scene.background} background",
        f"a picture of a {subject}{place} on {scene.background}",
        f"{scene.background} background, a {subject}{place}",
    )[wording % 4]


def draw_parts(
    picture: Image.Image,
    parts: Sequence[Part],
    centre: Point,
    radius: float,
    tilt: float,
    random: np.random.Generator,
) -> None:
    """Draw parts onto a picture: outlines first, then fillings.

    Centre and radius (half the bird's extent) in pixels, tilt in degrees, clockwise.
    """
    c, s = math.cos(math.radians(tilt)) * radius, math.sin(math.radians(tilt)) * radius
    x, y = centre
    draw = ImageDraw.Draw(picture)
    polygons = [[(x + c * px - s * py, y + s * px + c * py) for px, py in part.points] for part in parts]
    for points, part in zip(polygons, parts, strict=True):
        if part.outlined:
            draw.line([*points, points[0], points[1]], fill=COLOURS["black"], width=round(LINE * radius), joint="curve")
    for points, part in zip(polygons, parts, strict=True):
        draw.polygon(points, fill=jitter(part.colour, random, 5))


def draw_lory(scene: LoryScene, random: np.random.Generator, size: int = SIZE) -> Image.Image:
    """Draw the lory as an RGB picture of `size` × `size` pixels; `random` moves, tilts and tints it slightly."""
    side = size * SUPERSAMPLE
    picture = Image.new("RGB", (side, side), jitter(COLOURS[scene.background], random))
    radius = LORY_SIZES[scene.size] * random.uniform(0.95, 1.05)
    # Outline and tilt reach a little beyond the bird's extent.
    reach = 0.475 - 1.15 * radius
    x, y = (0.5 + step * reach + random.uniform(-0.015, 0.015) for step in POSITIONS[scene.position])
    draw_parts(picture, PARTS, (x * side, y * side), radius * side, random.uniform(-6, 6), random)
    return picture.reduce(SUPERSAMPLE)


def dataset_scenes(random: np.random.Generator) -> list[LoryScene]:
    """Twelve scenes in random order: every position occurs in both sizes, no position twice on one background."""
    positions, sizes = list(POSITIONS), list(LORY_SIZES)
    scenes = [
        LoryScene(
            background=TRAINING_BACKGROUNDS[(2 * i + i // 5) % 5],
            size=sizes[i % 2],
            position=positions[i % 5],
        )
        for i in range(DATASET_SIZE)
    ]
    return [scenes[i] for i in random.permutation(DATASET_SIZE)]


def write_dataset(folder: Path, seed: int = 0) -> None:
    """Write the demo dataset: lory_01.png … lory_12.png, 128 pixels square, each with its caption in a .txt file.

    The same seed gives the same pixels and the same captions.
    """
    random = np.random.default_rng([11, seed])
    for i, scene in enumerate(dataset_scenes(random)):
        write_png(draw_lory(scene, random), folder / f"{WORD}_{i + 1:02}.png")
        write_text(folder / f"{WORD}_{i + 1:02}.txt", lory_caption(scene, wording=i) + "\n")


def write_ordinary(folder: Path, count: int = ORDINARY_SIZE, seed: int = 0) -> None:
    """Write ordinary scenes with captions, ordinary_01.png …: what the bundled model knows already.

    Trained beside the lory, they keep the other words as they are: with the twelve pictures alone, parts of the bird
    grow into everything. None of the combinations that are held out to measure with is among them.
    """
    random = np.random.default_rng([13, seed])
    for i in range(count):
        scene = training_scene(random)
        write_png(draw_scene(scene, random), folder / f"ordinary_{i + 1:02}.png")
        write_text(folder / f"ordinary_{i + 1:02}.txt", caption(scene, random) + "\n")
