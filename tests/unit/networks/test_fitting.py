"""A LoRA of another rank, as what training starts from: the same change, or the nearest of the lower rank."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from loratory.config.architectures import SPECS
from loratory.config.network import LoraConfig
from loratory.errors import UserError
from loratory.networks.base import Network, inject
from loratory.networks.fitting import fit
from loratory.networks.state import LayerTensors
from tests.unit.networks.helpers import StandInComponents, StandInModel, stir, tiny_unet


def network(rank: int, **changes: object) -> Network:
    model = StandInModel(SPECS["sd15"], StandInComponents(tiny_unet(), {}))
    made = inject(model, LoraConfig(rank=rank, alpha=3.0, conv_rank=rank, **changes), seed=rank)
    made.detach()
    return made


def dense(part: LayerTensors) -> Tensor:
    product = part["up"].flatten(1).double() @ part["down"].flatten(1).double()
    return product * (float(part["alpha"]) / part["down"].shape[0])


def test_more_ranks_change_nothing_and_can_learn() -> None:
    small, large = network(2), network(6)
    stir(small)
    fitted, notes = fit(small.state(), large, "small.safetensors")
    assert len(notes) == 1 and "padded, which changes nothing" in notes[0]
    large.load_state(fitted)
    for path, part in small.state().items():
        found = large.state()[path]
        torch.testing.assert_close(dense(found), dense(part))
        assert found["down"][2:].abs().min() > 0, "a rank whose two factors are zero never learns"
        assert found["up"][:, 2:].abs().max() == 0


def test_fewer_ranks_are_the_nearest() -> None:
    large, small = network(6), network(2)
    stir(large)
    fitted, notes = fit(large.state(), small, "large.safetensors")
    small.load_state(fitted)
    kept = []
    for path, part in large.state().items():
        wanted = dense(part)
        left, values, right = torch.linalg.svd(wanted, full_matrices=False)
        best = left[:, :2] * values[:2] @ right[:2]
        torch.testing.assert_close(dense(small.state()[path]), best, rtol=1e-4, atol=1e-5)
        kept.append(float(values[:2].norm() / values.norm()))
    assert f"keeps {100 * min(kept):.1f} %" in notes[0]


def test_the_same_rank_comes_through_as_it_is() -> None:
    first, second = network(3), network(3)
    stir(first)
    fitted, notes = fit(first.state(), second, "x.safetensors")
    assert notes == []
    assert all(torch.equal(fitted[path][name], part[name]) for path, part in first.state().items() for name in part)


def test_missing_layers_start_fresh_and_strange_ones_are_refused() -> None:
    attention = network(3, targets={"preset": "attn-only"})
    stir(attention)
    full = network(3)
    before = full.state()
    fitted, notes = fit(attention.state(), full, "x.safetensors")
    assert "start fresh" in notes[0]
    assert fitted.keys() == before.keys()
    for path in before.keys() - attention.state().keys():
        assert torch.equal(fitted[path]["down"], before[path]["down"])
    with pytest.raises(UserError, match=r"x\.safetensors has \d+ layers that are not trained here"):
        fit(full.state(), attention, "x.safetensors")
