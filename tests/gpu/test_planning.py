"""What a step takes on a card is what is planned: true sizes with weights that mean nothing."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from loratory.networks.base import inject
from loratory.planner.memory import activation_bytes
from loratory.training.checkpointing import Recompute
from scripts.without_content import architecture, conditioning, latent_layout
from tests.unit.planner.helpers import job, model, numbers

pytestmark = [pytest.mark.gpu, pytest.mark.slow]
CUDA = torch.device("cuda")


@pytest.fixture(autouse=True)
def a_cuda_card() -> Iterator[None]:
    if not torch.cuda.is_available():
        pytest.skip("gpu: these look at CUDA's own counters")
    yield
    gc.collect()
    torch.cuda.empty_cache()


@pytest.mark.parametrize(("name", "side", "tokens"), [("sd15", 512, 77), ("sdxl", 1024, 77), ("flux1", 1024, 512)])
@pytest.mark.parametrize("policy", ["off", "on"])
def test_a_steps_highest_point_is_within_ten_per_cent(name: str, side: int, tokens: int, policy: str) -> None:
    sections: dict[str, Any] = {"network": {"rank": 16, "train_text_encoders": False},
                                "memory": {"gradient_checkpointing": policy}}  # fmt: skip
    config = job(name, **sections)
    mine = model(config)
    said = activation_bytes(mine, (side, side))
    if torch.cuda.mem_get_info()[0] < said + 1.3 * mine.weights(mine.spec.denoiser):
        pytest.skip("gpu: the card is too small")
    found = architecture(mine.spec)
    denoiser: Any = found.components.denoiser.to_empty(device=CUDA)
    with torch.no_grad():
        for each in denoiser.parameters():
            each.normal_(std=0.02)
    network = inject(found, config.network, seed=0, device=CUDA).train()
    if policy == "on":
        denoiser.enable_gradient_checkpointing(Recompute(1, keeps_attention=False, on_cpu=False, pin=False))
    channels, factor = latent_layout(found)
    told = {key: torch.randn(each.shape, dtype=each.dtype, device=CUDA)
            for key, each in conditioning(found, tokens).items()}  # fmt: skip
    noisy = torch.randn(1, channels, side // factor, side // factor, device=CUDA)
    times, sizes = torch.full((1,), 0.5, device=CUDA), torch.full((1, 6), 512.0, device=CUDA)
    for _ in range(2):  # the first one allocates workspaces
        network.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        found.predict(noisy, times, told, sizes).float().square().mean().backward()
        torch.cuda.synchronize()
    there = torch.cuda.max_memory_allocated() - before
    gradients = 4 * numbers(mine.network_shapes)
    network.detach()
    assert there - gradients - 0.1 * there <= said <= 1.1 * there, said / there
