"""Distributions of flow times, against quantiles worked out here; bias towards content or style; ranges."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
import torch

from loratory.config.architectures import SPECS
from loratory.config.objective import ObjectiveConfig, TimestepSampling
from loratory.training import objective
from loratory.training.objectives.timesteps import SAMPLINGS, resolution_shift
from loratory.training.objectives.weighting import FLOW_WEIGHTS

DRAWS = 20_000
SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
NORMAL = dict(zip(SHARES, (-1.6448536, -0.6744898, 0.0, 0.6744898, 1.6448536), strict=True))
# Largest distance of a quantile, five times what chance makes of it where a density is 1.
ABOUT = 5 * 0.5 / math.sqrt(DRAWS)


def draws(spec: str = "flux1", size: tuple[int, int] = (32, 32), **changes: object) -> np.ndarray:
    """Without a shift, unless it is asked for."""
    config = ObjectiveConfig(**({"flow_shift": 1.0} | changes))
    draw = objective.time_draw(SPECS[spec], config)
    random = np.random.default_rng(3)
    return np.array([draw(random, size) for _ in range(DRAWS)])


def logistic(number: float) -> float:
    return 1 / (1 + math.exp(-number))


def by_halving(below: Callable[[float], float], share: float) -> float:
    """The place below which this share lies."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) < share else (low, middle)
    return low


def bell_below(sigma: float) -> float:
    """∫ exp(-2(s-½)²) - exp(-½), over its whole."""

    def part(s: float) -> float:
        return math.sqrt(math.pi / 8) * math.erf(math.sqrt(2) * (s - 0.5)) - s * math.exp(-0.5)

    return (part(sigma) - part(0)) / (part(1) - part(0))


def mode_quantile(share: float, scale: float) -> float:
    """Esser et al. 2024, eq. 20: f(u) = 1 - u - m(cos²(πu/2) - 1 + u); it falls, so the share is taken from above."""
    u = 1 - share
    return 1 - u - scale * (math.cos(math.pi / 2 * u) ** 2 - 1 + u)


QUANTILES: list[tuple[dict[str, object], Callable[[float], float]]] = [
    ({"timestep_sampling": "uniform"}, lambda share: share),
    ({"timestep_sampling": "sigma"}, lambda share: share),
    ({"timestep_sampling": "sigmoid", "sigmoid_scale": 1.5}, lambda share: logistic(1.5 * NORMAL[share])),
    ({"timestep_sampling": "logit_normal"}, lambda share: logistic(NORMAL[share])),
    ({"timestep_sampling": "logit_normal", "logit_mean": -0.5, "logit_std": 2.0},
     lambda share: logistic(-0.5 + 2 * NORMAL[share])),
    ({"timestep_sampling": "mode"}, lambda share: mode_quantile(share, 1.29)),
    ({"timestep_sampling": "mode", "mode_scale": -0.5}, lambda share: mode_quantile(share, -0.5)),
    # The integral of 2/(π(1 - 2s + 2s²)) is (2/π)·atan(2s - 1) + ½.
    ({"timestep_sampling": "cosmap"}, lambda share: (math.tan(math.pi / 2 * (share - 0.5)) + 1) / 2),
    ({"timestep_sampling": "bell"}, lambda share: by_halving(bell_below, share)),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "quantile"), QUANTILES)
def test_the_distribution(changes: dict[str, object], quantile: Callable[[float], float]) -> None:
    found = draws(**changes)
    assert found.min() >= 0
    assert found.max() <= 1
    for share in SHARES:
        assert np.quantile(found, share) == pytest.approx(quantile(share), abs=ABOUT), share
    shifted = draws(**changes, **{"flow_shift": 3.0})
    np.testing.assert_allclose(shifted, 3 * found / (1 + 2 * found), rtol=1e-12, err_msg="every one can be shifted")


def test_every_sampling_is_tested() -> None:
    assert {changes["timestep_sampling"] for changes, _ in QUANTILES} | {"weighted"} == set(SAMPLINGS)
    assert set(get_args(TimestepSampling)) == set(SAMPLINGS)


def test_sigma_is_one_of_a_thousand() -> None:
    found = draws(timestep_sampling="sigma")
    np.testing.assert_allclose(found * 1000, np.round(found * 1000), atol=1e-9)
    assert found.min() == pytest.approx(0.001)
    assert found.max() == 1
    assert len(np.unique(found)) == 1000


@pytest.mark.parametrize("name", ["cosmap", "bell", "weighted"])
def test_a_time_is_drawn_as_often_as_the_weight_of_its_name_weighs(name: str) -> None:
    """So even times with the weight and these times without give the same mean."""
    found = draws(timestep_sampling=name)
    counts, edges = np.histogram(found, bins=10, range=(0, 1))
    grid = torch.linspace(0, 1, 10_001, dtype=torch.float64)
    weight = FLOW_WEIGHTS[name](grid).numpy()
    expected = np.array([weight[i * 1000 : (i + 1) * 1000].mean() for i in range(10)])
    np.testing.assert_allclose(counts / DRAWS, expected / expected.sum(), atol=ABOUT)
    assert edges[-1] == 1


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize(("bias", "number"), [("content", lambda u: 1 - u**3), ("style", lambda u: u**3)])
def test_content_and_style(sampling: str, bias: str, number: Callable[[float], float]) -> None:
    """ai-toolkit draws its place in the sorted times, from noisy to clean, as u³ for content and 1 - u³ for style."""
    plain = np.sort(draws(timestep_sampling=sampling))
    found = draws(timestep_sampling=sampling, content_or_style=bias)
    for share in (0.1, 0.5, 0.9):
        quantile = number(1 - share) if bias == "content" else number(share)
        expected = np.quantile(plain, quantile)
        assert np.quantile(found, share) == pytest.approx(expected, abs=0.03), share


