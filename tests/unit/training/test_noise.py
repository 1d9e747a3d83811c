"""Noise that is more than noise: offsets, pyramids, input perturbation; formulas and statistics."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from loratory.config.objective import ObjectiveConfig
from loratory.training import batches, objective
from loratory.training.batches import Batch, BatchMaker
from loratory.training.objectives import noise
from loratory.training.randomness import stream
from tests.unit.training.helpers import Captions, Latents, job, plan_of, sample

GENERATOR = np.random.default_rng(7)
LATENTS, NOISE = GENERATOR.standard_normal((2, 3, 4, 5, 7)).astype(np.float32)
OFFSETS = GENERATOR.standard_normal((3, 4)).astype(np.float32)


def draws(**parts: Any) -> Any:
    none = dict.fromkeys(("noise_offsets", "noise_offset_strengths", "pyramid_noise", "input_noise"))
    tensors = {name: torch.tensor(np.asarray(part, dtype=np.float32)) for name, part in parts.items()}
    return SimpleNamespace(**{"noise": torch.tensor(NOISE), **none, **tensors})


def shaped(parts: Any, **changes: Any) -> tuple[np.ndarray, np.ndarray]:
    found, seen = noise.shaped_noise(parts, torch.tensor(LATENTS), ObjectiveConfig(**changes))
    return found.numpy(), seen.numpy()


def close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


# Formulas ----------------------------------------------------------------------------------------------------


def test_plain_noise_stays_as_it_is() -> None:
    found, seen = shaped(draws())
    assert (found == NOISE).all()
    assert (seen == NOISE).all()


def test_an_offset_of_a_strength_for_each_picture() -> None:
    strengths = np.array([0.0, 0.05, 0.1])
    found, _ = shaped(draws(noise_offsets=OFFSETS, noise_offset_strengths=strengths), noise_offset=0.1)
    close(found, NOISE + (strengths[:, None] * OFFSETS)[:, :, None, None])


@pytest.mark.parametrize("scale", [0.5, -0.5, -1.0])
@pytest.mark.parametrize("strengths", [None, [0.0, 0.05, 0.1]])
def test_an_offset_that_adapts_to_the_picture(scale: float, strengths: list[float] | None) -> None:
    """kohya's trainer: max(0, o + a·|mean of the channel|)."""
    own = {} if strengths is None else {"noise_offset_strengths": strengths}
    found, _ = shaped(draws(noise_offsets=OFFSETS, **own), noise_offset=0.1, adaptive_noise_scale=scale)
    usual = np.full(3, 0.1) if strengths is None else np.array(strengths)
    strength = np.maximum(0, usual[:, None] + scale * np.abs(LATENTS.mean((2, 3))))
    close(found, NOISE + (strength * OFFSETS)[:, :, None, None])


def test_pyramid_noise_comes_after_the_offset_and_has_deviation_one_for_each_picture() -> None:
    coarse = GENERATOR.standard_normal(NOISE.shape) * np.array([0.0, 1.0, 5.0]).reshape(3, 1, 1, 1)
    found, _ = shaped(draws(noise_offsets=OFFSETS, pyramid_noise=coarse), noise_offset=0.1)
    whole = NOISE + 0.1 * OFFSETS[:, :, None, None] + coarse
    close(found, whole / whole.std((1, 2, 3), ddof=1, keepdims=True))


def test_input_noise_is_seen_and_not_asked_for() -> None:
    more = 0.1 * GENERATOR.standard_normal(NOISE.shape)
    found, seen = shaped(draws(input_noise=more), ip_noise_gamma=0.1)
    close(found, NOISE)
    close(seen, NOISE + more)
    latents, sigma = torch.tensor(LATENTS), torch.tensor([0.2, 0.5, 0.9])
    inputs = objective.make_inputs(latents, torch.tensor(found), sigma, None, ObjectiveConfig(), torch.tensor(seen))
    shares = sigma.numpy().reshape(3, 1, 1, 1)
    close(inputs.noisy.numpy(), (1 - shares) * LATENTS + shares * (NOISE + more))
    close(inputs.target.numpy(), NOISE - LATENTS)
    schedule = objective.NoiseSchedule(torch.full((1000,), 0.36), "v_prediction")
    inputs = objective.make_inputs(
        latents, torch.tensor(found), torch.zeros(3), schedule, ObjectiveConfig(), torch.tensor(seen)
    )
    close(inputs.noisy.numpy(), 0.6 * LATENTS + 0.8 * (NOISE + more))
    close(inputs.target.numpy(), 0.6 * NOISE - 0.8 * LATENTS)


# The pyramid (Whitaker 2023; sizes as in kohya's trainer) ----------------------------------------------------


