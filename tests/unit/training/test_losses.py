"""Every loss: its formula against NumPy, its gradient against differences, its limits, and weights of pictures."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from loratory.config.objective import ObjectiveConfig
from loratory.training import objective
from loratory.training.objectives.losses import LOSSES, loss_number

Array = np.ndarray
GENERATOR = np.random.default_rng(11)
PREDICTION, TARGET = GENERATOR.standard_normal((2, 3, 2, 4, 6))
C = np.array([0.1, 0.5, 1.0])


def along(values: Array) -> Array:
    return values.reshape(-1, 1, 1, 1)


def haar(miss: Array, detail: float) -> Array:
    """Mean over a picture of the weighted squares of the four Haar bands, from 2×2 blocks (sides even)."""
    a, b, c, d = miss[..., ::2, ::2], miss[..., ::2, 1::2], miss[..., 1::2, ::2], miss[..., 1::2, 1::2]
    low = (a + b + c + d) / 2
    details = ((a - b + c - d) / 2, (a + b - c - d) / 2, (a - b - c + d) / 2)
    bands = low**2 + detail * sum(each**2 for each in details)
    return 4 / (1 + 3 * detail) * bands.mean((1, 2, 3)) / 4


# name -> a picture's loss from its miss d and c. huber and smooth_l1: kohya's trainer; pseudo_huber: Charbonnier 1994.
BY_HAND: dict[str, Callable[[Array, Array], Array]] = {
    "mse": lambda d, c: d**2,
    "mae": lambda d, c: np.abs(d),
    "huber": lambda d, c: 2 * c * (np.sqrt(d**2 + c**2) - c),
    "smooth_l1": lambda d, c: 2 * (np.sqrt(d**2 + c**2) - c),
    "pseudo_huber": lambda d, c: np.sqrt(d**2 + c**2) - c,
    "log_cosh": lambda d, c: np.log(np.cosh(d)),
    "wavelet": lambda d, c: np.stack([np.full(d.shape[1:], haar(d[i : i + 1], c[i].item())[0]) for i in range(len(d))]),
}
# name -> what it is near a small miss (None: no smooth minimum); an own number of 1 makes wavelet the mse.
NEAR_ZERO: dict[str, Callable[[float, float], float] | None] = {
    "mse": lambda d, c: d**2,
    "mae": None,
    "huber": lambda d, c: d**2,
    "smooth_l1": lambda d, c: d**2 / c,
    "pseudo_huber": lambda d, c: d**2 / (2 * c),
    "log_cosh": lambda d, c: d**2 / 2,
    "wavelet": lambda d, c: 4 * d**2 / (1 + 3 * c),  # a miss of all pixels alike lies in the low band
}
each_loss = pytest.mark.parametrize("name", LOSSES)


def elements(name: str, prediction: Array, target: Array, c: Array) -> torch.Tensor:
    return LOSSES[name](torch.tensor(prediction), torch.tensor(target), torch.tensor(along(c)))


@each_loss
def test_the_formula(name: str) -> None:
    found = elements(name, PREDICTION, TARGET, C)
    assert found.shape == PREDICTION.shape, "a loss for each element, so that a mask can multiply"
    expected = BY_HAND[name](PREDICTION - TARGET, along(C))
    np.testing.assert_allclose(found.mean((1, 2, 3)), expected.mean((1, 2, 3)), rtol=1e-10)
    if name != "wavelet":
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)  # NumPy's log(cosh) is coarse near 0


@each_loss
def test_the_gradient(name: str) -> None:
    """Against central differences in float64."""
    prediction = torch.tensor(PREDICTION[:, :1, :3, :3], requires_grad=True)  # odd sides
    target, c = torch.tensor(TARGET[:, :1, :3, :3]), torch.tensor(along(C))
    assert torch.autograd.gradcheck(lambda p: LOSSES[name](p, target, c).sum(), (prediction,), eps=1e-6, atol=1e-6)


@each_loss
def test_nothing_missed_is_nothing_lost_and_both_sides_count_alike(name: str) -> None:
    prediction = torch.tensor(PREDICTION, dtype=torch.float32, requires_grad=True)
    c = torch.tensor(along(C), dtype=torch.float32)
    loss = LOSSES[name](prediction, prediction.detach(), c)
    assert not loss.any()
    loss.sum().backward()
    assert not prediction.grad.any(), "and no gradient, not even a number that is none"
    torch.testing.assert_close(elements(name, PREDICTION, TARGET, C), elements(name, TARGET, PREDICTION, C))


@each_loss
@pytest.mark.parametrize("c", [0.1, 1.0])
def test_a_small_miss_counts_as_a_square(name: str, c: float) -> None:
    limit = NEAR_ZERO[name]
    if limit is None:
        return
    for miss in (1e-3, -1e-4):
        found = LOSSES[name](torch.full((1, 1, 2, 2), miss), torch.zeros(1, 1, 2, 2), torch.full((1, 1, 1, 1), c))
        assert found.dtype == torch.float32, "also in the precision that is trained in"
        assert found[0, 0, 0, 0].item() == pytest.approx(limit(miss, c), rel=1e-3)


@each_loss
def test_a_large_miss_is_a_number_and_counts_no_more_than_a_square(name: str) -> None:
    miss = torch.full((1, 1, 2, 2), 1e4, requires_grad=True)
    loss = LOSSES[name](miss, torch.zeros(1, 1, 2, 2), torch.full((1, 1, 1, 1), 0.1)).mean()
    loss.backward()
    assert loss.isfinite()
    assert miss.grad.isfinite().all()
    assert (miss.grad > 0).all()
    slopes = {"mae": 1.0, "smooth_l1": 2.0, "huber": 0.2, "pseudo_huber": 1.0, "log_cosh": 1.0}
    if name in slopes:
        assert miss.grad.sum().item() == pytest.approx(slopes[name], rel=1e-3)


# Every loss, with every mask and weighting -------------------------------------------------------------------


def by_element(name: str, miss: Array, c: Array) -> Array:
    """As BY_HAND, where wavelet's share of each pixel is that of its block: the mean, and what is left of the pixel."""
    if name != "wavelet":
        return BY_HAND[name](miss, c)
    low = miss.reshape(*miss.shape[:-2], miss.shape[-2] // 2, 2, miss.shape[-1] // 2, 2).mean((-3, -1))
    low = low.repeat(2, -2).repeat(2, -1)
    return (low**2 + c * (miss - low) ** 2) * 4 / (1 + 3 * c)


MASK_SHAPE = (3, 1, 4, 6)
SOFT = GENERATOR.random(MASK_SHAPE)
HALF = np.zeros(MASK_SHAPE)
HALF[..., :2, :] = 1
MASKS = {"none": None, "white": np.ones(MASK_SHAPE), "half": HALF, "soft": SOFT}
WEIGHTINGS = {"alike": np.ones(3), "weighed": np.array([1.0, 0.5, 0.0])}


@each_loss
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("mean", ["picture", "mask"])
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_masks_and_weights(name: str, mask: str, mean: str, weighting: str) -> None:
    """The loss by hand, and its gradient against central differences of what was written by hand."""
    weights, masks = WEIGHTINGS[weighting], MASKS[mask]

    def by_hand(prediction: Array) -> float:
        found = by_element(name, prediction - TARGET, along(C))
        if masks is None:
            return float((found.mean((1, 2, 3)) * weights).sum())
        found = (found * masks).mean((1, 2, 3))
        return float((found / (masks.mean((1, 2, 3)) if mean == "mask" else 1) * weights).sum())

    config = ObjectiveConfig(loss_type=name, huber_schedule="constant", huber_c=0.2, masked_loss_mean=mean)
    inputs = objective.Inputs(
        noisy=torch.zeros(3, 2, 4, 6), target=torch.tensor(TARGET), weights=torch.tensor(weights),
        times=torch.zeros(3), loss_numbers=torch.tensor(C),
        masks=None if masks is None else torch.tensor(masks, dtype=torch.float32),
    )  # fmt: skip
    prediction = torch.tensor(PREDICTION, requires_grad=True)
    found = objective.weighted_loss(prediction, inputs, config)
    found.backward()
    assert found.item() == pytest.approx(by_hand(PREDICTION), rel=1e-5)
    for place in ((0, 0, 0, 0), (0, 1, 1, 4), (1, 0, 3, 5), (1, 1, 2, 2), (2, 0, 1, 1)):
        bump = np.zeros_like(PREDICTION)
        bump[place] = 1e-5
        slope = (by_hand(PREDICTION + bump) - by_hand(PREDICTION - bump)) / 2e-5
        assert prediction.grad[place].item() == pytest.approx(slope, rel=1e-3, abs=1e-6)


def test_a_wavelet_loss_of_equal_weights_is_the_mse_at_any_size() -> None:
    """Haar's bands are orthogonal (Haar 1910), so ai-toolkit's wavelet loss is its mse."""
    for height, width in ((4, 6), (5, 7), (1, 3), (1, 1)):
        prediction, target = GENERATOR.standard_normal((2, 3, 2, height, width))
        found = elements("wavelet", prediction, target, np.ones(3)).mean((1, 2, 3))
        np.testing.assert_allclose(found, ((prediction - target) ** 2).mean((1, 2, 3)), rtol=1e-10)


def test_a_wavelet_loss_tells_shape_and_detail_apart() -> None:
    flat, stripes = np.ones((1, 1, 4, 4)), np.tile([1.0, -1.0], (1, 1, 4, 2))
    nothing = np.zeros((1, 1, 4, 4))
    assert elements("wavelet", flat, nothing, np.array([3.0])).mean().item() == pytest.approx(0.4)
    assert elements("wavelet", stripes, nothing, np.array([3.0])).mean().item() == pytest.approx(1.2)
    assert elements("wavelet", flat, nothing, np.array([0.0])).mean().item() == pytest.approx(4.0)
    assert elements("wavelet", stripes, nothing, np.array([0.0])).mean().item() == pytest.approx(0.0)


# The loss's own number ---------------------------------------------------------------------------------------

ALPHAS = np.cumprod(1 - np.linspace(math.sqrt(0.00085), math.sqrt(0.012), 1000) ** 2)


def by_kohyas_formula(schedule: str, time: float, sigma: float, c: float, scale: float) -> float:
    """`time` of 1000 and `sigma` = noise over signal."""
    if schedule == "constant":
        return c * scale
    if schedule == "exponential":
        return scale * math.exp(math.log(c) / 1000 * time)
    return scale * ((1 - c) / (1 + sigma) ** 2 + c)


@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("schedule", ["constant", "exponential", "snr"])
def test_the_threshold_over_time(schedule: str, scale: float) -> None:
    config = ObjectiveConfig(loss_type="huber", huber_schedule=schedule, huber_c=0.2, huber_scale=scale)
    steps = np.array([0, 250, 999])
    zeros = torch.zeros(3, 1, 2, 2)
    alphas = torch.tensor(ALPHAS, dtype=torch.float32)
    schedule_of_model = objective.NoiseSchedule(alphas, "epsilon")
    found = objective.make_inputs(zeros, zeros, torch.tensor(steps), schedule_of_model, config).loss_numbers
    sigmas = np.sqrt((1 - ALPHAS) / ALPHAS)[steps]
    expected = [by_kohyas_formula(schedule, t, s, 0.2, scale) for t, s in zip(steps, sigmas, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    # Flow: x = (1-s)·picture + s·noise, so noise over signal is s/(1-s); the timestep is 1000·s.
    flow = np.array([0.0, 0.25, 0.9])
    found = objective.make_inputs(zeros, zeros, torch.tensor(flow), None, config).loss_numbers
    expected = [by_kohyas_formula(schedule, 1000 * s, s / (1 - s), 0.2, scale) for s in flow]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_threshold_is_a_number_where_nothing_of_the_picture_is_left() -> None:
    config = ObjectiveConfig(loss_type="huber", huber_c=0.2)
    assert loss_number(torch.ones(1), torch.zeros(1), config).item() == pytest.approx(0.2)
    zeros, alphas = torch.zeros(1, 1, 2, 2), torch.zeros(1000)
    schedule = objective.NoiseSchedule(alphas, "v_prediction")
    found = objective.make_inputs(zeros, zeros, torch.tensor([999]), schedule, config).loss_numbers
    assert found.item() == pytest.approx(0.2)


def test_the_number_of_the_wavelet_loss_is_its_detail() -> None:
    config = ObjectiveConfig(loss_type="wavelet", wavelet_detail=3.0, huber_c=0.2)
    assert loss_number(torch.rand(2), torch.rand(2), config).tolist() == [3.0, 3.0]
