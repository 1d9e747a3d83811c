"""Masked training: the same with and without a cache, stopped and gone on with, and bad masks said at once."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from loratory.runs import RunFolder
from loratory.training import assemble
from tests.e2e.jobs import Data, contents, differences, events, losses, raising, train
from tests.e2e.test_network_types import STEPS, stops_and_goes_on

pytestmark = pytest.mark.slow

CHANGED: Data = {
    "flip": True, "random_crop": True, "zoom": 2.0, "colour": True, "variants": 3,
    "pipeline": [{"name": "Rotate", "arguments": {"limit": 30}}, {"name": "GaussNoise", "arguments": {"p": 1.0}}],
}  # fmt: skip
RATE = {"optimizer.learning_rate": 0.01, "batching.size": 2, "duration.steps": 4}


@pytest.fixture
def masked(photos: Path, tmp_path: Path) -> dict[str, Any]:
    """A dataset of which all pictures but one have a mask: the middle."""
    folder = tmp_path / "masks"
    folder.mkdir()
    for path in sorted(photos.glob("*.png"))[1:]:
        width, height = Image.open(path).size
        levels = np.zeros((height, width), np.uint8)
        levels[height // 4 : -height // 4, width // 4 : -width // 4] = 255
        Image.fromarray(levels).save(folder / path.name)
    return {"path": str(photos), "masks": {"path": str(folder)}, "augmentation": {"flip": True}}


@pytest.mark.parametrize(
    ("architecture", "variants"), [("sd15", 3), ("sd15", None), pytest.param("flux1", 3, marks=pytest.mark.full)]
)
def test_a_masked_run_is_stopped_and_resumed(
    architecture: str, variants: int | None, masked: dict[str, Any], make_job: Callable[..., Data], at_step: Callable
) -> None:
    masked["masks"]["minimum"] = 0.1
    masked["augmentation"] = CHANGED | {"variants": variants}
    stops_and_goes_on(
        make_job,
        at_step,
        architecture,
        STEPS | {"datasets": [masked], "caching.latents": "disk" if variants else "off"},
    )


def test_masks_weigh_the_same_wherever_they_are_kept(
    masked: dict[str, Any], photos: Path, make_job: Callable[..., Data], caplog: pytest.LogCaptureFixture
) -> None:
    found = {}
    for mode in ("disk", "memory", "off", "disk"):
        changes = RATE | {"datasets": [masked], "caching": {"latents": mode, "batch_size": 1}, "batching.size": 1}
        found[mode] = losses(train(make_job("sd15", changes, output=mode)))
    assert found["disk"] == found["memory"]
    assert found["disk"] == pytest.approx(found["off"], rel=1e-5)
    first = sorted(photos.glob("*.png"))[0].name
    assert f"1 of 5 pictures has no mask in {masked['masks']['path']} and will be learned everywhere: {first}." in (
        caplog.text
    )
    plain = losses(train(make_job("sd15", RATE | {"datasets": [{"path": str(photos)}], "batching.size": 1})))
    assert sum(found["disk"]) < 0.7 * sum(plain)
    over_mask = RATE | {"datasets": [masked], "batching.size": 1, "objective.masked_loss_mean": "mask"}
    assert sum(losses(train(make_job("sd15", over_mask, output="mask")))) > 1.5 * sum(found["disk"])


@pytest.mark.parametrize("kept", ["disk", pytest.param("memory", marks=pytest.mark.full)])
def test_variants_and_their_masks_train_the_same_with_and_without_a_cache(
    kept: str, masked: dict[str, Any], make_job: Callable[..., Data], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    masked["augmentation"] = CHANGED
    changes = RATE | {"datasets": [masked], "caching.batch_size": 1, "batching.size": 1, "duration.steps": 8}
    cached = train(make_job("sdxl", changes | {"caching.latents": kept}, output="cached"))
    assert "30 variants of pictures are encoded and kept, about 0." in caplog.text, "5 pictures, 3 each, both sides"
    plain = train(make_job("sdxl", changes | {"caching.latents": "off"}, output="plain"))
    assert losses(cached) == pytest.approx(losses(plain), rel=1e-5)
    fresh = changes | {"caching.latents": "off", "datasets.0.augmentation.variants": None}
    assert losses(train(make_job("sdxl", fresh, output="fresh"))) != pytest.approx(losses(plain), rel=1e-3)


def test_white_masks_train_what_no_masks_train(
    masked: dict[str, Any], photos: Path, make_job: Callable[..., Data]
) -> None:
    for path in Path(masked["masks"]["path"]).iterdir():
        Image.new("L", Image.open(path).size, 255).save(path)
    plain = train(make_job("sd15", RATE | {"datasets": [masked | {"masks": {}}]}, output="plain"))
    white = train(make_job("sd15", RATE | {"datasets": [masked]}, output="white"))
    assert losses(white) == losses(plain)


def test_bad_masks_are_said_before_the_model_is_loaded(
    masked: dict[str, Any], make_job: Callable[..., Data], job_file: Callable, loratory: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(assemble, "load_model", raising(AssertionError("the model is loaded")))
    folder = Path(masked["masks"]["path"])
    first = sorted(folder.iterdir())[0]
    Image.open(first).resize((20, 20)).save(first)
    data = make_job("sd15", {"datasets": [masked]})
    said = loratory("train", job_file(data))
    assert said.code == 1
    assert f"datasets.0.masks.path: {first.name} has 20x20 pixels, but its picture" in said.error
    shutil.rmtree(folder)
    said = loratory("train", job_file(data))
    assert said.code == 1
    assert f"datasets.0.masks.path: The mask folder {folder} does not exist" in said.error


@pytest.mark.parametrize("latents", ["memory", "off"])
def test_a_damaged_mask_leaves_its_picture_out(
    latents: str, masked: dict[str, Any], photos: Path, make_job: Callable[..., Data], tmp_path: Path
) -> None:
    folder = Path(masked["masks"]["path"])
    victim = sorted(folder.iterdir())[0]
    Image.fromarray(np.random.default_rng(0).integers(0, 255, Image.open(victim).size[::-1], np.uint8)).save(victim)
    data = bytearray(victim.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    victim.write_bytes(data)
    changes = RATE | {"datasets": [masked], "caching.latents": latents}
    run = train(make_job("sd15", changes))
    (left_out,) = [event.data for event in events(run) if event.kind == "picture_left_out"]
    assert left_out["path"] == victim.name
    assert f"{victim} is damaged" in left_out["message"]
    # The others train as they do without it.
    pictures = shutil.copytree(photos, tmp_path / "fewer")
    (pictures / victim.name).unlink()
    victim.unlink()
    fewer = train(make_job("sd15", changes | {"datasets": [masked | {"path": str(pictures)}]}, output="fewer"))
    assert losses(RunFolder.open(run.path)) == losses(fewer)


def test_the_alpha_channel_is_a_mask(photos: Path, make_job: Callable[..., Data], tmp_path: Path) -> None:
    """And one job does not take the latents of the other: colours below what is transparent are seen only with it."""
    folder = tmp_path / "cut"
    folder.mkdir()
    for path in photos.glob("*.png"):
        picture = Image.open(path).convert("RGBA")
        picture.putalpha(Image.radial_gradient("L").resize(picture.size))
        picture.save(folder / path.name)
    plain = train(make_job("sd15", RATE | {"datasets.0.path": str(folder)}, output="plain"))
    alpha = RATE | {"datasets.0.path": str(folder), "datasets.0.masks": {"alpha": True}}
    masked_run = train(make_job("sd15", alpha, output="alpha"))
    assert losses(masked_run) != losses(plain)
    assert differences(contents(train(make_job("sd15", alpha, output="again"))), contents(masked_run)) == []