def enlarged(coarse: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear, pixels being areas: position (i + ½)·(small/large) - ½, held at the edges."""

    def along(values: np.ndarray, size: int) -> np.ndarray:
        places = np.clip((np.arange(size) + 0.5) * len(values) / size - 0.5, 0, len(values) - 1)
        low = np.floor(places).astype(int)
        high, share = np.minimum(low + 1, len(values) - 1), (places - low).reshape(-1, *[1] * (values.ndim - 1))
        return values[low] * (1 - share) + values[high] * share

    rows = along(coarse.transpose(1, 0, 2), height).transpose(1, 0, 2)
    return along(rows.transpose(2, 0, 1), width).transpose(1, 2, 0)


@pytest.mark.parametrize(("size", "most"), [((8, 12), 6), ((13, 9), 6), ((1, 5), 1), ((3, 1), 1), ((64, 48), 6)])
def test_levels_of_a_pyramid(size: tuple[int, int], most: int) -> None:
    found = noise.pyramid(np.random.default_rng(3), (4, *size), 6, 0.5)
    random, expected, levels = np.random.default_rng(3), np.zeros((4, *size)), 0
    for level in range(6):
        reduction = (2 + 2 * random.random()) ** level
        small = [max(1, int(side / reduction)) for side in size]
        coarse = random.standard_normal((1, 4, *small), dtype=np.float32)[0]
        expected += 0.5**level * enlarged(coarse, *size)
        levels += 1
        if 1 in small:
            break
    assert found.shape == (4, *size)
    assert found.dtype == np.float32
    assert levels <= most, "it ends where there is nothing coarser"
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_pyramids_strength_and_reach() -> None:
    """The level i has variance d²ⁱ at most (enlarging takes some away) and joins neighbours."""
    one = np.stack([noise.pyramid(np.random.default_rng(i), (4, 32, 32), 1, 0.9) for i in range(50)])
    assert one.std() == pytest.approx(1, abs=0.01), "the first level has the full size"
    many = np.stack([noise.pyramid(np.random.default_rng(i), (4, 32, 32), 4, 0.9) for i in range(200)])
    assert abs(many.mean()) < 0.05
    assert 1.0 < many.var() < sum(0.9 ** (2 * i) for i in range(4))

    def neighbours(numbers: np.ndarray) -> float:
        return float((numbers[..., 1:] * numbers[..., :-1]).mean() / numbers.var())

    assert abs(neighbours(one)) < 0.01
    assert neighbours(many) > 0.3
    weak = np.stack([noise.pyramid(np.random.default_rng(i), (4, 32, 32), 4, 0.2) for i in range(50)])
    assert 0 < neighbours(weak) < 0.1


# Draws in the batch ------------------------------------------------------------------------------------------

EVERYTHING = {
    "noise_offset": 0.1,
    "noise_offset_random_strength": True,
    "multires_noise_iterations": 4,
    "ip_noise_gamma": 0.2,
    "ip_noise_gamma_random_strength": True,
}
DRAWN = ("noise", "noise_offsets", "noise_offset_strengths", "pyramid_noise", "input_noise")


def make(changes: dict[str, Any], members: list[int], step: int = 5, micro_batch: int = 1) -> Batch:
    plan = plan_of([sample(number, (96, 64)) for number in range(6)], batch_size=2, accumulation=2)
    maker = BatchMaker(
        job(objective=changes), plan, Latents(), Captions(), lambda random, _: random.random(), latent_channels=4,
        latent_factor=8,
    )  # fmt: skip
    return maker.make(step, micro_batch, np.array(members), step_samples=4, is_last=True)


def test_a_slots_draws_depend_on_nothing_but_its_place() -> None:
    alone, first, second = make(EVERYTHING, [1]), make(EVERYTHING, [1, 2]), make(EVERYTHING, [4, 1])
    for name in DRAWN:
        assert torch.equal(getattr(alone, name)[0], getattr(first, name)[0]), name
        assert torch.equal(getattr(second, name)[0], getattr(alone, name)[0]), name
        assert not torch.equal(getattr(first, name)[1], getattr(first, name)[0]), name
        assert not torch.equal(getattr(make(EVERYTHING, [1], step=6), name), getattr(alone, name)), name
        assert not torch.equal(getattr(make(EVERYTHING, [1], micro_batch=0), name), getattr(alone, name)), name


def test_one_kind_of_draw_leaves_the_others_as_they_are() -> None:
    whole, plain = make(EVERYTHING, [1, 2]), make({}, [1, 2])
    assert torch.equal(whole.noise, plain.noise)
    assert torch.equal(whole.times, plain.times)
    for name in DRAWN[1:]:
        assert getattr(plain, name) is None, name
    without = make(EVERYTHING | {"noise_offset": 0.0, "noise_offset_random_strength": False}, [1, 2])
    assert without.noise_offsets is None
    assert torch.equal(without.pyramid_noise, whole.pyramid_noise)
    assert torch.equal(without.input_noise, whole.input_noise)


def test_no_stream_is_used_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or two kinds of draws would be one."""
    used: list[tuple[Any, ...]] = []

    def remembering(seed: int, *place: Any) -> np.random.Generator:
        used.append(place)
        return stream(seed, *place)

    monkeypatch.setattr(batches, "stream", remembering)
    make(EVERYTHING, [1, 2])
    assert len(used) == len(set(used))
    assert len({name for name, *_ in used}) >= len(DRAWN)


def test_random_strengths_are_even_and_input_noise_is_normal() -> None:
    made = [make(EVERYTHING, [0, 1], step=step) for step in range(300)]
    strengths = torch.cat([batch.noise_offset_strengths for batch in made]).numpy()
    assert np.abs(np.quantile(strengths, [0.25, 0.5, 0.75]) - [0.025, 0.05, 0.075]).max() < 0.008
    assert strengths.min() >= 0
    assert strengths.max() < 0.1
    own = np.array([batch.input_noise[i].std().item() for batch in made for i in (0, 1)])
    assert np.abs(np.quantile(own, [0.25, 0.5, 0.75]) - [0.05, 0.1, 0.15]).max() < 0.016
    assert own.max() < 0.22
    assert abs(np.corrcoef(own, strengths)[0, 1]) < 0.15, "each is a stream of its own"
    steady = [make({"ip_noise_gamma": 0.2}, [0, 1], step=step).input_noise for step in range(20)]
    assert torch.stack(steady).std().item() == pytest.approx(0.2, abs=0.01)
    assert abs(np.corrcoef(steady[0].flatten(), make({}, [0, 1], step=0).noise.flatten())[0, 1]) < 0.15
