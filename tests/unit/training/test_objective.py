"""What is predicted and how a miss is weighed, against numbers worked out here."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from loratory.config.architectures import SPECS
from loratory.config.objective import ObjectiveConfig
from loratory.models.base import NoiseSchedule
from loratory.training import objective

# Stable Diffusion's schedule: betas whose square roots are evenly spaced.
ALPHAS = np.cumprod(1 - np.linspace(math.sqrt(0.00085), math.sqrt(0.012), 1000) ** 2)
GENERATOR = np.random.default_rng(7)
LATENTS, NOISE = GENERATOR.standard_normal((2, 3, 4, 5, 6))
TIMES = np.array([0, 500, 999])


def tensor(values: object) -> torch.Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float32)


def close(found: torch.Tensor, expected: np.ndarray) -> None:
    torch.testing.assert_close(found, tensor(expected), rtol=2e-5, atol=1e-6)


def along(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, 1, 1, 1)


def test_ddpm_mixes_picture_and_noise_and_asks_for_noise_or_velocity() -> None:
    signal, disturbance = np.sqrt(along(ALPHAS[TIMES])), np.sqrt(1 - along(ALPHAS[TIMES]))
    alphas = tensor(ALPHAS[TIMES])
    close(objective.ddpm_noisy(tensor(LATENTS), tensor(NOISE), alphas), signal * LATENTS + disturbance * NOISE)
    close(objective.ddpm_target(tensor(LATENTS), tensor(NOISE), alphas, "epsilon"), NOISE)
    velocity = signal * NOISE - disturbance * LATENTS
    close(objective.ddpm_target(tensor(LATENTS), tensor(NOISE), alphas, "v_prediction"), velocity)


def test_signal_to_noise_of_the_usual_schedule() -> None:
    found = objective.signal_to_noise(torch.tensor(ALPHAS))
    np.testing.assert_allclose(found.numpy(), ALPHAS / (1 - ALPHAS), rtol=1e-12)
    by_hand = {Fraction(1, 2): 1, Fraction(9, 10): 9, Fraction(1, 5): Fraction(1, 4), Fraction(0): 0}
    found = objective.signal_to_noise(tensor([float(alpha) for alpha in by_hand]))
    close(found, np.array([float(ratio) for ratio in by_hand.values()]))


@pytest.mark.parametrize(
    ("ratio", "gamma", "epsilon", "velocity"),
    [
        (25, 5, Fraction(1, 5), Fraction(5, 26)),
        (5, 5, Fraction(1), Fraction(5, 6)),
        (1, 5, Fraction(1), Fraction(1, 2)),
        (Fraction(1, 4), 5, Fraction(1), Fraction(1, 5)),
        (4, 1, Fraction(1, 4), Fraction(1, 5)),
        (0, 5, Fraction(1), Fraction(0)),  # pure noise: by continuity, and without dividing zero by zero
    ],
)
def test_min_snr(ratio: Fraction, gamma: float, epsilon: Fraction, velocity: Fraction) -> None:
    snr = tensor([float(ratio)])
    assert objective.min_snr_weight(snr, gamma, "epsilon").item() == pytest.approx(float(epsilon))
    assert objective.min_snr_weight(snr, gamma, "v_prediction").item() == pytest.approx(float(velocity))


def test_flow_mixes_linearly_and_asks_for_the_way_from_picture_to_noise() -> None:
    sigmas = np.array([0.0, 0.25, 1.0])
    mixed = (1 - along(sigmas)) * LATENTS + along(sigmas) * NOISE
    close(objective.flow_noisy(tensor(LATENTS), tensor(NOISE), tensor(sigmas)), mixed)
    target = objective.flow_target(tensor(LATENTS), tensor(NOISE))
    close(target, NOISE - LATENTS)
    # The velocity is the derivative of the mixture: a small step in sigma moves along it.
    further = objective.flow_noisy(tensor(LATENTS), tensor(NOISE), tensor(sigmas + 0.5))
    close((further - tensor(mixed)) / 0.5, NOISE - LATENTS)


@pytest.mark.parametrize(
    ("sigma", "shift", "expected"),
    [(Fraction(1, 2), 3, Fraction(3, 4)), (Fraction(1, 4), 3, Fraction(1, 2)), (Fraction(1, 10), 1, Fraction(1, 10)),
     (Fraction(0), 3, Fraction(0)), (Fraction(1), 3, Fraction(1)), (Fraction(3, 4), Fraction(1, 3), Fraction(1, 2))],
)  # fmt: skip
def test_shift(sigma: Fraction, shift: Fraction, expected: Fraction) -> None:
    assert objective.shift_sigma(float(sigma), float(shift)) == pytest.approx(float(expected))


@pytest.mark.parametrize(
    ("height", "width", "logarithm"),
    [
        (32, 32, 0.5),  # 256 tokens of 2x2: 256 pixels
        (128, 128, 1.15),  # 4096 tokens: 1024 pixels
        (64, 64, 0.5 + 0.65 * 768 / 3840),  # 1024 tokens
        (128, 64, 0.5 + 0.65 * 1792 / 3840),
        (8, 8, 0.5 - 0.65 * 240 / 3840),  # the line goes on below
    ],
)
def test_shift_grows_with_the_resolution(height: int, width: int, logarithm: float) -> None:
    assert objective.resolution_shift(height, width) == pytest.approx(math.exp(logarithm))


# Draws of times ----------------------------------------------------------------------------------------------

DRAWS = 20_000
NORMAL_QUANTILES = {0.05: -1.6448536, 0.25: -0.6744898, 0.5: 0.0, 0.75: 0.6744898, 0.95: 1.6448536}


def draws(
    config: ObjectiveConfig, spec: str = "flux1", size: tuple[int, int] = (32, 32), **facts: object
) -> np.ndarray:
    draw = objective.time_draw(dataclasses.replace(SPECS[spec], **facts), config)
    random = np.random.default_rng(3)
    return np.array([draw(random, size) for _ in range(DRAWS)])


def shifted(sigma: float, shift: float) -> float:
    return shift * sigma / (1 + (shift - 1) * sigma)


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize(("sampling", "scale"), [("uniform", 1.0), ("sigmoid", 1.0), ("sigmoid", 2.0)])
def test_flow_times_have_the_asked_distribution(sampling: str, scale: float, shift: float) -> None:
    config = ObjectiveConfig(timestep_sampling=sampling, sigmoid_scale=scale, flow_shift=shift)
    found = draws(config)
    assert found.min() > 0 if sampling == "sigmoid" else found.min() >= 0
    assert found.max() < 1
    for share, normal in NORMAL_QUANTILES.items():
        plain = share if sampling == "uniform" else 1 / (1 + math.exp(-scale * normal))
        assert np.quantile(found, share) == pytest.approx(shifted(plain, shift), abs=0.012), share


@pytest.mark.parametrize(
    ("asked", "usual", "size", "shift"),
    [
        ("auto", None, (32, 32), math.exp(0.5)),
        ("auto", None, (128, 128), math.exp(1.15)),
        ("auto", 3.0, (128, 128), 3.0),
        ("resolution", 3.0, (32, 32), math.exp(0.5)),
        (2.0, 3.0, (32, 32), 2.0),
    ],
)
def test_which_shift_is_used(asked: object, usual: float | None, size: tuple[int, int], shift: float) -> None:
    found = draws(ObjectiveConfig(flow_shift=asked), size=size, default_flow_shift=usual)
    assert np.median(found) == pytest.approx(shifted(0.5, shift), abs=0.01)


def test_timesteps_are_drawn_evenly_with_both_ends() -> None:
    found = draws(ObjectiveConfig(min_timestep=3, max_timestep=7), "sd15")
    numbers, counts = np.unique(found, return_counts=True)
    assert numbers.tolist() == [3, 4, 5, 6, 7]
    assert np.abs(counts / DRAWS - 0.2).max() < 0.015
    assert set(draws(ObjectiveConfig(min_timestep=999, max_timestep=999), "sd15")) == {999}


@pytest.mark.parametrize(("number", "expected"), [(0.0, 0), (1 - 2**-53, 999)])
def test_the_ends_of_the_whole_range_can_be_drawn(number: float, expected: int) -> None:
    class Fixed:
        def random(self) -> float:
            return number

    draw = objective.time_draw(SPECS["sdxl"], ObjectiveConfig())
    assert draw(Fixed(), (8, 8)) == expected  # type: ignore[arg-type]


def judged(target: torch.Tensor, weights: torch.Tensor) -> objective.Inputs:
    nothing = torch.zeros(len(target))
    return objective.Inputs(torch.zeros_like(target), target, weights, nothing, nothing)


# Put together ------------------------------------------------------------------------------------------------


def test_noise_offset_moves_whole_channels() -> None:
    offsets = GENERATOR.standard_normal((3, 4))
    found = objective.offset_noise(tensor(NOISE), tensor(offsets), 0.1)
    close(found, NOISE + 0.1 * offsets[:, :, None, None])


@pytest.mark.parametrize("gamma", [None, 5.0])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_inputs_for_noise_prediction(prediction: str, gamma: float | None) -> None:
    alphas = ALPHAS.copy()
    alphas[999] = 0.0  # zero terminal SNR
    schedule = NoiseSchedule(tensor(alphas), prediction)
    config = ObjectiveConfig(min_snr_gamma=gamma)
    inputs = objective.make_inputs(tensor(LATENTS), tensor(NOISE), tensor(TIMES), schedule, config)
    noisy, target, weights, times = inputs.noisy, inputs.target, inputs.weights, inputs.times
    here = alphas[TIMES]
    signal, disturbance = np.sqrt(along(here)), np.sqrt(1 - along(here))
    close(noisy, signal * LATENTS + disturbance * NOISE)
    close(target, NOISE if prediction == "epsilon" else signal * NOISE - disturbance * LATENTS)
    assert times.dtype == torch.int64
    assert times.tolist() == TIMES.tolist()
    if gamma is None:
        assert weights.tolist() == [1, 1, 1]
    else:
        snr = here[:2] / (1 - here[:2])
        below = snr if prediction == "epsilon" else snr + 1
        last = 1.0 if prediction == "epsilon" else 0.0
        close(weights, np.array([*(np.minimum(snr, gamma) / below), last]))


def test_inputs_for_flow_leave_times_and_weights_alone() -> None:
    sigmas = tensor([0.1, 0.5, 0.9])
    config = ObjectiveConfig(min_snr_gamma=5)
    inputs = objective.make_inputs(tensor(LATENTS), tensor(NOISE), sigmas, None, config)
    noisy, target, weights, times = inputs.noisy, inputs.target, inputs.weights, inputs.times
    close(noisy, (1 - along(sigmas.numpy())) * LATENTS + along(sigmas.numpy()) * NOISE)
    close(target, NOISE - LATENTS)
    assert weights.tolist() == [1, 1, 1]
    assert torch.equal(times, sigmas)


def test_the_loss_is_a_weighted_sum_of_each_pictures_mean_square() -> None:
    weights = np.array([1.0, 0.5, 2.0])
    expected = (((LATENTS - NOISE) ** 2).mean((1, 2, 3)) * weights).sum()
    found = objective.weighted_loss(tensor(LATENTS), judged(tensor(NOISE), tensor(weights)), ObjectiveConfig())
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_the_loss_is_summed_in_fp32() -> None:
    prediction, target = torch.full((1, 4, 64, 64), 1.0, dtype=torch.bfloat16), torch.zeros(1, 4, 64, 64)
    prediction[0, 0, 0, 0] = 1.0078125  # the next number of bfloat16: lost in a mean of that format
    found = objective.weighted_loss(prediction, judged(target, torch.ones(1)), ObjectiveConfig())
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(1 + (1.0078125**2 - 1) / (4 * 64 * 64), rel=1e-7)
