"""A picture's variants: the same with and without the cache, as many as asked, and functions of their place alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from loratory.config.dataset import AugmentationConfig
from loratory.training import cache
from loratory.training.batches import Batch, BatchMaker
from loratory.training.colours import changed_colours
from loratory.training.tensor_cache import TensorCache
from loratory.training.views import View, every_view, pick_view, variant
from tests.unit.training.helpers import Captions, Latents, job, sample
from tests.unit.training.test_batches import make, maker
from tests.unit.training.test_cache import Bench, StandIn, bench, picture

ALL: dict[str, Any] = {"flip": True, "random_crop": True, "colour": True, "zoom": 1.5}
SAMPLE = sample(0, (96, 64), scaled=(112, 80))


def augmentation(**changes: Any) -> AugmentationConfig:
    return AugmentationConfig(**changes)


def picks(settings: AugmentationConfig, count: int = 400, seed: int = 42) -> list[View]:
    return [pick_view(seed, settings, SAMPLE, step, 0) for step in range(count)]


@pytest.mark.parametrize("changes", [ALL, {"random_crop": True}, {"zoom": 2.0}, {"colour": True}])
@pytest.mark.parametrize("count", [1, 3, 8])
def test_a_picture_has_so_many_variants(changes: dict[str, Any], count: int) -> None:
    settings = augmentation(**changes, variants=count)
    found, possible = set(picks(settings)), every_view(42, settings, SAMPLE)
    assert found == set(possible)
    assert len(possible) == len(found), "each once"
    flips = 2 if changes.get("flip") else 1
    if changes == {"colour": True}:
        assert 1 <= len(possible) <= count, "two thirds of them change nothing, and those are one"
    else:
        assert len(possible) == count * flips
        shares = [picks(settings).count(view) / 400 for view in possible]
        assert min(shares) > 0.4 / len(possible)
    if flips == 2:
        assert {dataclasses.replace(view, flip=not view.flip) for view in possible} == set(possible), "both sides"


def test_variants_are_functions_of_seed_picture_and_number() -> None:
    few, many = augmentation(**ALL, variants=3), augmentation(**ALL, variants=8)
    assert every_view(42, many, SAMPLE)[:6] == every_view(42, few, SAMPLE), "more of them leave the others as they are"
    assert not set(every_view(43, few, SAMPLE)) & set(every_view(42, few, SAMPLE))
    other = dataclasses.replace(SAMPLE, item=dataclasses.replace(SAMPLE.item, path="other.png"))
    assert not set(every_view(42, few, other)) & set(every_view(42, few, SAMPLE))
    # Each change has a stream of its own: another one beside it leaves it as it is.
    zoomed = [variant(42, augmentation(zoom=1.5), SAMPLE, False, number).fit.scaled for number in range(4)]
    assert zoomed == [variant(42, augmentation(**ALL), SAMPLE, False, number).fit.scaled for number in range(4)]
    assert len(set(zoomed)) == 4


def test_an_empty_number_means_another_picture_in_every_use() -> None:
    found = picks(augmentation(zoom=4.0, random_crop=True, variants=None))
    assert len(set(found)) > 390
    assert found[7] == pick_view(42, augmentation(zoom=4.0, random_crop=True, variants=None), SAMPLE, 7, 0)


def test_what_does_not_vary_is_drawn_as_ever() -> None:
    """Mirroring alone has no variants, and its draws are those of any other number of them."""
    mirrored = picks(augmentation(flip=True))
    assert set(mirrored) == {View(SAMPLE.fit), View(SAMPLE.fit, flip=True)}
    assert [view.flip for view in mirrored] == [view.flip for view in picks(augmentation(**ALL, variants=5))]
    assert set(picks(augmentation(), 10)) == set(every_view(42, augmentation(), SAMPLE)) == {View(SAMPLE.fit)}


def test_a_picture_without_room_has_one_crop() -> None:
    tight = sample(0, (64, 64))
    assert every_view(42, augmentation(random_crop=True, variants=8), tight) == [View(tight.fit)]


def test_the_model_is_told_the_crop_of_the_variant() -> None:
    """SDXL's numbers: original height and width, top, left (from the mirrored edge), target height and width."""
    config = job(datasets=[{"path": "photos", "augmentation": ALL | {"variants": 4}}])
    asked: list[View] = []

    class Remembering(Latents):
        def latents(self, sample: Any, view: View) -> Any:
            asked.append(view)
            return super().latents(sample, view)

    crops = set()
    for step in range(60):
        batch = make(maker(config, [SAMPLE], pictures=Remembering()), [0], step=step)
        view = asked[-1]
        left = view.fit.scaled[0] - 96 - view.fit.crop[0] if view.flip else view.fit.crop[0]
        assert batch.sizes.tolist() == [[160, 224, view.fit.crop[1], left, 64, 96]]
        crops.add((view.fit.crop, view.flip))
    assert len(crops) == 8


