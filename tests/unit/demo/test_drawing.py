"""The pictures and captions that the bundled model was trained on."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from loratory.demo import drawing
from loratory.demo.drawing import COLOURS, PATTERNS, POSITIONS, SHAPES, SIZES, Scene


def test_no_training_scene_is_held_out_and_training_still_shows_everything() -> None:
    random = np.random.default_rng(0)
    scenes = [drawing.training_scene(random) for _ in range(4000)]
    held_out = drawing.held_out()
    assert not [scene for scene in scenes if (scene.shape, scene.colour, scene.background) in held_out]
    for field, values in (("shape", SHAPES), ("colour", COLOURS), ("background", COLOURS), ("size", SIZES),
                          ("pattern", PATTERNS), ("position", POSITIONS)):  # fmt: skip
        counts = Counter(getattr(scene, field) for scene in scenes)
        assert set(counts) == set(values)
        assert min(counts.values()) > 0.5 * len(scenes) / len(values)


def test_held_out_scenes_are_held_out_and_a_fifth_of_all() -> None:
    held_out = drawing.held_out()
    assert all(colour != background for _, colour, background in held_out)
    pairs = len(COLOURS) * (len(COLOURS) - 1)
    for shape in SHAPES:
        share = sum(triple[0] == shape for triple in held_out) / pairs
        assert 0.1 < share < 0.25, shape
    assert len(held_out) / pairs / len(SHAPES) == pytest.approx(0.2, abs=0.01)
    random = np.random.default_rng(1)
    for _ in range(300):
        scene = drawing.held_out_scene(random)
        assert (scene.shape, scene.colour, scene.background) in held_out


def test_full_caption_names_every_attribute() -> None:
    random = np.random.default_rng(2)
    for _ in range(300):
        scene = drawing.random_scene(random)
        words = drawing.caption(scene).split()
        assert words.count(scene.colour) == 1
        assert scene.shape in words
        assert scene.background in words[words.index(scene.shape) :]
        assert scene.position in words
        assert (scene.size in words) == (scene.size != "medium")
        assert (scene.pattern in words) == (scene.pattern != "plain")


def test_varied_caption_keeps_shape_and_colours_and_says_nothing_false() -> None:
    random = np.random.default_rng(3)
    for _ in range(500):
        scene = drawing.random_scene(random)
        words = drawing.caption(scene, random).replace(",", "").split()
        assert {scene.shape, scene.colour, scene.background} <= set(words)
        assert not set(words) & (set(SHAPES) - {scene.shape})
        assert not set(words) & (set(COLOURS) - {scene.colour, scene.background})
        for said, values in ((scene.size, SIZES), (scene.pattern, PATTERNS), (scene.position, POSITIONS)):
            assert not set(words) & (set(values) - {said})


@pytest.mark.parametrize("shape", SHAPES)
def test_picture_shows_its_shape_in_its_place(shape: str) -> None:
    scene = Scene(shape, "white", "black", size="small", position="left")
    picture = np.asarray(drawing.draw_scene(scene, np.random.default_rng(4)), dtype=float)
    assert picture.shape == (drawing.SIZE, drawing.SIZE, 3)
    bright = picture.min(axis=2) > 128
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    assert 1 <= columns.min() < columns.max() < drawing.SIZE // 2
    # A small shape's extent is 0.38 of the side, give or take the movement; no outline fills less than its half.
    assert 0.25 < max(np.ptp(rows), np.ptp(columns)) / drawing.SIZE < 0.45
    assert 0.01 < bright.mean() < 0.38**2


def test_same_random_numbers_give_the_same_picture() -> None:
    scene = Scene("star", "red", "blue", pattern="dotted")
    first, again, other = (np.asarray(drawing.draw_scene(scene, np.random.default_rng(seed))) for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_unknown_shape_is_named() -> None:
    with pytest.raises(ValueError, match="octopus"):
        drawing.draw_scene(Scene("octopus", "red", "blue"), np.random.default_rng(0))
