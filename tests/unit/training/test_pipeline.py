"""Steps of albumentations: random only by their seed, masks warped alike, and what cannot be used refused in time."""

from __future__ import annotations

import builtins
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from loratory.config.dataset import AugmentationConfig
from loratory.errors import UserError
from loratory.planner import plan
from loratory.training import cache, pipeline
from loratory.training.masks import LatentMasks
from loratory.training.pipeline import Pipeline, make_pipelines
from loratory.training.tensor_cache import TensorCache
from loratory.training.views import View
from tests.unit.training.helpers import job, plan_of, sample
from tests.unit.training.test_cache import SPECS
from tests.unit.training.test_masks import bench, blocky, nothing, own_home, save

__all__ = ["own_home"]

WHERE = "datasets.0.augmentation.pipeline"
PIXELS = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (3, 48, 64), dtype=np.uint8))
MASK = torch.zeros(1, 48, 64, dtype=torch.uint8)
MASK[:, 8:24, 10:40] = 255

# Some of every kind: levels, noise, blurs, warps, holes.
STEPS: list[tuple[str, dict[str, Any]]] = [
    ("RandomBrightnessContrast", {}), ("HueSaturationValue", {"hue_shift_limit": 30}), ("GaussNoise", {}),
    ("ISONoise", {}), ("MotionBlur", {"blur_limit": [3, 7]}), ("ImageCompression", {}), ("CoarseDropout", {}),
    ("Rotate", {"limit": 40, "border_mode": 4}), ("Affine", {"shear": [-10, 10]}), ("ElasticTransform", {"alpha": 30}),
    ("Perspective", {}), ("GridDistortion", {}), ("HorizontalFlip", {}), ("PixelDropout", {}), ("RandomShadow", {}),
    ("Sharpen", {}), ("ColorJitter", {}), ("ShiftScaleRotate", {}), ("SafeRotate", {"limit": 20}),
]  # fmt: skip


def made(*steps: tuple[str, dict[str, Any]]) -> Pipeline:
    listed = [{"name": name, "arguments": arguments} for name, arguments in steps]
    return Pipeline(AugmentationConfig(pipeline=listed), WHERE)


@pytest.mark.parametrize(("name", "arguments"), STEPS)
def test_a_step_is_a_function_of_its_seed_alone(name: str, arguments: dict[str, Any]) -> None:
    one, other = made((name, arguments | {"p": 1.0})), made((name, arguments | {"p": 1.0}))
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    first, mask = one(PIXELS, MASK, 5)
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])
    random.seed(2)
    np.random.seed(2)
    torch.manual_seed(2)
    for seed in (7, 8):
        one(PIXELS, MASK, seed)  # what was drawn before has no influence
    for found in (one(PIXELS, MASK, 5), other(PIXELS, MASK, 5)):
        assert torch.equal(found[0], first)
        assert torch.equal(found[1], mask)
    assert torch.equal(other(PIXELS, None, 5)[0], first), "with or without a mask"
    assert first.dtype == torch.uint8
    assert first.shape == PIXELS.shape
    assert not torch.equal(first, PIXELS)
    if name != "HorizontalFlip":
        assert len({one(PIXELS, None, seed)[0].numpy().tobytes() for seed in range(6)}) > 1


def test_steps_draw_apart_from_each_other() -> None:
    """Two of a kind do not do the same, and a step behind another leaves it as it is."""
    flips = made(("HorizontalFlip", {}), ("VerticalFlip", {}))
    seen = []
    for seed in range(200):
        found = flips(PIXELS, None, seed)[0]
        seen.append([torch.equal(found, PIXELS.flip(dims)) for dims in ((), (2,), (1,), (1, 2))].index(True))
    shares = np.bincount(seen, minlength=4) / 200
    assert np.abs(shares - 0.25).max() < 0.1, "each of the four as often"
    alone = made(("HorizontalFlip", {}))
    assert [torch.equal(alone(PIXELS, None, seed)[0], PIXELS) for seed in range(200)] == [one in (0, 2) for one in seen]


WARPS = {"Rotate", "Affine", "ElasticTransform", "Perspective", "GridDistortion", "HorizontalFlip", "ShiftScaleRotate"}


