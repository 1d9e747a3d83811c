"""Resizing and cropping on the way to the model, against Pillow's own bicubic filter."""

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from loratory.data.buckets import Fit, size_conditioning
from loratory.training.pixels import resize_and_crop, to_model_range

PHOTOS = {name: np.ascontiguousarray(getattr(skimage.data, name)()) for name in ("astronaut", "coffee", "chelsea")}


def as_rows(tensor):
    return tensor.permute(1, 2, 0).numpy()


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("scaled", [(300, 200), (64, 48), (700, 640), (511, 33), (451, 301)])
def test_resizing_agrees_with_pillow(name, scaled):
    image = PHOTOS[name]
    expected = np.asarray(Image.fromarray(image).resize(scaled, Image.Resampling.BICUBIC)).astype(int)
    pixels = resize_and_crop(image, Fit(scaled, scaled, (0, 0)))
    assert pixels.dtype == torch.uint8
    assert pixels.shape == (3, scaled[1], scaled[0])
    assert pixels.is_contiguous()
    difference = np.abs(as_rows(pixels).astype(int) - expected)
    # Each of the two passes clips to 0..255, and Pillow may take the rows first: a clipped edge then differs by more.
    assert (difference > 1).mean() < 1e-3
    assert difference.max() <= 5
    assert difference.mean() < 0.2


def test_the_window_is_cut_out_of_the_scaled_picture():
    image = PHOTOS["coffee"]
    fit = Fit((256, 192), (300, 200), (22, 4))
    whole = as_rows(resize_and_crop(image, Fit((300, 200), (300, 200), (0, 0))))
    assert np.array_equal(as_rows(resize_and_crop(image, fit)), whole[4:196, 22:278])
    for left, top in ((0, 0), (44, 8), (7, 3)):
        window = whole[top : top + 192, left : left + 256]
        there = Fit((256, 192), (300, 200), (left, top))
        assert np.array_equal(as_rows(resize_and_crop(image, there)), window)
        assert np.array_equal(as_rows(resize_and_crop(image, there, flip=True)), window[:, ::-1])


def test_the_size_ids_of_a_flipped_window_point_into_the_mirrored_picture():
    image = PHOTOS["chelsea"][:200, :300]
    fit = Fit((256, 192), (300, 200), (5, 3))
    _, _, top, left, height, width = size_conditioning((300, 200), fit, flip=True)
    mirrored = image[:, ::-1]
    expected = mirrored[top : top + height, left : left + width]
    assert np.array_equal(as_rows(resize_and_crop(image, fit, flip=True)), expected)


def test_a_picture_of_the_right_size_is_not_changed():
    image = PHOTOS["astronaut"]
    pixels = resize_and_crop(image, Fit((512, 512), (512, 512), (0, 0)))
    assert np.array_equal(as_rows(pixels), image)
    pixels.zero_()
    assert PHOTOS["astronaut"].any(), "the result is a copy"


@pytest.mark.parametrize("crop", [(-1, 0), (45, 0), (0, 9)])
def test_a_crop_outside_is_our_mistake(crop):
    with pytest.raises(AssertionError):
        resize_and_crop(PHOTOS["coffee"], Fit((256, 192), (300, 200), crop))


def test_model_range():
    levels = torch.tensor([[0, 255, 51, 204]], dtype=torch.uint8)
    values = to_model_range(levels)
    assert values.dtype == torch.float32
    assert torch.allclose(values, torch.tensor([[-1.0, 1.0, -0.6, 0.6]]), atol=1e-6)
