"""The pixel test of colours and the pictures from which the demo's judge learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image, ImageFilter

from benchmarks.demo import examples, judge
from benchmarks.demo.colours import Reading, has_asked_colours, read_colours
from benchmarks.demo.run import check_targets, held_out_scenes, lory_prompts
from loratory.demo import MODEL_FOLDER, drawing
from loratory.demo.concept import UNSEEN_BACKGROUNDS
from loratory.demo.drawing import COLOURS, SHAPES, Scene


@pytest.mark.parametrize("blur", [0.0, 1.0])
def test_pixel_test_reads_the_colours_of_drawn_scenes(blur: float) -> None:
    random = np.random.default_rng(0)
    for _ in range(60):
        scene = drawing.random_scene(random)
        picture = drawing.draw_scene(scene, random).filter(ImageFilter.GaussianBlur(blur))
        assert read_colours(picture) == Reading(scene.background, scene.colour), scene


def test_pixel_test_refuses_every_other_pair_of_colours() -> None:
    picture = drawing.draw_scene(Scene("star", "green", "pink", pattern="striped"), np.random.default_rng(1))
    accepted = [(c, b) for c in COLOURS for b in COLOURS if has_asked_colours(picture, Scene("star", c, b))]
    assert accepted == [("green", "pink")]


def half_and_half() -> Image.Image:
    picture = Image.new("RGB", (128, 128), COLOURS["red"])
    picture.paste(COLOURS["blue"], (64, 0, 128, 128))
    return picture


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(2).integers(0, 256, (128, 128, 3), dtype=np.uint8))


def two_coloured_shape() -> Image.Image:
    picture = Image.new("RGB", (128, 128), COLOURS["white"])
    picture.paste(COLOURS["blue"], (40, 40, 64, 90))
    picture.paste(COLOURS["red"], (64, 40, 88, 90))
    return picture


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (Image.new("RGB", (128, 128), COLOURS["red"]), Reading("red", None)),
        (half_and_half(), Reading(None, None)),
        (noise(), Reading(None, None)),
        (two_coloured_shape(), Reading("white", None)),
        (Image.new("RGB", (128, 128), (128, 200, 160)), Reading(None, None)),
    ],
    ids=["blank", "two backgrounds", "noise", "two colours", "no colour's name"],
)
def test_pixel_test_says_when_no_colour_prevails(picture: Image.Image, expected: Reading) -> None:
    assert read_colours(picture) == expected


@pytest.mark.parametrize("label", examples.CLASSES)
def test_examples_are_pictures_and_repeat(label: str) -> None:
    first, again = (examples.example(label, np.random.default_rng(3)) for _ in range(2))
    assert first.size == (128, 128) and first.mode == "RGB"
    assert np.array_equal(np.asarray(first), np.asarray(again))


def test_hard_negatives_are_no_lories() -> None:
    """Each differs from the bird, drawn with the same random numbers, by much more than two birds' tints do."""
    bird = np.asarray(examples.lory(np.random.default_rng(4)), dtype=float)
    for kind in examples.OTHERS:
        picture = np.asarray(kind(np.random.default_rng(4)), dtype=float)
        assert np.abs(picture - bird).mean() > 4, kind.__name__


def test_parts_are_named_right() -> None:
    groups = (examples.TAIL, examples.CREST, examples.FEET, examples.BEAK, examples.BODY, examples.HEAD,
              examples.BELLY, examples.WING, examples.EYE)  # fmt: skip
    assert [i for group in groups for i in group] == list(range(len(examples.PARTS)))


def test_training_moves_every_weight_and_is_the_same_every_time() -> None:
    x = torch.rand(12, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    none, first, again = (judge.train(x, torch.arange(12), steps, batch=4) for steps in (0, 3, 3))
    for start, a, b in zip(none.parameters(), first.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(start, a)


@pytest.mark.full
@pytest.mark.slow
def test_judge_is_right_about_pictures_it_has_not_seen(tmp_path: Path) -> None:
    vae = AutoencoderKL.from_pretrained(MODEL_FOLDER / "vae", dtype=torch.float32)
    report = judge.measure_judge(judge.load_judge(tmp_path, vae), vae)
    assert report.shapes_right >= 97 and report.shapes_right_round_tripped >= 95
    assert report.lories_found >= 97 and report.lories_found_round_tripped >= 95
    assert max(report.false_lories.values()) <= 5, report.false_lories
    assert len(list(tmp_path.iterdir())) == 1
    again = judge.load_judge(tmp_path, vae)
    assert again.names([Image.new("RGB", (128, 128), "red")]) == ["other"]


def test_degraded_pictures_stay_pictures() -> None:
    x = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    y = judge.degrade(x, torch.Generator().manual_seed(1))
    assert y.shape == x.shape and y.min() >= 0 and y.max() <= 1
    assert not torch.equal(x, y)
    assert torch.equal(y, judge.degrade(x, torch.Generator().manual_seed(1)))


def test_prompts_of_the_benchmark() -> None:
    scenes = held_out_scenes(128)
    assert all((scene.shape, scene.colour, scene.background) in drawing.held_out() for scene in scenes)
    assert {scene.shape for scene in scenes} == set(SHAPES)
    prompts = lory_prompts(64)
    assert len(prompts) == 64 and len(set(prompts)) >= 40
    for prompt in prompts:
        words = prompt.replace(",", "").split()
        assert "lory" in words
        assert len(set(words) & set(COLOURS)) == 1 and set(words) & set(UNSEEN_BACKGROUNDS)
    counts = [sum(background in prompt for prompt in prompts) for background in UNSEEN_BACKGROUNDS]
    assert counts == [16] * 4


@pytest.mark.parametrize(
    ("value", "met"), [({"shape, %": 75.0}, True), ({"shape, %": 74.9}, False), ({"lory of the base, %": 5.1}, False)]
)
def test_targets(value: dict[str, float], met: bool) -> None:
    (row,) = check_targets(value).values()
    assert row["met"] is met
