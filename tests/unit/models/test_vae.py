"""The autoencoder in narrow formats, in slices and in tiles."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from loratory.models.common.vae import AnyPrecisionAutoencoder, decode, encode_images
from loratory.training.cache import vae_fingerprint
from tests.unit.models.conftest import load_model


@pytest.fixture(scope="module")
def make(tiny_model: Callable[[str], Path]) -> Callable[..., AnyPrecisionAutoencoder]:
    def load(precision: torch.dtype = torch.float16, loud: float = 1.0) -> AnyPrecisionAutoencoder:
        """`loud` multiplies what comes after the first layers, on both ways; the norms behind it divide again."""
        vae = load_model(tiny_model("sd15"), vae_precision="fp32").components.vae
        with torch.no_grad():
            for part in (vae.encoder.conv_in, vae.decoder.conv_in):
                part.weight.mul_(loud)
        nn.Module.to(vae, precision)
        return vae

    return load


def pixels_of(*brightness: float, side: int = 32) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(len(brightness), 3, side, side, generator=generator)
    return noise * torch.tensor(brightness).view(-1, 1, 1, 1)


LOUD = 3e5
"""With pictures of brightness 1 the tiny model's first numbers then pass 65504, fp16's largest."""


def test_only_what_leaves_the_range_is_done_again(make: Callable, caplog: pytest.LogCaptureFixture) -> None:
    narrow, wide = make(loud=LOUD), make(torch.float32, loud=LOUD)
    wide.load_state_dict({name: tensor.float() for name, tensor in narrow.state_dict().items()})
    pixels = pixels_of(1e-3, 1.0, 1e-3, 1.0)
    with caplog.at_level(logging.WARNING):
        mean, deviation = encode_images(narrow, pixels)
        encode_images(narrow, pixels)
    assert [record.message for record in caplog.records] == [
        "The autoencoder leaves the range of float16; such pictures are done again in float32. With "
        "model.vae_precision fp32 they are done once."
    ], "said once"
    assert mean.isfinite().all() and deviation.isfinite().all()
    exact_mean, exact_deviation = encode_images(wide, pixels)
    again = torch.tensor([False, True, False, True])
    torch.testing.assert_close(mean[again], exact_mean[again], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(deviation[again], exact_deviation[again], rtol=1e-6, atol=1e-6)
    assert (mean - exact_mean)[~again].abs().max() > 1e-5
    torch.testing.assert_close(mean[~again], exact_mean[~again], rtol=0.05, atol=0.05)
    assert narrow.dtype == torch.float16


def test_a_pictures_latents_do_not_depend_on_its_neighbours_or_on_what_went_before(make: Callable) -> None:
    """So an entry of a cache stands for the picture and the weights: in any order, after a kill, in any batch."""
    vae = make(loud=LOUD)
    pixels = pixels_of(1e-3, 1.0, 2e-3)
    before = {name: tensor.clone() for name, tensor in vae.state_dict().items()}
    together = encode_images(vae, pixels)[0]
    alone = [encode_images(vae, pixels[number : number + 1])[0][0] for number in (2, 1, 0)][::-1]
    torch.testing.assert_close(together, torch.stack(alone), rtol=1e-2, atol=1e-2)
    fresh = make(loud=LOUD)
    assert torch.equal(encode_images(fresh, pixels[:1])[0], encode_images(vae, pixels[:1])[0])
    for name, tensor in vae.state_dict().items():
        assert tensor.dtype == before[name].dtype and torch.equal(tensor, before[name]), name


def test_pictures_are_not_black(make: Callable) -> None:
    narrow, wide = make(loud=LOUD / 10), make(torch.float32, loud=LOUD / 10)
    wide.load_state_dict({name: tensor.float() for name, tensor in narrow.state_dict().items()})
    latents = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    latents *= torch.tensor([1e-4, 20.0]).view(-1, 1, 1, 1)
    found, wanted = decode(narrow, latents), decode(wide, latents)
    assert found.isfinite().all()
    errors = [float((one - other).norm() / other.norm()) for one, other in zip(found, wanted, strict=True)]
    assert errors[1] < 1e-6 and 1e-5 < errors[0] < 0.05
    # As diffusers' pipelines call it: in the denoiser's format, and with a tuple for an answer.
    (sample,) = narrow.decode(latents.half() / narrow.config.scaling_factor, return_dict=False)
    assert sample.isfinite().all()
    (posterior,) = narrow.encode(pixels_of(1.0), return_dict=False)
    assert posterior.mean.isfinite().all()


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_a_format_that_is_wide_enough_is_kept(make: Callable, precision: torch.dtype, caplog: Any) -> None:
    vae = make(precision)
    calls: list[torch.dtype] = []
    vae.encoder.register_forward_pre_hook(lambda _, given: calls.append(given[0].dtype))
    encode_images(vae, pixels_of(1.0))
    assert calls == [precision]
    assert not caplog.records


def test_what_is_no_number_in_float32_either_stays_so(make: Callable) -> None:
    """The cache refuses it then, with the picture's name."""
    vae = make(torch.float16)
    with torch.no_grad():
        vae.encoder.conv_in.weight[0, 0, 0, 0] = float("nan")
    mean, _ = encode_images(vae, pixels_of(1.0))
    assert mean.isnan().any()


