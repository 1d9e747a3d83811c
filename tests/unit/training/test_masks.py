"""Masks follow their pictures to the grid of the latents, and weigh the loss there."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from loratory.config.objective import ObjectiveConfig
from loratory.config.train import TrainConfig
from loratory.console import Show
from loratory.data.scan import ContentHashes, Scan, scan
from loratory.planner import Plan, plan
from loratory.training import cache, objective
from loratory.training.batches import Batch, BatchMaker
from loratory.training.masks import LatentMasks, find_masks
from loratory.training.objectives.losses import LOSSES
from loratory.training.tensor_cache import TensorCache
from loratory.training.views import View
from tests.e2e.jobs import quiet
from tests.unit.training.helpers import job
from tests.unit.training.test_cache import SPECS, damage

RANDOM = np.random.default_rng(5)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORATORY_HOME", str(tmp_path / "home"))


def blocky(width: int, height: int, block: int = 1) -> np.ndarray:
    levels = RANDOM.integers(0, 256, (height // block, width // block), dtype=np.uint8)
    return levels.repeat(block, 0).repeat(block, 1)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@dataclasses.dataclass
class Bench:
    """Datasets with masks, and what makes batches of them."""

    config: TrainConfig
    scans: list[Scan]
    masks: list[Any]
    plan: Plan
    pictures: cache.Pictures

    def source(self, store: TensorCache | None = None) -> LatentMasks:
        return LatentMasks(self.config, self.masks, self.pictures, store, 8)

    def batches(self, source: LatentMasks | None, steps: int = 12) -> list[Batch]:
        texts = cache.Texts(self.config, self.scans, self.plan.samples)
        maker = BatchMaker(self.config, self.plan, self.pictures, texts, lambda random, size: 0.5, 4, 8, source)
        return list(maker.batches(0, steps))


def bench(tmp_path: Path, dataset: dict[str, Any], others: tuple[dict[str, Any], ...] = (), **sections: Any) -> Bench:
    buckets = {"resolution": 64, "step": 16, "minimum": 32}
    usual: dict[str, Any] = {"batching": {"buckets": buckets}, "caching": {"latents": "off"}, "duration": {"steps": 12}}
    datasets = [{"path": str(tmp_path / "photos"), **dataset}, *others]
    config = job(datasets=datasets, **usual | sections)
    scans = [scan(Path(each.path)) for each in config.datasets]
    hashes = [ContentHashes(tmp_path / f"hashes{i}.json", each.root) for i, each in enumerate(scans)]
    show: Show = quiet()
    scans, masks = find_masks(config, scans, hashes, show)
    opaque = [number for number, each in enumerate(config.datasets) if each.masks.alpha]
    pictures = cache.Pictures(scans, hashes, None, "vae", opaque)
    return Bench(config, scans, masks, plan(config, SPECS["sd15"], scans), pictures)


def folder(tmp_path: Path) -> dict[str, Any]:
    return {"masks": {"path": str(tmp_path / "masks")}}


def nothing(done: int, total: int) -> None:
    pass


# The way to the grid -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("flip", [False, True])
def test_a_mask_is_averaged_over_each_latents_pixels(tmp_path: Path, flip: bool) -> None:
    levels = blocky(96, 64)
    save(tmp_path / "photos/a.png", np.dstack([levels] * 3))
    save(tmp_path / "masks/a.png", levels)
    here = bench(tmp_path, folder(tmp_path), batching={"buckets": {"mode": "off", "resolution": [64, 48], "step": 16}})
    (sample,) = here.plan.samples
    # Nothing is resized, so the numbers can be known.
    view = View(dataclasses.replace(sample.fit, scaled=(96, 64), crop=(24, 5)), flip)
    found = here.source().levels(sample, view)
    window = levels[5 : 5 + 48, 24 : 24 + 64]
    expected = window.reshape(6, 8, 8, 8).mean((1, 3))
    assert found.dtype == torch.uint8
    assert found.shape == (1, 6, 8)
    assert np.abs(found[0].numpy() - (expected[:, ::-1] if flip else expected)).max() <= 0.501


@pytest.mark.parametrize(
    "augmentation", [{"flip": True}, {"flip": True, "random_crop": True, "zoom": 2.0, "variants": None}]
)
def test_a_mask_follows_its_picture(tmp_path: Path, augmentation: dict[str, Any]) -> None:
    """The picture shows its own mask, so what is learned must be where it is bright."""
    for number in range(3):
        levels = blocky(120, 80, 20)
        save(tmp_path / f"photos/{number}.png", np.dstack([levels] * 3))
        save(tmp_path / f"masks/{number}.png", levels)
    here = bench(tmp_path, folder(tmp_path) | {"augmentation": augmentation})
    seen = set()
    batches = here.batches(here.source(), 36)
    for batch in batches:
        assert batch.masks is not None
        assert batch.masks.dtype == torch.float32
        bright = batch.pixels[:, :1].float() / 255
        shown = bright.reshape(*bright.shape[:2], bright.shape[2] // 8, 8, bright.shape[3] // 8, 8).mean((3, 5))
        assert batch.masks.shape == shown.shape
        # Bicubic for pictures, bilinear for masks: they differ a little at edges.
        assert (batch.masks - shown).abs().max() < 0.06
        seen.add(tuple(batch.masks.flatten().tolist()))
    assert len(seen) == (6 if len(augmentation) == 1 else 36)


def test_hard_masks_stay_between_black_and_white_and_white_is_one(tmp_path: Path) -> None:
    levels = np.zeros((100, 150), np.uint8)
    levels[20:70, 30:110] = 255
    save(tmp_path / "photos/a.png", np.dstack([levels] * 3))
    save(tmp_path / "masks/a.png", levels)
    here = bench(tmp_path, folder(tmp_path))
    weights = here.batches(here.source(), 1)[0].masks
    assert weights.min() == 0
    assert weights.max() == 1
    assert (weights == 0).float().mean() > 0.3


def test_a_smaller_training_size_does_not_blur_the_mean(tmp_path: Path) -> None:
    levels = blocky(512, 512, 64)
    save(tmp_path / "photos/a.png", np.dstack([levels] * 3))
    save(tmp_path / "masks/a.png", levels)
    here = bench(tmp_path, folder(tmp_path))
    found = here.batches(here.source(), 1)[0].masks
    expected = levels.reshape(8, 64, 8, 64).mean((1, 3)) / 255
    assert np.abs(found[0, 0].numpy() - expected).max() < 0.1


@pytest.mark.parametrize(
    ("settings", "formula"),
    [
        ({}, lambda m: m), ({"invert": True}, lambda m: 1 - m), ({"minimum": 0.25}, lambda m: 0.25 + 0.75 * m),
        ({"invert": True, "minimum": 0.5}, lambda m: 0.5 + 0.5 * (1 - m)), ({"minimum": 1.0}, lambda m: 0 * m + 1),
    ],
)  # fmt: skip
def test_weights_of_levels(tmp_path: Path, settings: dict[str, Any], formula: Any) -> None:
    """ai-toolkit maps 0..1 to mask_min_value..1, after invert_mask."""
    levels = blocky(64, 64, 8)
    save(tmp_path / "photos/a.png", blocky(64, 64))
    save(tmp_path / "masks/a.png", levels)
    here = bench(tmp_path, {"masks": {"path": str(tmp_path / "masks"), **settings}})
    (batch,) = here.batches(here.source(), 1)
    np.testing.assert_allclose(batch.masks[0, 0].numpy(), formula(levels[::8, ::8] / 255), atol=1e-6)


def test_pictures_without_a_mask_count_in_full(tmp_path: Path) -> None:
    for number in range(4):
        save(tmp_path / f"photos/{number}.png", blocky(64, 64))
    save(tmp_path / "masks/2.png", np.zeros((64, 64), np.uint8))
    here = bench(
        tmp_path, folder(tmp_path), batching={"size": 4, "buckets": {"resolution": 64, "step": 16, "minimum": 32}}
    )
    for batch in here.batches(here.source()):
        place = [name.endswith("2.png") for name in batch.names].index(True)
        assert batch.masks.shape == (4, 1, 8, 8)
        assert batch.masks.mean((1, 2, 3)).tolist() == [float(number != place) for number in range(4)]
    plain = bench(tmp_path, {})
    assert plain.masks == [None]
    assert all(batch.masks is None for batch in plain.batches(plain.source()))


def test_alpha_is_a_mask_and_the_colours_below_it_are_seen(tmp_path: Path) -> None:
    colours = RANDOM.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    levels = blocky(64, 64, 8)
    save(tmp_path / "photos/a.png", np.dstack([colours, levels]))
    here, plain = bench(tmp_path, {"masks": {"alpha": True}}), bench(tmp_path, {})
    (batch,) = here.batches(here.source(), 1)
    np.testing.assert_array_equal(batch.pixels[0].permute(1, 2, 0).numpy(), colours)
    np.testing.assert_allclose(batch.masks[0, 0].numpy(), levels[::8, ::8] / 255, atol=1e-6)
    (sample,) = here.plan.samples
    view = View(sample.fit)
    assert here.pictures.key(sample, view) != plain.pictures.key(sample, view), "latents of other pixels"


# Kept --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_disk", [False, True])
def test_cached_masks_are_those_that_are_read_in_the_step(tmp_path: Path, on_disk: bool) -> None:
    for number in range(3):
        save(tmp_path / f"photos/{number}.png", blocky(120, 80, 20))
        if number:
            save(tmp_path / f"masks/{number}.png", blocky(120, 80, 4))
    here = bench(tmp_path, folder(tmp_path) | {"augmentation": {"flip": True}})
    store = TensorCache(tmp_path / "cache" if on_disk else None)
    progress: list[tuple[int, int]] = []
    source = here.source(store)
    assert source.fill(here.plan.samples, here.config, lambda *seen: progress.append(seen)) == []
    assert progress[-1] == (4, 4), "two masks, and each mirrored"
    plain = here.batches(here.source())
    for path in (tmp_path / "masks").glob("*.png"):
        path.unlink()  # nothing but the cache is read
    for batch, other in zip(here.batches(source), plain, strict=True):
        assert torch.equal(batch.masks, other.masks) if other.masks is not None else batch.masks is None


def test_what_a_mask_depends_on_makes_its_key(tmp_path: Path) -> None:
    save(tmp_path / "photos/a.png", np.dstack([blocky(120, 80)] * 4))
    save(tmp_path / "masks/a.png", blocky(120, 80))
    here = bench(tmp_path, folder(tmp_path))
    (sample,) = here.plan.samples
    fits = [dataclasses.replace(sample.fit, scaled=size, crop=crop)
            for size in ((96, 64), (200, 160)) for crop in ((0, 0), (1, 0))]  # fmt: skip
    view = View(fits[0])
    keys = [here.source().key(sample, View(fit, flip)) for fit in fits for flip in (False, True)]
    keys.append(LatentMasks(here.config, here.masks, here.pictures, None, 16).key(sample, view))
    keys.append(
        bench(tmp_path, {"masks": {"path": str(tmp_path / "masks"), "invert": True}}).source().key(sample, view)
    )
    save(tmp_path / "masks/a.png", blocky(120, 80))
    keys.append(bench(tmp_path, folder(tmp_path)).source().key(sample, view))
    keys.append(bench(tmp_path, {"masks": {"alpha": True}}).source().key(sample, view))
    assert len(set(keys)) == 12
    raised = bench(tmp_path, {"masks": {"path": str(tmp_path / "masks"), "minimum": 0.5}})
    assert raised.source().key(sample, View(fits[0], colours=("hue", 3.0))) == keys[-2], "made from the same levels"


@pytest.mark.parametrize("cached", [False, True])
def test_damaged_masks_leave_their_pictures_out(tmp_path: Path, cached: bool) -> None:
    for number in range(3):
        save(tmp_path / f"photos/{number}.png", blocky(64, 64))
        save(tmp_path / f"masks/{number}.png", blocky(64, 64))
    damage(tmp_path / "masks/1.png")
    here = bench(tmp_path, folder(tmp_path) | {"augmentation": {"flip": True}})
    source = here.source(TensorCache(None) if cached else None)
    (broken,) = source.fill(here.plan.samples, here.config, nothing)
    assert (broken.dataset, broken.path) == (0, "1.png")
    assert str(tmp_path / "masks/1.png") in broken.message


@pytest.mark.parametrize(
    ("level", "settings", "said"),
    [(0, {}, "black"), (1, {}, "white is 255"), (255, {"invert": True}, "white (and"), (0, {"minimum": 0.1}, ""),
     (3, {}, ""), (254, {"invert": True}, "white (and")],
)  # fmt: skip
def test_masks_that_leave_nothing_are_said(
    tmp_path: Path, level: int, settings: dict[str, Any], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path / "photos/a.png", blocky(64, 64))
    save(tmp_path / "masks/a.png", np.full((64, 64), level, np.uint8))
    here = bench(tmp_path, {"masks": {"path": str(tmp_path / "masks"), **settings}})
    with caplog.at_level(logging.WARNING):
        here.source().fill(here.plan.samples, here.config, nothing)
    assert [said in record.getMessage() for record in caplog.records] == ([True] if said else [])


# In the loss -------------------------------------------------------------------------------------------------

PREDICTION, TARGET = RANDOM.standard_normal((2, 3, 2, 4, 6))
MASKS = RANDOM.random((3, 1, 4, 6))
MASKS[2] = 0
WEIGHTS = np.array([1.0, 0.5, 2.0])


def inputs(masks: np.ndarray | None) -> objective.Inputs:
    return objective.Inputs(
        noisy=torch.zeros(3, 2, 4, 6), target=torch.tensor(TARGET), weights=torch.tensor(WEIGHTS),
        times=torch.zeros(3), loss_numbers=torch.full((3,), 0.5),
        masks=None if masks is None else torch.tensor(masks, dtype=torch.float32),
    )  # fmt: skip


def test_a_mask_multiplies_the_loss_of_each_element() -> None:
    """kohya: times the mask, then the mean over all elements. ai-toolkit: also divided by the mask's mean."""
    squares = (PREDICTION - TARGET) ** 2 * MASKS
    over_all = (squares.mean((1, 2, 3)) * WEIGHTS).sum()
    over_mask = sum(WEIGHTS[i] * squares[i].sum() / (2 * MASKS[i].sum()) for i in range(2))  # the third one is black: 0
    for mean, expected in (("picture", over_all), ("mask", over_mask)):
        config = ObjectiveConfig(masked_loss_mean=mean)
        found = objective.weighted_loss(torch.tensor(PREDICTION), inputs(MASKS), config)
        assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("mean", ["picture", "mask"])
