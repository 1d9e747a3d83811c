"""Adapters of 16 bits: steps in 32 bits for every optimizer, and stochastic rounding against its definition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from loratory.config.ema import EmaConfig
from loratory.training import loop
from loratory.training.ema import Ema
from loratory.training.optimizers import WorkCopies, averaged, set_rates
from loratory.training.optimizers.rounding import round_stochastically
from tests.unit.training.optimizer_cases import KINDS, VARIANTS, everything, resumed, same, step, training_of

each = pytest.mark.parametrize("name", VARIANTS)
BF16 = {"memory": {"adapter_precision": "bf16"}}
FP16 = {"memory": {"adapter_precision": "fp16"}}


def drawn(values: Tensor, seed: int) -> Tensor:
    rounded = torch.empty(values.shape, dtype=torch.bfloat16)
    round_stochastically(values.clone(), rounded, torch.Generator().manual_seed(seed))
    return rounded.float()


# Rounding ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1.001, -1.001, 0.3, -7e-5, 1e-39, 255.3])
def test_the_mean_of_many_draws_is_the_value(value: float) -> None:
    """bf16 has 8 bits: beside a value in [2^e, 2^(e+1)) its numbers lie 2^(e-7) apart, below 2^-126 2^-133."""
    count = 200_000
    found = drawn(torch.full((count,), value), 1).double().numpy()
    exact = float(np.float32(value))
    gap = 2.0 ** (max(np.floor(np.log2(abs(exact))), -126) - 7)
    below = np.floor(exact / gap) * gap
    assert set(np.unique(found)) == {below, below + gap}, "its two neighbours"
    share = (exact - below) / gap
    # Five standard deviations of a mean of so many coins.
    assert abs(found.mean() - exact) < 5 * gap * np.sqrt(share * (1 - share) / count)


def test_what_bf16_can_hold_stays() -> None:
    """Zero, both signs, the smallest and largest, and what is not finite: for any draw."""
    limits = torch.finfo(torch.bfloat16)
    values = torch.tensor([0.0, 1.5, -2.25, limits.tiny, limits.max, -limits.max, float("inf"), float("-inf")])
    for seed in range(50):
        assert torch.equal(drawn(values, seed), values)
    assert bool(drawn(torch.tensor([float("nan")]), 0).isnan())


def moved(steps: int, stochastic: bool, update: float) -> Tensor:
    weight = nn.Parameter(torch.ones(4000, dtype=torch.bfloat16))
    work = WorkCopies([weight], seed=3, stochastic=stochastic)
    for number in range(steps):
        with work.in_full([weight], number):
            weight.data += update
    assert weight.dtype == torch.bfloat16
    return weight.detach().float() - 1


def test_steps_too_small_for_bf16_arrive_on_average() -> None:
    """Above 1 bf16 goes in steps of 2^-7: 64 times 2^-12 is two of them, of which rounding to the nearest loses all."""
    assert torch.equal(moved(64, False, 2.0**-12), torch.zeros(4000))
    found = moved(64, True, 2.0**-12).double()
    # Each step of 2^-12 moves a weight by 2^-7 with probability 1/32: a binomial of 64 draws.
    deviation = 2.0**-7 * np.sqrt(64 * (1 / 32) * (31 / 32))
    assert abs(float(found.mean()) - 2.0**-6) < 5 * deviation / np.sqrt(4000)
    assert abs(float(found.std()) - deviation) < 0.1 * deviation


def test_draws_are_a_function_of_seed_step_and_weight() -> None:
    def draw(seed: int = 0, number: int = 0, step: int = 0, parts: int = 1) -> Tensor:
        weights = [nn.Parameter(torch.ones(500, dtype=torch.bfloat16)) for _ in range(3)]
        work = WorkCopies(weights, seed, stochastic=True)
        chosen = weights if parts == 1 else [weights[number]]
        with work.in_full(chosen, step):
            for weight in chosen:
                weight.data += 2.0**-9
        return weights[number].detach().float()

    usual = draw()
    assert torch.equal(usual, draw())
    assert torch.equal(draw(number=2), draw(number=2, parts=3)), "whatever else steps with it"
    assert all(not torch.equal(usual, other) for other in (draw(seed=1), draw(number=1), draw(step=1)))


def test_weights_of_32_bits_are_left_alone() -> None:
    weight = nn.Parameter(torch.ones(3))
    weight.grad = torch.ones(3)
    with WorkCopies([weight], 0, stochastic=True).in_full([weight], 0):
        weight.data += 1e-7
    assert weight.grad is not None
    assert float(weight.detach()[0]) == float(np.float32(1 + 1e-7))


def formats(training: Any) -> list[dict[str, Any]]:
    """Of each tensor that the optimizer remembers, by weight."""
    state = training.optimizer.state
    return [
        {name: value.dtype for name, value in state[weight].items() if isinstance(value, Tensor)}
        for weight in training.weights.parameters()
    ]


# Every optimizer ---------------------------------------------------------------------------------------------


@each
@pytest.mark.parametrize("sections", [BF16, FP16], ids=["bf16", "fp16"])
def test_it_fits_a_small_problem(name: str, sections: dict[str, Any]) -> None:
    training, plain = training_of(VARIANTS[name], **sections), training_of(VARIANTS[name])
    dtype = torch.bfloat16 if sections is BF16 else torch.float16
    losses = []
    for number in range(60):
        losses.append(step(training, number))
        assert all(weight.dtype == dtype for weight in training.weights.parameters())
    with averaged(training.optimizer):
        last = sum(float(training.weights.loss(number).detach()) for number in range(4)) / 4
    assert last < 0.7 * losses[0], losses[::10]
    step(plain, 0)
    assert formats(training) == formats(plain), "what is remembered is as precise as with weights of 32 bits"


@each
def test_it_resumes_bit_equal(name: str, tmp_path: Path) -> None:
    whole = training_of(VARIANTS[name], **BF16)
    for number in range(3):
        step(whole, number)
    parted = resumed(whole, VARIANTS[name], tmp_path / "3", **BF16)
    parted.steps_done = 3
    for number in range(3, 6):
        step(whole, number)
        step(parted, number)
    assert same(everything(parted), everything(whole)) == []
    parted.steps_done = 4  # what is drawn depends on it
    step(whole, 6)
    step(parted, 6)
    assert same(everything(parted), everything(whole)) != []


@each
@pytest.mark.parametrize("sections", [BF16, FP16], ids=["bf16", "fp16"])
def test_a_step_that_is_no_number_or_has_no_rate_changes_nothing(name: str, sections: dict[str, Any]) -> None:
    training = training_of(VARIANTS[name], **sections)
    step(training, 0)
    before = everything(training)
    step(training, 1, "gradient")
    step(training, 1, "loss")
    assert same(everything(training), before) == []
    if training.config.optimizer.type == "adafactor" and training.config.optimizer.relative_step:
        return  # no rate is set
    weights = {key: value.detach().clone() for key, value in training.weights.named_parameters()}
    if "schedule_free" not in training.config.optimizer.type:  # these move to their average at any rate
        set_rates(training.optimizer, 0.0)
        step(training, 1)
        assert all(torch.equal(weights[key], value) for key, value in training.weights.named_parameters())


@each
def test_fp16_with_a_scaler(name: str) -> None:
    """Gradients are unscaled in fp32, where nothing is lost: a scale of a power of two changes nothing."""
    plain, scaled = training_of(VARIANTS[name], **FP16), training_of(VARIANTS[name], **FP16)
    scaled.scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=1000)
    for number in range(4):
        step(plain, number)
        if number == 2:
            scaled.scaler.scale(scaled.weights.loss(number)).backward()
            scaled.weights.up.grad[0, 0] = float("inf")
            loop.optimizer_step(scaled, torch.tensor(1.0))  # left out, and the scale is halved
        scaled.scaler.scale(scaled.weights.loss(number)).backward()
        loop.optimizer_step(scaled, torch.tensor(1.0))
    for one, other in zip(plain.weights.parameters(), scaled.weights.parameters(), strict=True):
        # Small gradients that fp16 rounds off are kept by the scale.
        torch.testing.assert_close(one, other, rtol=5e-3, atol=5e-4)
    assert scaled.scaler.get_scale() == 2.0


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.separable])
def test_in_the_backward_pass_too(name: str) -> None:
    settings = VARIANTS[name] | {"max_grad_norm": 0.0}
    whole = training_of(settings, **BF16)
    parted = training_of(settings | {"fused_backward_pass": True}, **BF16)
    for number in range(4):
        step(whole, number)
        step(parted, number)
        assert float(whole.norm) == float(parted.norm)
    assert same(everything(parted), everything(whole)) == []


def test_bf16_follows_fp32_where_rounding_to_the_nearest_stands_still() -> None:
    """Rates usual for LoRA: a step is a hundredth of the distance between two numbers of bf16."""
    settings = {"type": "adamw", "learning_rate": 3e-4, "weight_decay": 0.0}
    found = {}
    for name, more, sections in (
        ("fp32", {}, {}), ("stochastic", {}, BF16), ("nearest", {"stochastic_rounding": False}, BF16)
    ):  # fmt: skip
        training = training_of(settings | more, **sections)
        with torch.no_grad():
            for weight in training.weights.parameters():
                weight += 0.5
        losses = [step(training, number) for number in range(300)]
        found[name] = losses[0] - sum(losses[-8:]) / 8
    assert found["stochastic"] == pytest.approx(found["fp32"], rel=0.03)
    assert found["nearest"] < 0.5 * found["fp32"]


# What else looks at the weights ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["adamw_schedule_free", "radam_schedule_free", "prodigy_plus_schedule_free"])
def test_the_average_is_seen_in_fp32_and_leaves_no_trace(name: str) -> None:
    training = training_of(VARIANTS[name], **BF16)
    for number in range(10):
        step(training, number)
    before = everything(training)
    with averaged(training.optimizer):
        assert all(weight.dtype == torch.float32 for weight in training.weights.parameters())
        inside = [weight.detach().clone() for weight in training.weights.parameters()]
    assert same(everything(training), before) == []
    assert any(not torch.equal(one, other.float()) for one, other in
               zip(inside, training.weights.parameters(), strict=True))  # fmt: skip


def test_a_running_mean_moves_by_less_than_bf16_can_show() -> None:
    weight = nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    ema = Ema(EmaConfig(decay=0.999, warm_up=False), {"weight": weight})
    with torch.no_grad():
        weight.fill_(2.0)
    for done in range(1, 4):
        ema.update(done)
    with ema.in_use():
        assert weight.dtype == torch.float32
        assert float(weight.detach()[0]) == pytest.approx(2 - 0.999**3, rel=1e-6)
    assert weight.dtype == torch.bfloat16
    assert float(weight.detach()[0]) == 2.0
