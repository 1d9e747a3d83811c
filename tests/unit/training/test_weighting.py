"""How much each timestep counts, against numbers worked out here."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from loratory.config.objective import ObjectiveConfig
from loratory.models.base import NoiseSchedule
from loratory.training import objective

EVEN = np.linspace(0, 1, 100_001)


def weights_of(ratio: float | Fraction, prediction: str, **changes: object) -> float:
    """For one picture at a timestep with this SNR."""
    alpha = float(Fraction(ratio) / (1 + Fraction(ratio)))
    schedule = NoiseSchedule(torch.full((1000,), alpha, dtype=torch.float64), prediction)
    zeros = torch.zeros(1, 1, 2, 2)
    config = ObjectiveConfig(**changes)
    return objective.make_inputs(zeros, zeros, torch.zeros(1), schedule, config).weights.item()


@pytest.mark.parametrize(
    ("ratio", "epsilon", "velocity"),
    [
        (4, 0.5, 0.2),
        (Fraction(1, 4), 2.0, 0.8),
        (10**6, 1 / math.sqrt(1000), 1 / 1001),  # kohya's cap of the SNR
        (0, math.sqrt(1000), 1 / 1.001),  # pure noise: a number
    ],
)
def test_debiased_estimation(ratio: Fraction, epsilon: float, velocity: float) -> None:
    """Yu et al. 2023: 1/sqrt(SNR); for v kohya's trainer has 1/(SNR+1)."""
    assert weights_of(ratio, "epsilon", debiased_estimation=True) == pytest.approx(epsilon)
    assert weights_of(ratio, "v_prediction", debiased_estimation=True) == pytest.approx(velocity)


@pytest.mark.parametrize(("ratio", "scaled"), [(4, 0.8), (Fraction(1, 4), 0.2), (10**6, 1000 / 1001), (0, 0.0)])
def test_velocity_loss_like_that_of_noise(ratio: Fraction, scaled: float) -> None:
    assert weights_of(ratio, "v_prediction", scale_v_pred_loss_like_noise_pred=True) == pytest.approx(scaled)
    assert weights_of(ratio, "epsilon", scale_v_pred_loss_like_noise_pred=True) == 1


def test_the_scaled_velocity_loss_is_that_of_the_noise_which_follows() -> None:
    """x = a·x0 + b·ε and v = a·ε - b·x0 give ε = a·v + b·x: a miss of v is a miss of ε times a, a² = SNR/(SNR+1)."""
    alpha = 0.3
    a, b, miss = math.sqrt(alpha), math.sqrt(1 - alpha), 0.7
    x0, noise = 1.2, -0.4
    noisy, velocity = a * x0 + b * noise, a * noise - b * x0
    noise_that_follows = a * (velocity + miss) + b * noisy
    ratio = Fraction(alpha) / (1 - Fraction(alpha))
    weight = weights_of(ratio, "v_prediction", scale_v_pred_loss_like_noise_pred=True)
    assert weight * miss**2 == pytest.approx((noise_that_follows - noise) ** 2)


@pytest.mark.parametrize(("ratio", "added"), [(4, 1.25), (Fraction(1, 4), 5.0), (0, 1001.0)])
def test_noise_loss_with_some_of_that_of_velocity(ratio: Fraction, added: float) -> None:
    assert weights_of(ratio, "epsilon", v_pred_like_loss=0.5) == pytest.approx(1 + 0.5 * added)
    assert weights_of(ratio, "v_prediction", v_pred_like_loss=0.5) == 1


def test_weights_are_multiplied() -> None:
    both = weights_of(25, "epsilon", min_snr_gamma=5, debiased_estimation=True, v_pred_like_loss=1)
    assert both == pytest.approx(0.2 * (1 + 26 / 25) * 0.2)
    velocity = weights_of(25, "v_prediction", min_snr_gamma=5, scale_v_pred_loss_like_noise_pred=True)
    assert velocity == pytest.approx(5 / 26 * 25 / 26)


