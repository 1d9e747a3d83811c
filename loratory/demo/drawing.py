"""Draw simple pictures of one shape on a coloured background, with captions.

The bundled model was trained on these pictures and nothing else, so this file is also the exact description
of what that model knows: ten shapes, nine colours, three sizes, three patterns, five positions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

SIZE = 128
"""Side of a finished picture in pixels."""

SUPERSAMPLE = 4
"""Pictures are drawn this many times larger and averaged down, which makes smooth edges."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 40, 40),
    "orange": (246, 134, 30),
    "yellow": (250, 220, 60),
    "green": (48, 158, 72),
    "blue": (42, 98, 214),
    "purple": (128, 58, 172),
    "pink": (246, 152, 192),
    "white": (245, 245, 245),
    "black": (28, 28, 30),
}
SHAPES = ("circle", "square", "triangle", "star", "heart", "cross", "ring", "moon", "diamond", "flower")
SIZES = {"small": 0.19, "medium": 0.27, "large": 0.37}
"""Half the shape's extent, as a share of the picture's side."""
PATTERNS = ("plain", "striped", "dotted")
POSITIONS = {
    "center": (0.0, 0.0),
    "left": (-1.0, 0.0),
    "right": (1.0, 0.0),
    "top": (0.0, -1.0),
    "bottom": (0.0, 1.0),
}

Point = tuple[float, float]


@dataclass(frozen=True)
class Scene:
    """What one picture shows. Every field is a word the captions use."""

    shape: str
    colour: str
    background: str
    size: str = "medium"
    pattern: str = "plain"
    position: str = "center"


def random_scene(random: np.random.Generator) -> Scene:
    """A scene with every attribute drawn at random; shape and background never have the same colour."""
    colour, background = random.choice(list(COLOURS), size=2, replace=False)
    return Scene(
        shape=str(random.choice(SHAPES)),
        colour=str(colour),
        background=str(background),
        size=str(random.choice(list(SIZES))),
        pattern=str(random.choice(PATTERNS, p=(0.6, 0.2, 0.2))),
        position=str(random.choice(list(POSITIONS))),
    )


@cache
def held_out() -> frozenset[tuple[str, str, str]]:
    """The (shape, colour, background) combinations no training picture of the bundled model shows.

    One pair of colours in five for every shape, spread so that each shape, colour and background still occurs
    in training many times.
    """
    names = list(COLOURS)
    triples = set()
    for i, shape in enumerate(SHAPES):
        for j, colour in enumerate(names):
            for k, background in enumerate(names):
                if colour != background and (i + 2 * j + 3 * k) % 5 == 0:
                    triples.add((shape, colour, background))
    return frozenset(triples)


def is_held_out(scene: Scene) -> bool:
    return (scene.shape, scene.colour, scene.background) in held_out()


def training_scene(random: np.random.Generator) -> Scene:
    """A random scene that is not held out."""
    while is_held_out(scene := random_scene(random)):
        pass
    return scene


def held_out_scene(random: np.random.Generator) -> Scene:
    """A random scene whose combination of shape, colour and background was absent from training."""
    while not is_held_out(scene := random_scene(random)):
        pass
    return scene


def caption(scene: Scene, random: np.random.Generator | None = None) -> str:
    """Describe a scene. With `random`, wording varies and some of the minor attributes stay unsaid."""

    def said(probability: float) -> bool:
        return random is None or random.random() < probability

    words = []
    if scene.size != "medium" and said(0.75):
        words.append(scene.size)
    words.append(scene.colour)
    if scene.pattern != "plain" and said(0.85):
        words.append(scene.pattern)
    words.append(scene.shape)
    place = ""
    if said(0.65):
        place = " in the center" if scene.position == "center" else f" at the {scene.position}"
    subject = " ".join(words)
    article = "an" if subject[0] in "aeiou" else "a"
    style = 0 if random is None else int(random.integers(4))
    if style == 1:
        return f"{subject}{place}, {scene.background} background"
    if style == 2:
        return f"a picture of {article} {subject}{place} on {scene.background}"
    if style == 3:
        return f"{scene.background} background, {article} {subject}{place}"
    return f"{article} {subject}{place} on a {scene.background} background"


def centre_and_radius(scene: Scene, random: np.random.Generator) -> tuple[float, float, float]:
    """Centre and half extent in shares of the picture's side, with a little random movement."""
    radius = SIZES[scene.size] * random.uniform(0.93, 1.07)
    reach = (0.46 - radius) * 0.92
    dx, dy = POSITIONS[scene.position]
    x = 0.5 + dx * reach + random.uniform(-0.02, 0.02)
    y = 0.5 + dy * reach + random.uniform(-0.02, 0.02)
    return x, y, radius


def jitter(colour: tuple[int, int, int], random: np.random.Generator, amount: int = 7) -> tuple[int, int, int]:
    r, g, b = (int(np.clip(c + random.integers(-amount, amount + 1), 0, 255)) for c in colour)
    return r, g, b