def test_what_is_masked_teaches_nothing(name: str, mean: str) -> None:
    """Masked in blocks of 2×2, the size of a wavelet's."""
    masks = np.zeros((3, 1, 4, 6))
    masks[:, :, 2:, :4] = 1
    config = ObjectiveConfig(loss_type=name, masked_loss_mean=mean)
    prediction = torch.tensor(PREDICTION, requires_grad=True)
    loss = objective.weighted_loss(prediction, inputs(masks), config)
    loss.backward()
    assert (prediction.grad[..., 2:, :4] != 0).all()
    assert not prediction.grad[..., :2, :].any()
    assert not prediction.grad[..., 4:].any()
    # What is left is the loss of a picture that is only this part, in a third of the area.
    part = dataclasses.replace(inputs(None), target=torch.tensor(TARGET[..., 2:, :4]), noisy=torch.zeros(3, 2, 2, 4))
    alone = objective.weighted_loss(torch.tensor(PREDICTION[..., 2:, :4]), part, config)
    assert loss.item() == pytest.approx(alone.item() / (3 if mean == "picture" else 1), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("mean", ["picture", "mask"])
def test_a_white_mask_changes_nothing(name: str, mean: str) -> None:
    plain = objective.weighted_loss(torch.tensor(PREDICTION), inputs(None), ObjectiveConfig(loss_type=name))
    config = ObjectiveConfig(loss_type=name, masked_loss_mean=mean)
    white = objective.weighted_loss(torch.tensor(PREDICTION), inputs(np.ones((3, 1, 4, 6))), config)
    assert white.item() == pytest.approx(plain.item(), rel=1e-6)


def test_a_loss_on_a_coarser_grid_takes_the_mean_of_the_mask() -> None:
    elements = torch.tensor(RANDOM.random((3, 8, 2, 3)), dtype=torch.float32)
    coarse = MASKS.reshape(3, 1, 2, 2, 3, 2).mean((3, 5))
    found = objective.masked_means(elements, torch.tensor(MASKS, dtype=torch.float32), ObjectiveConfig())
    np.testing.assert_allclose(found, (elements.numpy() * coarse).mean((1, 2, 3)), rtol=1e-5)