# In the cache ------------------------------------------------------------------------------------------------


def batches(here: Bench, pictures: cache.Pictures) -> list[Batch]:
    draw: Any = lambda random, size: 0.5  # noqa: E731
    return list(BatchMaker(here.config, here.plan, pictures, Captions(), draw, 3, 8).batches(0, 40))


@pytest.mark.parametrize("on_disk", [False, True])
def test_cached_variants_are_those_of_training_without_a_cache(tmp_path: Path, on_disk: bool) -> None:
    for number in range(3):
        picture(tmp_path / f"photos/{number}.png", number, (100, 90))
    here = bench(tmp_path, augmentation=ALL | {"variants": 3}, caching={"posterior": "mean"})
    pictures, broken, progress = here.encode(TensorCache(tmp_path / "cache" if on_disk else None))
    assert broken == []
    assert progress[-1] == (18, 18), "3 pictures, 3 variants, both sides"
    plain = batches(here, here.pictures(None))
    for batch, other in zip(batches(here, pictures), plain, strict=True):
        mean, _ = StandIn().encode_images(other.pixels.float() / 127.5 - 1)
        torch.testing.assert_close(batch.latents, mean, atol=1e-6, rtol=0)
        assert torch.equal(batch.sizes, other.sizes)
    assert len({tuple(batch.latents.flatten().tolist()) for batch in batches(here, pictures)}) > 12, "of 18 in 40 uses"
    wanted = cache.missing_latents(pictures, TensorCache(None), here.plan.samples, here.config)
    entries = [pictures.latents(sample, view) for sample, view in wanted]
    stored = sum(mean.nbytes + deviation.nbytes for mean, deviation in entries)
    assert cache.latent_bytes(wanted, 3, 8) == stored


def test_only_new_variants_are_encoded(tmp_path: Path) -> None:
    for number in range(2):
        picture(tmp_path / f"photos/{number}.png", number, (100, 90))

    def encoded(**changes: Any) -> int:
        here = bench(tmp_path, augmentation=changes)
        here.encode(TensorCache(tmp_path / "cache"))
        return sum(here.architecture.pictures)

    assert encoded(zoom=1.5, variants=4) == 8
    assert encoded(zoom=1.5, variants=2) == 0
    assert encoded(zoom=1.5, variants=5) == 2
    assert encoded(zoom=1.5, variants=5, flip=True) == 10
    assert encoded() == 2
    assert encoded(zoom=3.0, variants=4) == 8


def test_colours_of_a_view_are_changed(tmp_path: Path) -> None:
    before = picture(tmp_path / "photos/0.png", 0)
    here = bench(tmp_path)
    (one,) = here.plan.samples
    found = here.pictures(None).pixels(one, View(one.fit, colours=("hue", 16.0)))
    expected = changed_colours(torch.from_numpy(before).permute(2, 0, 1), ("hue", 16.0))
    assert torch.equal(found, expected)
    assert not np.array_equal(found.permute(1, 2, 0).numpy(), before)