@pytest.mark.parametrize(("name", "arguments"), [each for each in STEPS if each[0] in WARPS])
def test_masks_are_warped_as_their_pictures(name: str, arguments: dict[str, Any]) -> None:
    """The picture shows its own mask."""
    step = made((name, arguments | {"p": 1.0}))
    for seed in range(4):
        picture, mask = step(MASK.expand(3, -1, -1).contiguous(), MASK, seed)
        # Border modes differ: what comes in from outside is black in a mask.
        inside = mask[0] > 0
        assert (picture[0].float() - mask[0].float()).abs()[inside].max() <= 64
        assert not torch.equal(mask, MASK)


def test_changes_of_levels_leave_masks_alone() -> None:
    step = made(("RandomBrightnessContrast", {"p": 1.0}), ("GaussNoise", {"p": 1.0}))
    assert torch.equal(step(PIXELS, MASK, 3)[1], MASK)


def test_signatures_tell_pipelines_apart() -> None:
    one = ("Rotate", {"limit": 10, "p": 0.5})
    different = [
        made(one), made(("Rotate", {"limit": 11, "p": 0.5})), made(("SafeRotate", {"limit": 10, "p": 0.5})),
        made(one, one), made(("Rotate", {"limit": 10})),
    ]  # fmt: skip
    assert len({each.signature for each in different}) == 5
    assert made(("Rotate", {"p": 0.5, "limit": 10})).signature == made(one).signature


# What cannot be used -----------------------------------------------------------------------------------------

WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("Rotat", {}, r"\.0\.name: albumentations 2\.\S* has no 'Rotat'\. Did you mean Rotate\?$"),
    ("Compose", {}, r"\.0\.name: albumentations \S* has no 'Compose'\."),
    ("OneOf", {}, r"\.0\.name"),
    ("Rotate", {"limt": 3}, r"\.0\.arguments: Rotate does not take limt, only limit, .*, p\.$"),
    ("Rotate", {"limit": "x"}, r"\.0\.arguments: limit: Input should be a valid number[^\n]*\.$"),
    ("RandomCrop", {}, r"\.0\.arguments: height: Field required; width: Field required\.$"),
    ("BasicTransform", {}, r"\.0\.arguments: "),
    (
        "RandomCrop",
        {"height": 32, "width": 32, "p": 0.01},
        r"\.0: a picture of 64x48 uint8 became 32x32 uint8; use only",
    ),
    ("CenterCrop", {"height": 100, "width": 100}, r"\.0: Crop size .* exceeds image dimensions"),
    ("RandomRotate90", {}, r"\.0: a picture of 64x48 uint8 became 48x64 uint8"),
    ("Normalize", {}, r"\.0: a picture of 64x48 uint8 became 64x48 float32"),
    ("OverlayElements", {}, r"\.0: .*overlay_metadata"),
    ("BBoxSafeRandomCrop", {}, r"\.0: it needs 'bboxes', which a picture alone does not have\.$"),
    ("MaskDropout", {}, r"\.0: .*mask"),
]


@pytest.mark.parametrize(("name", "arguments", "message"), WRONG)
def test_what_cannot_be_used_is_said_with_its_place(name: str, arguments: dict[str, Any], message: str) -> None:
    settings = {"pipeline": [{"name": name, "arguments": arguments}]}
    config = job(datasets=[{"path": "photos", "augmentation": settings}])
    with pytest.raises(UserError, match="^" + WHERE.replace(".", r"\.") + message) as caught:
        make_pipelines(config, plan_of([sample(0, (64, 48))]))
    assert "\n" not in str(caught.value)


def test_the_second_dataset_and_step_are_named() -> None:
    listed = [{"name": "Rotate"}, {"name": "Transpose", "arguments": {"p": 0.5}}]
    config = job(datasets=[{"path": "plain"}, {"path": "photos", "augmentation": {"pipeline": listed}}])
    samples = [sample(0, (64, 48)), sample(1, (64, 64), dataset=1)]
    pipelines = make_pipelines(config, plan_of(samples))
    assert list(pipelines) == [1], "turning a square keeps its size, and only squares are in this dataset"
    with pytest.raises(UserError, match=r"^datasets\.1\.augmentation\.pipeline\.1: a picture of"):
        make_pipelines(config, plan_of([*samples, sample(2, (64, 48), dataset=1)]))
    assert pipelines[1](PIXELS[:, :, :48], None, 0)[0].shape == (3, 48, 48)
    found = {torch.equal(made(("Transpose", {"p": 0.5}))(PIXELS[:, :, :48], None, seed)[0], PIXELS[:, :, :48])
             for seed in range(20)}  # fmt: skip
    assert found == {True, False}, "trying it did not change its probability"


