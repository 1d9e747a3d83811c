"""Running statistics of the loss against NumPy's own, over windows that slide."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from loratory.training.signs import SignAgreement
from loratory.training.statistics import SPREAD_WINDOW, WINDOW, Statistics

random = np.random.default_rng(0)
STREAMS = {
    "falling": 0.5 - np.arange(700) * 2e-4 + random.normal(0, 0.02, 700),
    "flat": np.full(700, 0.25),
    "rough": random.uniform(0, 1, 700),
    "large": 1e6 + random.normal(0, 1, 700),
}


@pytest.mark.parametrize("name", STREAMS)
def test_slope_r2_and_spread_are_those_of_a_whole_pass(name: str) -> None:
    statistics = Statistics()
    for step, value in enumerate(STREAMS[name]):
        reading = statistics.add(step, float(value), None)
        if step not in (5, 19, 150, 199, 200, 431, 699):
            continue
        window = STREAMS[name][max(0, step + 1 - WINDOW) : step + 1]
        assert reading.count == len(window)
        if len(window) < 20:
            assert reading.slope is None and reading.r2 is None
            continue
        places = np.arange(len(window))
        slope, _ = np.polyfit(places, window, 1)
        assert reading.slope == pytest.approx(slope, rel=1e-4, abs=1e-8)
        if name != "flat":
            assert reading.r2 == pytest.approx(np.corrcoef(places, window)[0, 1] ** 2, rel=1e-2, abs=1e-5)
        else:
            assert reading.r2 == 0
        recent = STREAMS[name][max(0, step + 1 - SPREAD_WINDOW) : step + 1]
        assert reading.variation == pytest.approx(recent.std() / recent.mean(), rel=1e-9, abs=1e-12)


def test_running_means_have_the_published_weights() -> None:
    """2 / (N + 1): .182, .039 and .020, beginning at the first value."""
    statistics = Statistics()
    statistics.add(0, 1.0, 0.5)
    statistics.add(1, 2.0, 0.75)
    means = statistics.means()
    assert means["loss_ema_10"] == pytest.approx(1 + 0.1818, abs=1e-4)
    assert means["loss_ema_50"] == pytest.approx(1 + 0.0392, abs=1e-4)
    assert means["loss_ema_100"] == pytest.approx(1 + 0.0198, abs=1e-4)
    assert means["grad_ema_50"] == pytest.approx(0.5 + 0.25 * 0.0392, abs=1e-4)


def test_what_is_not_a_number_is_left_out() -> None:
    statistics = Statistics()
    for step in range(30):
        reading = statistics.add(step, float("nan") if step % 3 == 0 else float(step), float("nan"))
    assert reading.count == 20 and reading.stability is None


def test_it_goes_on_bit_for_bit_from_its_state() -> None:
    whole, parted = Statistics(), Statistics()
    for step, value in enumerate(STREAMS["rough"]):
        if step == 333:
            text = json.dumps(parted.state())
            parted = Statistics()
            parted.load(json.loads(text))
        first, second = whole.add(step, float(value), 0.5), parted.add(step, float(value), 0.5)
        assert first == second
    assert whole.means() == parted.means()


# Signs


def parameters_with(gradients: list[torch.Tensor]) -> list[nn.Parameter]:
    made = []
    for gradient in gradients:
        parameter = nn.Parameter(torch.zeros_like(gradient))
        parameter.grad = gradient
        made.append(parameter)
    return made


def test_the_share_of_signs_that_stayed() -> None:
    """Worked out by hand: of four numbers one changes its sign; zero counts as not positive."""
    members = parameters_with([torch.tensor([1.0, -1.0]), torch.tensor([[0.0], [2.0]])])
    signs = SignAgreement(members)
    assert torch.isnan(signs.look())
    members[0].grad = torch.tensor([3.0, 1.0])
    members[1].grad = torch.tensor([[-5.0], [0.1]])
    assert float(signs.look()) == 0.75
    members[0].grad = None  # counts as not positive
    assert float(signs.look()) == 0.5


def test_a_large_network_is_sampled_evenly_and_the_state_is_small() -> None:
    generator = torch.Generator().manual_seed(0)
    members = parameters_with([torch.randn(300, 300, generator=generator) for _ in range(130)])
    signs = SignAgreement(members)
    signs.look()
    state = signs.state()
    assert state is not None and len(state) < 15_000
    for member in members:
        keep = torch.rand(member.shape, generator=generator) < 0.7
        member.grad = torch.where(keep, member.grad, -member.grad)
    again = SignAgreement(members)
    again.load(state)
    found = signs.look()
    assert torch.equal(found, again.look())
    assert float(found) == pytest.approx(0.7, abs=0.02)
