"""Guided targets and average velocities, against NumPy and against flows whose velocities are known in closed form."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from loratory.config.objective import ObjectiveConfig
from loratory.training import objective
from loratory.training.objectives.targets import (
    average_velocity,
    guidance_at,
    guided,
    stretch_of,
)

GENERATOR = np.random.default_rng(5)
TARGET, UNCONDITIONAL = GENERATOR.standard_normal((2, 3, 2, 4, 5))
SCALES = np.array([1.0, 3.0, 4.5])


# Contrastive guidance ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fitted", [False, True])
def test_a_guided_target(fitted: bool) -> None:
    """u + g(y - u) (Ho and Salimans 2022, eq. 6); with u scaled by <y,u>/|u|² (Fan et al. 2025, CFG-Zero*)."""
    found = guided(torch.tensor(TARGET), torch.tensor(UNCONDITIONAL), torch.tensor(SCALES), fitted=fitted)
    for i, scale in enumerate(SCALES):
        y, u = TARGET[i], UNCONDITIONAL[i]
        if fitted:
            u = u * (y * u).sum() / (u * u).sum()
        np.testing.assert_allclose(found[i], u + scale * (y - u), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found[0], TARGET[0], rtol=1e-6, atol=1e-6, err_msg="scale 1 is the plain target")


def test_a_fitted_prediction_lies_closest_to_the_target() -> None:
    found = guided(torch.tensor(TARGET), torch.tensor(UNCONDITIONAL), torch.zeros(3), fitted=True).numpy()  # u alone
    for i in range(3):
        best = ((TARGET[i] - found[i]) ** 2).sum()
        for factor in (0.9, 1.1):
            assert ((TARGET[i] - factor * found[i]) ** 2).sum() > best
    nothing = guided(torch.tensor(TARGET), torch.zeros(3, 2, 4, 5), torch.tensor(SCALES), fitted=True)
    assert nothing.isfinite().all(), "also where there is nothing to scale"


def test_the_scale_falls_to_one_at_the_clean_end() -> None:
    scales, shares = torch.tensor([3.0, 3.0, 5.0]), torch.tensor([0.0, 0.5, 1.0])
    assert guidance_at(scales, shares, "constant").tolist() == [3, 3, 5]
    assert guidance_at(scales, shares, "sigma").tolist() == [1, 2, 5]


def test_the_share_of_noise() -> None:
    """σ of a flow; of x = a·picture + b·noise with a² = ᾱ, b² = 1 - ᾱ it is b/(a+b)."""
    assert objective.noise_share(torch.tensor([0.0, 0.3, 1.0]), None).tolist() == pytest.approx([0, 0.3, 1])
    alphas = np.array([1.0, 0.36, 0.0])
    schedule = objective.NoiseSchedule(torch.tensor(alphas, dtype=torch.float32), "epsilon")
    found = objective.noise_share(torch.tensor([0, 1, 2]), schedule)
    np.testing.assert_allclose(found, [0, 0.8 / 1.4, 1], rtol=1e-6)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_guidance_of_the_target_is_guidance_of_the_picture_that_follows(kind: str) -> None:
    """A prediction and its picture belong together linearly, so guided targets mean the same for noise and velocity."""
    alphas = torch.tensor([0.9, 0.5, 0.1])
    schedule = objective.NoiseSchedule(alphas, kind)
    latents, noise = torch.tensor(TARGET), torch.tensor(GENERATOR.standard_normal(TARGET.shape))
    inputs = objective.make_inputs(latents, noise, torch.arange(3), schedule, ObjectiveConfig())
    config = ObjectiveConfig(guidance_loss_target=3.0)
    shares = objective.noise_share(inputs.times, schedule)
    target = objective.with_guidance(inputs, torch.tensor(UNCONDITIONAL), torch.tensor(SCALES), shares, config).target

    def picture(prediction: np.ndarray, i: int) -> np.ndarray:
        a, b = math.sqrt(alphas[i]), math.sqrt(1 - alphas[i])
        x = inputs.noisy[i].numpy()
        return (x - b * prediction) / a if kind == "epsilon" else a * x - b * prediction

    for i, scale in enumerate(SCALES):
        without = picture(UNCONDITIONAL[i], i)
        expected = without + scale * (TARGET[i] - without)
        np.testing.assert_allclose(picture(target[i].numpy(), i), expected, rtol=1e-4, atol=1e-4)


# MeanFlow ----------------------------------------------------------------------------------------------------


def shifted(s: float, k: float) -> float:
    return k * s / (1 + (k - 1) * s)


@pytest.mark.parametrize("shift", [1.0, 3.0, 0.5])
@pytest.mark.parametrize("steps", [1, 2, 4, 25])
def test_a_stretch_is_the_samplers_step_that_a_time_lies_in(steps: int, shift: float) -> None:
    ends = [shifted(number / steps, shift) for number in range(steps + 1)]
    for number in range(steps):
        low, high = ends[number], ends[number + 1]
        times = torch.tensor([low + 0.01 * (high - low), (low + high) / 2, high])
        stretch = stretch_of(times, steps, shift)
        np.testing.assert_allclose(stretch.start, [low] * 3, atol=1e-5)
        np.testing.assert_allclose(stretch.end, [high] * 3, atol=1e-5, err_msg="the noisy end belongs to it")


def test_diffusers_asks_at_the_ends_of_the_stretches() -> None:
    """The times at which its Euler sampler asks, with the shift that it calculates itself."""
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    height, width = 96, 64
    scheduler.set_timesteps(sigmas=np.linspace(1, 1 / 4, 4), mu=math.log(objective.resolution_shift(height, width)))
    times = scheduler.sigmas
    stretch = stretch_of(times[:-1], 4, objective.shift_at("resolution", (height, width)))
    torch.testing.assert_close(stretch.end, times[:-1])
    torch.testing.assert_close(stretch.start, times[1:], atol=1e-6, rtol=0)
    assert objective.shift_at(2.5, (height, width)) == 2.5


DEVIATION = 0.5


def spread(t: float) -> float:
    """Of z_t = (1-t)·x + t·ε, with pictures x of deviation 0.5."""
    return math.sqrt((1 - t) ** 2 * DEVIATION**2 + t**2)


def velocity(z: float, t: float) -> float:
    """The marginal velocity of that flow; along it z_t / spread(t) stays the same."""
    return z * (t - (1 - t) * DEVIATION**2) / spread(t) ** 2


def mean_velocity(z: float, r: float, t: float) -> float:
    """(z_t - z_r) / (t - r): what a sampler needs to go from t to r in one step."""
    return z * (1 - spread(r) / spread(t)) / (t - r)


@pytest.mark.parametrize(("r", "t"), [(0.0, 1.0), (0.0, 0.3), (0.25, 0.5), (0.75, 0.99)])
def test_the_average_velocity_meets_its_own_target(r: float, t: float) -> None:
    """Geng et al. 2025, eq. 6, for a flow between normal distributions, whose averages are known."""
    z, share = 1.3, 1e-4
    way = share * (t - r)
    v, here = velocity(z, t), mean_velocity(z, r, t)
    before = mean_velocity(z - way * v, r, t - way)
    numbers = [torch.full((1, 1), each, dtype=torch.float64) for each in (v, here, before)]
    found = average_velocity(*numbers, share).item()
    assert found == pytest.approx(here, abs=1e-3)
    assert abs(v - here) > 0.02, "and it is not the velocity itself"


def test_no_gradient_flows_through_the_target() -> None:
    here = torch.randn(2, 1, 2, 2, requires_grad=True)
    before = torch.randn(2, 1, 2, 2, requires_grad=True)
    assert not average_velocity(torch.randn(2, 1, 2, 2), here, before, 0.1).requires_grad


def learned(ends: list[float], share: float) -> dict[float, float]:
    """What a model z·w(t), with a number for each of many times, has at the sampler's times after learning from random
    pairs of picture and noise, by end of the step."""
    random, found = np.random.default_rng(0), {}
    for r, t in itertools.pairwise(ends):
        times = r + (t - r) * np.linspace(0.01, 1, 40)
        numbers = np.zeros(40)
        for step in range(1000):
            x, noise = DEVIATION * random.standard_normal((40, 16)), random.standard_normal((40, 16))
            z, v = (1 - times[:, None]) * x + times[:, None] * noise, noise - x
            way = share * (times - r)
            here = numbers[:, None] * z
            before = np.interp(times - way, times, numbers)[:, None] * (z - way[:, None] * v)
            target = average_velocity(*(torch.tensor(each) for each in (v, here, before)), share).numpy()
            rate = 2 * share / (1 + step / 200)
            numbers -= rate * ((here - target) * z).mean(1) / (spread_of(times) ** 2)
        found[t] = float(numbers[-1])
    return found


def spread_of(times: np.ndarray) -> np.ndarray:
    return np.array([spread(t) for t in times])


@pytest.mark.parametrize("steps", [1, 2])
def test_learning_by_the_target_ends_at_the_average(steps: int) -> None:
    """A sampler of so few Euler steps then makes pictures of the right spread; plain velocities don't."""
    ends = [number / steps for number in range(steps + 1)]
    numbers = learned(ends, 0.1)
    for r, t in itertools.pairwise(ends):
        assert numbers[t] == pytest.approx(mean_velocity(1.0, r, t), abs=0.03)
    made = math.prod(1 - numbers[t] / steps for t in ends[1:])
    plain = math.prod(1 - velocity(1.0, t) / steps for t in ends[1:])
    assert made == pytest.approx(DEVIATION, abs=0.04)
    assert abs(plain - DEVIATION) > 0.25