def test_a_missing_library_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def import_module(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(pipeline, "import_module", import_module)
    with pytest.raises(
        UserError, match=r"^datasets\.0\.\S+ needs the library albumentations.*'loratory\[augmentation\]'"
    ):
        made(("Rotate", {}))
    assert make_pipelines(job(), plan_of([sample(0)])) == {}, "nobody else needs it"


def test_a_job_without_a_pipeline_does_not_load_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refused(name: str, *rest: Any) -> Any:
        assert name.partition(".")[0] not in ("albumentations", "cv2")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refused)
    assert make_pipelines(job(), plan_of([sample(0)])) == {}


# With the rest -----------------------------------------------------------------------------------------------

WARPED = {
    "flip": True, "random_crop": True, "variants": 3,
    "pipeline": [{"name": "Rotate", "arguments": {"limit": 45, "p": 1.0}}, {"name": "RandomBrightnessContrast"}],
}  # fmt: skip


def test_variants_and_masks_are_those_of_training_without_a_cache(tmp_path: Path) -> None:
    for number in range(2):
        levels = blocky(120, 80, 20)
        save(tmp_path / f"photos/{number}.png", np.dstack([levels] * 3))
        save(tmp_path / f"masks/{number}.png", levels)
    here = bench(tmp_path, {"augmentation": WARPED, "masks": {"path": str(tmp_path / "masks"), "invert": True}})
    pipelines = make_pipelines(here.config, plan(here.config, SPECS["sd15"], here.scans))
    hashes = here.pictures._hashes
    store = TensorCache(None)
    here.pictures = cache.Pictures(here.scans, hashes, None, "vae", (), pipelines)
    source = LatentMasks(here.config, here.masks, here.pictures, store, 8)
    assert source.fill(here.plan.samples, here.config, nothing) == []
    plain = here.batches(LatentMasks(here.config, here.masks, here.pictures, None, 8), 24)
    outside = 0
    for batch, other in zip(here.batches(source, 24), plain, strict=True):
        assert torch.equal(batch.masks, other.masks)
        assert torch.equal(batch.pixels, other.pixels)
        # Turned in from outside: black in the picture, and not learned although the mask is inverted.
        black = (batch.pixels.amax(1, keepdim=True) == 0).float()
        corner = torch.nn.functional.avg_pool2d(black, 8) == 1
        assert not batch.masks[corner].any()
        outside += int(corner.sum())
    assert outside > 20
    assert len({batch.pixels.numpy().tobytes() for batch in plain}) > 8, "of 12 in 24 uses"


def test_keys_know_the_pipeline(tmp_path: Path) -> None:
    save(tmp_path / "photos/a.png", blocky(64, 64))
    save(tmp_path / "masks/a.png", blocky(64, 64))
    keys, masks = set(), set()
    for limit in (10, 20):
        settings = {"pipeline": [{"name": "Rotate", "arguments": {"limit": limit}}]}
        here = bench(tmp_path, {"augmentation": settings, "masks": {"path": str(tmp_path / "masks")}})
        (one,) = here.plan.samples
        pictures = cache.Pictures(
            here.scans, here.pictures._hashes, None, "vae", (), make_pipelines(here.config, here.plan)
        )
        for view in (View(one.fit), View(one.fit, pipeline_seed=1), View(one.fit, pipeline_seed=2)):
            keys.add(pictures.key(one, view))
            masks.add(LatentMasks(here.config, here.masks, pictures, None, 8).key(one, view))
    assert len(keys) == len(masks) == 5, "the plain one twice the same"


def test_a_step_that_fails_on_a_picture_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "photos/a.png", np.asarray(Image.new("RGB", (64, 64))))
    here = bench(tmp_path, {"augmentation": {"pipeline": [{"name": "Rotate"}]}})
    pipelines = make_pipelines(here.config, here.plan)
    pictures = cache.Pictures(here.scans, here.pictures._hashes, None, "vae", (), pipelines)

    def failing(**given: Any) -> Any:
        raise ValueError("too dark\nby far")

    monkeypatch.setattr(pipelines[0], "_all", failing)
    (one,) = here.plan.samples
    with pytest.raises(UserError, match=rf"^{WHERE}: too dark by far\. The picture is .*a\.png\.$"):
        pictures.pixels(one, View(one.fit, pipeline_seed=1))