def shade(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    """The second colour of a pattern: darker for bright colours, lighter for dark ones."""
    target, share = (0, 0.38) if sum(colour) > 330 else (255, 0.42)
    r, g, b = (round(c + (target - c) * share) for c in colour)
    return r, g, b


def _polygon(points: int, turn: float, inner: float = 1.0) -> list[Point]:
    """Corners of a regular polygon, or of a star when `inner` is below 1, inside the unit circle."""
    corners = []
    count = points * (2 if inner < 1 else 1)
    for i in range(count):
        radius = inner if inner < 1 and i % 2 else 1.0
        angle = turn + 2 * math.pi * i / count
        corners.append((radius * math.cos(angle), radius * math.sin(angle)))
    return corners


def _heart() -> list[Point]:
    points = []
    for i in range(64):
        t = 2 * math.pi * i / 64
        x = 16 * math.sin(t) ** 3
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((x / 16.5, -y / 16.5))
    return points


_OUTLINES: dict[str, list[Point]] = {
    "square": [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
    "triangle": [(0, -0.95), (0.98, 0.8), (-0.98, 0.8)],
    "diamond": [(0, -1), (0.68, 0), (0, 1), (-0.68, 0)],
    "star": _polygon(5, -math.pi / 2, inner=0.42),
    "heart": _heart(),
    "cross": [
        (-0.32, -0.95), (0.32, -0.95), (0.32, -0.32), (0.95, -0.32), (0.95, 0.32), (0.32, 0.32),
        (0.32, 0.95), (-0.32, 0.95), (-0.32, 0.32), (-0.95, 0.32), (-0.95, -0.32), (-0.32, -0.32),
    ],
}  # fmt: skip


def shape_mask(shape: str, x: float, y: float, radius: float, side: int) -> Image.Image:
    """A picture of one channel, `side` square, that is 255 inside the shape; x, y, radius in shares of `side`."""
    mask = Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(mask)
    cx, cy, r = x * side, y * side, radius * side

    def disc(dx: float, dy: float, share: float, fill: int = 255) -> None:
        draw.ellipse(
            [cx + (dx - share) * r, cy + (dy - share) * r, cx + (dx + share) * r, cy + (dy + share) * r], fill=fill
        )

    if shape in _OUTLINES:
        draw.polygon([(cx + px * r, cy + py * r) for px, py in _OUTLINES[shape]], fill=255)
    elif shape == "circle":
        disc(0, 0, 0.95)
    elif shape == "ring":
        disc(0, 0, 1.0)
        disc(0, 0, 0.55, fill=0)
    elif shape == "moon":
        disc(-0.05, 0, 0.95)
        disc(0.42, -0.12, 0.78, fill=0)
    elif shape == "flower":
        for px, py in _polygon(5, -math.pi / 2):
            disc(0.58 * px, 0.58 * py, 0.4)
        disc(0, 0, 0.4)
    else:
        raise ValueError(f"unknown shape {shape!r}; known: {', '.join(SHAPES)}")
    return mask


def pattern_mask(pattern: str, side: int, random: np.random.Generator) -> Image.Image | None:
    """Where the pattern's second colour goes; None for a plain shape."""
    if pattern == "plain":
        return None
    rows, columns = np.mgrid[0:side, 0:side] / side
    offset = random.uniform(0, 1)
    if pattern == "striped":
        on = ((rows + columns) * 6.5 + offset) % 1.0 < 0.4
    elif pattern == "dotted":
        u, v = (columns * 7.5 + offset) % 1.0 - 0.5, (rows * 7.5 + offset) % 1.0 - 0.5
        on = u * u + v * v < 0.3**2
    else:
        raise ValueError(f"unknown pattern {pattern!r}; known: {', '.join(PATTERNS)}")
    return Image.fromarray((on * 255).astype(np.uint8))


def draw_scene(scene: Scene, random: np.random.Generator, size: int = SIZE) -> Image.Image:
    """Draw a scene as an RGB picture of `size` × `size` pixels; `random` moves and tints it slightly."""
    side = size * SUPERSAMPLE
    picture = Image.new("RGB", (side, side), jitter(COLOURS[scene.background], random))
    colour = jitter(COLOURS[scene.colour], random)
    x, y, radius = centre_and_radius(scene, random)
    mask = shape_mask(scene.shape, x, y, radius, side)
    picture.paste(colour, mask=mask)
    second = pattern_mask(scene.pattern, side, random)
    if second is not None:
        both = Image.fromarray(np.minimum(np.asarray(mask), np.asarray(second)))
        picture.paste(shade(colour), mask=both)
    return picture.reduce(SUPERSAMPLE)


def without(scene: Scene, **changes: str) -> Scene:
    """The same scene with some attributes replaced."""
    return replace(scene, **changes)
