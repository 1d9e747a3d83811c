"""The transformer, the texts and the pipeline of OmniGen2 against their authors' own.

The numbers come from VectorSpaceLab/OmniGen2 (commit 0f72fa9, omnigen2/models and omnigen2/pipelines), run with the
weights and the input that are made here: `load_state_dict` took every name.
"""

import zlib

import numpy as np
import pytest
import torch

from loratory.models.common.omnigen2 import OmniGen2Transformer2DModel

SETTINGS = {
    "hidden_size": 48, "num_layers": 2, "num_refiner_layers": 2, "num_attention_heads": 4, "num_kv_heads": 2,
    "multiple_of": 8, "axes_dim_rope": (4, 4, 4), "axes_lens": (64, 32, 32), "text_feat_dim": 20, "in_channels": 4,
}  # fmt: skip
PLACES = [0, 1, 50, 100, 191, 200, 301, 383]


def numbers(name, shape):
    """Normal numbers that depend on the name; smaller for weights with more inputs."""
    draws = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).standard_normal(shape)
    return torch.from_numpy((draws / (1 if len(shape) < 2 else np.sqrt(np.prod(shape[1:])))).astype(np.float32))


def fill(module):
    for name, parameter in module.named_parameters():
        value = numbers(name, tuple(parameter.shape))
        is_scale = "norm" in name and parameter.ndim == 1 and "bias" not in name
        parameter.data.copy_(1 + 0.1 * value if is_scale else value)
    return module.eval().requires_grad_(False)


def given():
    """Noisy latents of two pictures, and texts of seven and four tokens."""
    random = np.random.Generator(np.random.PCG64(7))
    latents = torch.from_numpy(random.standard_normal((2, 4, 8, 6)).astype(np.float32))
    text = torch.from_numpy(random.standard_normal((2, 7, 20)).astype(np.float32))
    mask = torch.tensor([[True] * 7, [True] * 4 + [False] * 3])
    return latents, text, mask, torch.tensor([0.4, 0.75])


@pytest.fixture(scope="module")
def transformer():
    return fill(OmniGen2Transformer2DModel(**SETTINGS))
