"""The transformer of Chroma Radiance against its authors' own.

The numbers come from lodestone-rock/flow (commit bb5274c, src/models/chroma/model_dct.py), run with the weights and the
input that are made here: `Chroma(ChromaParams(…)).load_state_dict(original_names(weights))`, which took every name.
"""

import zlib

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from loratory.models.common.radiance import RadianceTransformer
from tests.tiny import chroma_radiance
from tests.unit.models.conftest import load_model

SETTINGS = {
    "num_layers": 2, "num_single_layers": 2, "attention_head_dim": 16, "num_attention_heads": 2,
    "joint_attention_dim": 24, "axes_dims_rope": (4, 4, 8), "approximator_num_channels": 16,
    "approximator_hidden_dim": 40, "approximator_layers": 2, "nerf_hidden_size": 8, "nerf_mlp_ratio": 2,
    "nerf_depth": 2, "nerf_max_freqs": 4,
}  # fmt: skip
PLACES = [0, 1, 100, 777, 2000, 3333, 4607]
VELOCITY = [0.036297, -0.36265, 0.739789, -0.658977, -0.919945, -1.543477, 0.250408]
FROM_PICTURE = [-0.087668, 1.653488, -2.610666, 3.163131, 1.385774, 2.074958, 0.628532]


def numbers(name, shape):
    """Normal numbers that depend on the name; smaller for weights with more inputs."""
    draws = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).standard_normal(shape)
    return torch.from_numpy((draws / (1 if len(shape) < 2 else np.sqrt(np.prod(shape[1:])))).astype(np.float32))


def transformer(**settings):
    model = RadianceTransformer(**SETTINGS, **settings).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        value = numbers(name, tuple(parameter.shape))
        parameter.copy_(1 + 0.1 * value if "norm" in name else value)
    return model


@pytest.fixture(scope="module")
def given():
    """Noisy pixels and seven tokens of text, four of them real and one of padding that counts."""
    random = np.random.Generator(np.random.PCG64(7))
    pixels = torch.from_numpy(random.standard_normal((1, 3, 32, 48)).astype(np.float32))
    text = torch.from_numpy(random.standard_normal((1, 7, 24)).astype(np.float32))
    return pixels, text, torch.tensor([0.4])


@pytest.mark.parametrize(("settings", "wanted"), [({}, VELOCITY), ({"predicts_picture": True}, FROM_PICTURE)])
def test_it_paints_what_the_authors_model_paints(settings, wanted, given):
    pixels, text, time = given
    mask = torch.tensor([[True] * 5 + [False] * 2 + [True] * 6])
    model = transformer(**settings)
    painted = model(pixels, text, time, attention_mask=mask)[0]
    np.testing.assert_allclose(painted.flatten()[PLACES], wanted, atol=2e-5)
    without_padding = model(pixels, text[:, :5], time)[0]
    torch.testing.assert_close(without_padding, painted, rtol=0, atol=2e-5)
    if not settings:
        assert painted.mean().item() == pytest.approx(-0.246637, abs=1e-5)
        assert painted.std().item() == pytest.approx(0.711228, abs=1e-5)


def test_a_file_says_that_it_predicts_the_picture_and_has_the_older_head(tiny_model, tmp_path):
    folder = chroma_radiance.build(tmp_path / "model", final_head="linear")
    file = chroma_radiance.single_file(folder, tmp_path / "linear.safetensors", "original")
    save_file(load_file(file) | {"__x0__": torch.zeros(0)}, tmp_path / "picture.safetensors")
    plain, picture = (
        load_model(path, components=tiny_model("chroma_radiance")) for path in (file, tmp_path / "picture.safetensors")
    )
    config = picture.components.denoiser.config
    assert (config.final_head, config.predicts_picture) == ("linear", True)
    noisy, times = torch.ones(1, 3, 32, 32), torch.tensor([0.5])
    told = plain.collate(plain.encode_prompts(["a dog"]))
    with torch.no_grad():
        velocity = picture.predict(noisy, times, told, torch.zeros(1, 6))
        painted = plain.predict(noisy, times, told, torch.zeros(1, 6))
    torch.testing.assert_close(velocity, (noisy - painted) / 0.5)
