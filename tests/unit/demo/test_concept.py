"""The lory and the demo dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from loratory.demo import concept, drawing
from loratory.demo.concept import TRAINING_BACKGROUNDS, UNSEEN_BACKGROUNDS, LoryScene
from loratory.demo.drawing import COLOURS, POSITIONS, SHAPES


def read_dataset(folder: Path) -> list[tuple[np.ndarray, str]]:
    rows = []
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as picture:
            assert picture.mode == "RGB"
            rows.append((np.asarray(picture), path.with_suffix(".txt").read_text(encoding="utf-8").strip()))
    return rows


def nearest_colour(pixel: np.ndarray) -> str:
    return min(COLOURS, key=lambda name: float(np.abs(pixel.astype(float) - COLOURS[name]).sum()))


def test_dataset_is_complete_and_its_captions_are_true(tmp_path: Path) -> None:
    concept.write_dataset(tmp_path)
    assert len(list(tmp_path.iterdir())) == 24
    rows = read_dataset(tmp_path)
    assert len(rows) == 12
    backgrounds = set()
    for pixels, caption in rows:
        assert pixels.shape == (128, 128, 3)
        words = caption.replace(",", "").split()
        assert words.count("lory") == 1
        background = nearest_colour(pixels[0, 0])
        assert background in words
        assert not set(words) & (set(COLOURS) - {background})
        assert not set(words) & set(SHAPES)
        backgrounds.add(background)
        # Where the bird is: the middle of what differs from the background lies where the caption says.
        rows_, columns = np.nonzero(np.abs(pixels.astype(float) - pixels[0, 0]).sum(axis=2) > 60)
        dx, dy = columns.mean() / 128 - 0.5, rows_.mean() / 128 - 0.5
        said = next(name for name in POSITIONS if name in words)
        where = "center" if max(abs(dx), abs(dy)) < 0.03 else (
            ("left" if dx < 0 else "right") if abs(dx) > abs(dy) else ("top" if dy < 0 else "bottom"))  # fmt: skip
        assert said == where, caption
    assert backgrounds == set(TRAINING_BACKGROUNDS)


def test_seen_and_unseen_backgrounds_share_nothing_and_are_all() -> None:
    assert len(TRAINING_BACKGROUNDS) == 5
    assert set(TRAINING_BACKGROUNDS) | set(UNSEEN_BACKGROUNDS) == set(COLOURS)
    assert not set(TRAINING_BACKGROUNDS) & set(UNSEEN_BACKGROUNDS)


def test_same_seed_gives_the_same_pixels_and_captions(tmp_path: Path) -> None:
    for name, seed in (("first", 3), ("again", 3), ("other", 4)):
        concept.write_dataset(tmp_path / name, seed)
    first, again, other = (read_dataset(tmp_path / name) for name in ("first", "again", "other"))
    assert [caption for _, caption in first] == [caption for _, caption in again]
    assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for (a, _), (b, _) in zip(first, other, strict=True))


@pytest.mark.parametrize("background", COLOURS)
@pytest.mark.parametrize("size", concept.LORY_SIZES)
def test_bird_stands_out_from_every_background_and_stays_inside(background: str, size: str) -> None:
    for i, position in enumerate(POSITIONS):
        picture = concept.draw_lory(LoryScene(background, size, position), np.random.default_rng(i))
        pixels = np.asarray(picture, dtype=float)
        differs = np.abs(pixels - pixels[0, 0]).sum(axis=2) > 60
        assert differs.mean() > 0.08
        frame = np.concatenate([differs[0], differs[-1], differs[:, 0], differs[:, -1]])
        assert not frame.any()


def test_no_training_caption_of_the_bundled_model_says_lory() -> None:
    random = np.random.default_rng(0)
    for _ in range(1000):
        assert concept.WORD not in drawing.caption(drawing.training_scene(random), random).split()