def test_content_and_style_of_timesteps() -> None:
    content, style = (draws("sd15", content_or_style=bias) for bias in ("content", "style"))
    assert content.mean() == pytest.approx(750, abs=10)  # the mean of u³ is ¼
    assert style.mean() == pytest.approx(250, abs=10)
    for found in (content, style):
        assert (found == np.round(found)).all()
        assert found.min() == 0
        assert found.max() == 999


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("bias", ["balanced", "content", "style"])
@pytest.mark.parametrize("number", [0.0, 2.0**-60, 0.5, 1 - 2**-53])
def test_the_ends_are_numbers_between_0_and_1(sampling: str, bias: str, number: float) -> None:
    class Fixed:
        def random(self) -> float:
            return number

        def standard_normal(self) -> float:
            return 9.0 if number > 0.5 else -9.0  # beyond what is ever drawn

    for spec, last in (("flux1", 1.0), ("sd15", 999.0)):
        config = ObjectiveConfig(timestep_sampling=sampling, content_or_style=bias)
        draw = objective.time_draw(SPECS[spec], config)
        assert 0 <= draw(Fixed(), (16, 16)) <= last  # type: ignore[arg-type]


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_range_of_flow_times_holds_the_whole_distribution(sampling: str) -> None:
    """As kohya's trainer for SD3 does it; timesteps 200 to 499 are sigma 0.2 to 0.5."""
    whole = draws(timestep_sampling=sampling, flow_shift=2.0)
    found = draws(timestep_sampling=sampling, flow_shift=2.0, min_timestep=200, max_timestep=499)
    np.testing.assert_allclose(found, 0.2 + 0.3 * whole, rtol=1e-12)


def test_words_of_other_trainers() -> None:
    config = ObjectiveConfig(timestep_sampling="flux_shift")
    assert (config.timestep_sampling, config.flow_shift) == ("sigmoid", "resolution")
    config = ObjectiveConfig(timestep_sampling="shift", flow_shift=3.1582)
    assert (config.timestep_sampling, config.flow_shift) == ("sigmoid", 3.1582)
    config = ObjectiveConfig(timestep_sampling="nextdit_shift")
    assert (config.timestep_sampling, config.flow_shift) == ("uniform", "resolution")
    assert ObjectiveConfig(loss_type="l2").loss_type == "mse"
    assert ObjectiveConfig(loss_type="l1").loss_type == "mae"
    config = ObjectiveConfig(loss_type="stepped")
    assert (config.loss_type, config.loss_weighting) == ("mse", "stepped")
    for contradiction in (
        {"timestep_sampling": "flux_shift", "flow_shift": 3.0},
        {"loss_type": "stepped", "loss_weighting": "cosmap"},
    ):
        with pytest.raises(ValueError, match="keep one"):
            ObjectiveConfig(**contradiction)
    with pytest.raises(ValueError, match="timestep_sampling"):
        ObjectiveConfig(timestep_sampling="elsewhere")


def test_the_shift_counts_tokens_whatever_their_side() -> None:
    """1024² pixels in patches of 16 are 4096 tokens, as 128² latents in patches of 2 are: μ = 1.15."""
    assert resolution_shift(1024, 1024, 16) == resolution_shift(128, 128) == pytest.approx(math.exp(1.15))
    even = draws("chroma_radiance", (1024, 1024), timestep_sampling="uniform")
    np.testing.assert_array_equal(even, draws("chroma", (128, 128), timestep_sampling="uniform"))


def test_the_line_of_the_shift_is_the_architectures() -> None:
    """Qwen-Image's published scheduler: μ goes from 0.5 at 256 tokens to 0.9 at 8192, and times end at 0.02.

    1024² pixels are 4096 tokens, so μ = 0.5 + 3840 · 0.4 / 7936.
    """
    shift = math.exp(0.5 + 3840 * 0.4 / 7936)
    even = draws("sd3", (128, 128), timestep_sampling="uniform", flow_shift=1.0)
    expected = 0.02 + 0.98 * shift * even / (1 + (shift - 1) * even)
    found = draws("qwen_image", (128, 128), timestep_sampling="uniform", flow_shift="auto")
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert found.min() >= 0.02
    fixed = draws("qwen_image", (128, 128), timestep_sampling="uniform", flow_shift=3.0)
    np.testing.assert_allclose(fixed, 3 * even / (1 + 2 * even), rtol=1e-12, err_msg="a shift of one's own is all")


def test_times_with_many_steps_are_those_of_diffusers() -> None:
    """Its scheduler with the published settings: with so many steps the last one's own time is near 0."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler(
        base_shift=0.5, max_shift=0.9, max_image_seq_len=8192, shift_terminal=0.02, use_dynamic_shifting=True
    )
    evenly = np.linspace(1, 1e-5, 1000)
    scheduler.set_timesteps(sigmas=evenly, mu=0.5 + 3840 * 0.4 / 7936)

    class Evenly:
        def __init__(self, number: float) -> None:
            self.number = number

        def random(self) -> float:
            return self.number

    draw = objective.time_draw(SPECS["qwen_image"], ObjectiveConfig(timestep_sampling="uniform"))
    found = [draw(Evenly(float(number)), (128, 128)) for number in evenly]  # type: ignore[arg-type]
    np.testing.assert_allclose(found, scheduler.sigmas[:-1].numpy(), atol=5e-5)