def flow(name: str, sigmas: object) -> np.ndarray:
    zeros = torch.zeros(len(np.atleast_1d(sigmas)), 1, 2, 2)
    config = ObjectiveConfig(loss_weighting=name)
    times = torch.tensor(np.atleast_1d(sigmas), dtype=torch.float64)
    return objective.make_inputs(zeros, zeros, times, None, config).weights.numpy()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none", {0.0: 1, 0.5: 1, 1.0: 1}),
        ("sigma_sqrt", {1.0: 1, 0.5: 4, 0.1: 100, 0.0: 1e6}),  # Esser et al. 2024; a number at the clean end
        ("cosmap", {0.0: 2 / math.pi, 0.5: 4 / math.pi, 1.0: 2 / math.pi, 0.25: 2 / (math.pi * 0.625)}),
        # ai-toolkit's exp(-2((i-500)/1000)²), moved down to 0 and scaled to mean 1.
        ("bell", {0.0: 0, 1.0: 0, 0.5: 1.579604, 0.25: 1.107882}),
        ("half_bell", {1.0: 0, 0.5: 1.579604, 0.75: 1.107882, 0.25: 1.579604, 0.0: 1.579604}),
        # ai-toolkit's table by index, 1000·(1-σ).
        ("weighted", {1.0: 0.906, 0.876: 1.523, 0.8: 1.441, 0.6: 1.083, 0.3: 0.731, 0.15: 0.716, 0.0: 0.447}),
    ],
)
def test_weights_of_flow_times(name: str, expected: dict[float, float]) -> None:
    found = flow(name, list(expected))
    tolerance = 1e-4 if name in ("bell", "half_bell") else 1e-6
    np.testing.assert_allclose(found, list(expected.values()), rtol=tolerance, atol=1e-6)


def test_the_bell_is_that_of_ai_toolkits_table() -> None:
    index = np.arange(1000)
    table = np.exp(-2 * ((index - 500) / 1000) ** 2)
    table = (table - table.min()) / (table - table.min()).mean()
    np.testing.assert_allclose(flow("bell", 1 - index / 1000), table, atol=2e-3)


@pytest.mark.parametrize("name", ["cosmap", "bell", "none"])
def test_even_times_are_weighed_by_one_in_the_mean(name: str) -> None:
    assert np.trapezoid(flow(name, EVEN), EVEN) == pytest.approx(1, abs=1e-5)


def test_the_measured_weights_have_a_mean_near_one() -> None:
    """The whole table has a mean of 1, so what lies between the points that are known is about right."""
    assert np.trapezoid(flow("weighted", EVEN), EVEN) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("sigma", [0.02, 0.05, 0.4, 1.0])
def test_stepped_is_a_short_step_and_the_picture_behind_it(sigma: float) -> None:
    """The loss as ai-toolkit computes it: step, take the known noise out, compare with the picture, times 10."""
    random = np.random.default_rng(2)
    picture, noise, prediction = random.standard_normal((3, 50))
    noisy = (1 - sigma) * picture + sigma * noise
    later = max(sigma - 0.05, 0.0)
    stepped = noisy + (later - sigma) * prediction
    recovered = (stepped - later * noise) / (1 - later)
    as_there = 10 * ((recovered - picture) ** 2).mean()
    plain = ((noise - picture - prediction) ** 2).mean()
    assert flow("stepped", sigma).item() * plain == pytest.approx(as_there)


# What is compared --------------------------------------------------------------------------------------------


def loss(prediction: str, sigmas: list[float], weighting: str = "none", output_of_velocity: bool = True) -> np.ndarray:
    """Of each picture, for a model whose output is a little off the velocity."""
    random = np.random.default_rng(5)
    latents, noise, off = (torch.tensor(each) for each in random.standard_normal((3, len(sigmas), 2, 4, 4)))
    config = ObjectiveConfig(model_prediction_type=prediction, loss_weighting=weighting)
    inputs = objective.make_inputs(latents, noise, torch.tensor(sigmas, dtype=torch.float64), None, config)
    output = noise - latents if output_of_velocity else noise - latents - inputs.noisy
    parts = []
    for i in range(len(sigmas)):
        facts = {name: value[i : i + 1] for name, value in vars(inputs).items() if isinstance(value, torch.Tensor)}
        one = objective.Inputs(**{**vars(inputs), **facts})
        parts.append(objective.weighted_loss((output + 0.1 * off)[i : i + 1], one, config).item())
    return np.array(parts)


def test_the_picture_that_follows_from_a_velocity_is_missed_by_sigma_times_as_much() -> None:
    sigmas = [0.1, 0.5, 1.0]
    raw = loss("raw", sigmas)
    np.testing.assert_allclose(loss("sigma_scaled", sigmas), np.square(sigmas) * raw, rtol=1e-5)
    # Esser et al. 2024: the weight 1/σ² of pictures is rectified flow's own loss.
    np.testing.assert_allclose(loss("sigma_scaled", sigmas, "sigma_sqrt"), raw, rtol=1e-5)


def test_an_additive_model_predicts_what_is_to_be_added_to_the_noisy_picture() -> None:
    sigmas = [0.1, 0.5, 1.0]
    np.testing.assert_allclose(loss("additive", sigmas, output_of_velocity=False), loss("raw", sigmas), rtol=1e-5)
    assert (loss("additive", sigmas) > 10 * loss("raw", sigmas)).all()
