"""Small datasets of real photographs with captions, for tests that train."""

from collections.abc import Sequence
from pathlib import Path

import skimage.data
from PIL import Image

# name, crop (left, top, right, bottom), caption; the crops have several shapes, so that there are several buckets.
PHOTOS: tuple[tuple[str, tuple[int, int, int, int], str], ...] = (
    ("astronaut", (100, 0, 400, 300), "ohwx woman, orange suit, smiling, flag"),
    ("chelsea", (60, 0, 451, 294), "ohwx cat, whiskers, close-up, looking up"),
    ("coffee", (100, 50, 500, 350), "a cup, coffee, wooden table, spoon"),
    ("rocket", (200, 0, 500, 400), "a rocket, launch pad, night, floodlight"),
    ("camera", (100, 50, 400, 350), "a man, camera, tripod, grey sky"),
)


def photo(name: str, crop: tuple[int, int, int, int], side: int) -> Image.Image:
    """One photograph, cut out and made so small that its longer side is `side` pixels."""
    picture = Image.fromarray(getattr(skimage.data, name)()).crop(crop)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture


def write_photos(folder: Path, count: int = len(PHOTOS), side: int = 96, captions: Sequence[str] | None = None) -> Path:
    """Fill a new folder with `count` photographs and their captions; the same pixels every time."""
    folder.mkdir(parents=True)
    for number, (name, crop, caption) in enumerate(PHOTOS[:count]):
        photo(name, crop, side).save(folder / f"{number}_{name}.png")
        text = caption if captions is None else captions[number]
        (folder / f"{number}_{name}.txt").write_text(text, encoding="utf-8")
    return folder