# Slices and tiles


def recorded(vae: Any) -> list[tuple[int, ...]]:
    """Shapes that the encoder and the decoder are given."""
    shapes: list[tuple[int, ...]] = []
    for part in (vae.encoder, vae.decoder):
        part.register_forward_pre_hook(lambda _, given: shapes.append(tuple(given[0].shape)))
    return shapes


def test_slices_are_single_pictures_and_change_nothing(make: Callable) -> None:
    plain, sliced = make(torch.float32), make(torch.float32)
    sliced.enable_slicing()
    shapes = recorded(sliced)
    pixels = pixels_of(1.0, 0.5, 0.2)
    mean, deviation = encode_images(sliced, pixels)
    wanted, wanted_deviation = encode_images(plain, pixels)
    torch.testing.assert_close(mean, wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(deviation, wanted_deviation, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(decode(sliced, mean), decode(plain, mean), rtol=1e-4, atol=1e-5)
    assert {shape[0] for shape in shapes} == {1} and len(shapes) == 6


def test_tiles_are_no_larger_than_they_should_be_and_have_latents_of_their_own(make: Callable) -> None:
    plain, tiled = make(torch.float32), make(torch.float32)
    tiled.enable_tiling()
    tiled.tile_sample_min_size, tiled.tile_latent_min_size = 32, 4
    shapes = recorded(tiled)
    pixels = pixels_of(1.0, side=64)
    mean, _ = encode_images(tiled, pixels)
    wanted, _ = encode_images(plain, pixels)
    assert mean.shape == wanted.shape
    assert len(shapes) > 1 and max(shape[-1] for shape in shapes) == 32
    assert not torch.equal(mean, wanted)

    class Model:
        def __init__(self, vae: Any) -> None:
            self.components = type("Components", (), {"vae": vae})

    keys = {vae_fingerprint(Model(vae)) for vae in (plain, tiled)}  # type: ignore[arg-type]
    assert len(keys) == 2, "latents of tiles are not mistaken for others"
    sliced = make(torch.float32)
    sliced.enable_slicing()
    assert vae_fingerprint(Model(sliced)) in keys  # type: ignore[arg-type]
    assert np.isfinite(decode(tiled, mean).numpy()).all()


def test_pictures_may_come_from_another_device(make: Callable) -> None:
    """The cache hands over what it has decoded on the CPU."""
    vae = make(torch.float32).to("meta")
    mean, _ = encode_images(vae, pixels_of(1.0))
    assert mean.device.type == decode(vae, torch.zeros(1, 4, 4, 4)).device.type == "meta"
