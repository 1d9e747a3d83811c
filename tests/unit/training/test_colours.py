"""Changes of colour against the standard library's colour spaces, and zooming."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
import pytest
import torch

from loratory.data.buckets import Fit, enlarged
from loratory.training.colours import change_gamma, changed_colours, draw_colours, turn_hue
from loratory.training.views import View
from tests.unit.training.helpers import Pixels, job, sample
from tests.unit.training.test_batches import WIDE, make, maker


def some_pixels() -> torch.Tensor:
    """(3, 16, 16) of all kinds of colours, and greys, black and white."""
    pixels = np.random.default_rng(1).integers(0, 256, (3, 16, 16), dtype=np.uint8)
    pixels[:, 0, :3] = [[0, 255, 90]] * 3
    return torch.from_numpy(pixels)


@pytest.mark.parametrize("degrees", [0.0, 16.0, -16.0, 120.0, -200.0])
def test_hues_turn_and_nothing_else(degrees: float) -> None:
    pixels = some_pixels()
    found = turn_hue(pixels, degrees).flatten(1).T.tolist()
    for before, after in zip(pixels.flatten(1).T.tolist(), found, strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(level / 255 for level in before))
        wanted = colorsys.hsv_to_rgb((hue + degrees / 360) % 1, saturation, value)
        assert np.abs(np.array(after) - 255 * np.array(wanted)).max() < 0.51


@pytest.mark.parametrize("gamma", [0.95, 1.0, 1.05])
def test_gamma(gamma: float) -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16).expand(3, 16, 16)
    found = change_gamma(levels, gamma)
    assert found.dtype == torch.uint8
    wanted = [255 * (level / 255) ** gamma for level in range(256)]
    assert np.abs(found[0].flatten().numpy() - wanted).max() < 0.51
    assert torch.equal(found, levels) == (gamma == 1.0)


def test_a_third_is_changed_and_mildly() -> None:
    pixels = some_pixels()
    red = torch.tensor([200, 0, 0], dtype=torch.uint8).reshape(3, 1, 1)
    changed = 0
    for seed in range(900):
        change = draw_colours(np.random.default_rng(seed))
        assert change == draw_colours(np.random.default_rng(seed))
        if change is None:
            continue
        changed += not torch.equal(changed_colours(pixels, change), pixels)
        level = changed_colours(red, change).flatten() / 255
        hue = colorsys.rgb_to_hsv(*level.tolist())[0] * 360
        assert min(hue, 360 - hue) < 16.5
        assert abs(float(level[0]) - 200 / 255) < 0.012
    assert abs(changed / 900 - 1 / 3) < 0.08  # five deviations


def test_an_enlarged_picture_is_cut_in_its_centre() -> None:
    fit = Fit(bucket=(96, 64), scaled=(112, 64), crop=(8, 0))
    assert enlarged(fit, 1.0) == fit
    assert enlarged(fit, 1.5) == Fit(bucket=(96, 64), scaled=(168, 96), crop=(36, 16))
    assert enlarged(Fit((64, 64), (64, 65), (0, 0)), 1.001).scaled == (64, 65)


def changing(**augmentation: Any) -> Any:
    datasets = [{"path": "photos", "augmentation": {"variants": None, **augmentation}}]
    return job(datasets=datasets, caching={"latents": "off"})


class Asked(Pixels):
    """Also remembers to which size pictures were to be resized."""

    def __init__(self) -> None:
        super().__init__()
        self.scaled: list[tuple[int, int]] = []

    def pixels(self, sample: Any, view: View) -> torch.Tensor:
        self.scaled.append(view.fit.scaled)
        room = np.subtract(view.fit.scaled, view.fit.bucket)
        assert (np.array(view.fit.crop) >= 0).all()
        assert (np.array(view.fit.crop) <= room).all()
        return super().pixels(sample, view)


@pytest.mark.parametrize("random_crop", [False, True])
def test_zoom_is_drawn_evenly_and_the_model_is_told_the_crop(random_crop: bool) -> None:
    samples = [sample(0, WIDE, scaled=(112, 64))]
    widths = []
    for step in range(300):
        pixels = Asked()
        batch = make(maker(changing(zoom=1.5, random_crop=random_crop), samples, pictures=pixels), [0], step=step)
        crop = pixels.asked[0][1].fit.crop
        assert batch.sizes[0, 2:4].tolist() == [crop[1], crop[0]]
        width, height = pixels.scaled[0]
        assert abs(width / 112 - height / 64) < 0.0125  # half a pixel of each
        if not random_crop:
            assert crop == ((width - 96) // 2, (height - 64) // 2)
        widths.append(width / 112)
    assert min(widths) >= 1
    assert max(widths) <= 1.5
    assert np.abs(np.quantile(widths, [0.25, 0.5, 0.75]) - [1.125, 1.25, 1.375]).max() < 0.06


def test_colours_are_drawn_for_each_slot() -> None:
    samples = [sample(number, WIDE) for number in (200, 200)]
    values = []
    for step in range(300):
        pixels = Pixels()
        make(maker(changing(colour=True), samples, pictures=pixels), [0, 1], step=step)
        values.append([view.colours for _, view in pixels.asked])
    assert any(one != other for one, other in values)
    kinds = [None if change is None else change[0] for pair in values for change in pair]
    for kind, share in ((None, 2 / 3), ("hue", 1 / 6), ("gamma", 1 / 6)):
        assert abs(kinds.count(kind) / 600 - share) < 0.08
