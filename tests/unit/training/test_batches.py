"""What travels in a batch, and the thread that prepares batches early."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from loratory.config.train import TrainConfig
from loratory.planner import Sample
from loratory.training.batches import Batch, BatchMaker, prefetch
from loratory.training.views import View
from tests.unit.training.helpers import Captions, Latents, Pixels, job, plan_of, sample

WIDE = (96, 64)
SAMPLES = [sample(number, WIDE, scaled=(112, 64)) for number in range(6)]


def maker(config: TrainConfig | None = None, samples: list[Sample] = SAMPLES, **parts: Any) -> BatchMaker:
    plan = plan_of(samples, batch_size=2, accumulation=2)
    usual: dict[str, Any] = {"pictures": Latents(), "texts": Captions(), "draw_time": lambda random, _: random.random()}
    return BatchMaker(config or job(), plan, latent_channels=4, latent_factor=8, **usual | parts)


def make(maker: BatchMaker, members: list[int], step: int = 5, micro_batch: int = 1) -> Batch:
    return maker.make(step, micro_batch, np.array(members), step_samples=4, is_last=True)


def same(one: Batch, other: Batch) -> bool:
    for name in (field.name for field in dataclasses.fields(Batch)):
        mine, its = getattr(one, name), getattr(other, name)
        if isinstance(mine, torch.Tensor):
            if not torch.equal(mine, its):
                return False
        elif name == "conditionings":
            pairs = zip(mine, its, strict=True)
            if not all(torch.equal(left["hidden_states"], right["hidden_states"]) for left, right in pairs):
                return False
        elif mine != its:
            return False
    return True


# What is in a batch ------------------------------------------------------------------------------------------


def test_a_batch_says_where_it_belongs_and_what_is_in_it() -> None:
    config = job(batching={"size": 2}, objective={"noise_offset": 0.1})
    batches = list(maker(config).batches(2, 6))  # 6 pictures: 3 batches, 2 steps in each epoch
    assert [(b.step, b.micro_batch, b.is_last, b.step_samples, len(b.names)) for b in batches] == [
        (2, 0, False, 4, 2), (2, 1, True, 4, 2), (3, 0, True, 2, 2),
        (4, 0, False, 4, 2), (4, 1, True, 4, 2), (5, 0, True, 2, 2),
    ]  # fmt: skip
    for batch in batches:
        assert batch.noise.shape == batch.posterior_noise.shape == batch.latents.shape == (2, 4, 8, 12)
        assert batch.noise_offsets.shape == (2, 4)
        assert batch.times.shape == (2,)
        assert batch.sizes.shape == (2, 6)
        numbers = [int(name.removeprefix("photos/").removesuffix(".png")) for name in batch.names]
        assert batch.texts == [f"{number:03}.png{text[7:]}" for number, text in zip(numbers, batch.texts, strict=True)]


def test_noise_is_normal_and_each_draw_is_a_stream_of_its_own() -> None:
    config = job(objective={"noise_offset": 0.1})
    batches = list(maker(config).batches(0, 60))
    draws = {name: torch.cat([getattr(b, name).flatten() for b in batches]) for name in ("noise", "posterior_noise")}
    draws["noise_offsets"] = torch.cat([batch.noise_offsets.flatten() for batch in batches])
    for name, numbers in draws.items():
        spread = 5 / len(numbers) ** 0.5
        assert abs(numbers.mean()) < spread, name
        assert abs(numbers.std() - 1) < spread, name
        assert len(numbers.unique()) > 0.99 * len(numbers), name
    assert abs(torch.corrcoef(torch.stack([draws["noise"], draws["posterior_noise"]]))[0, 1]) < 0.03


@pytest.mark.parametrize("posterior", ["sample", "mean"])
@pytest.mark.parametrize("deviation", [0.5, None])
def test_latents_are_drawn_from_the_autoencoders_cloud(posterior: str, deviation: float | None) -> None:
    batch = make(maker(job(caching={"posterior": posterior}), pictures=Latents(deviation)), [3, 4])
    centre = torch.tensor([3.0, 4.0]).reshape(2, 1, 1, 1).expand(2, 4, 8, 12)
    if posterior == "mean":
        assert batch.posterior_noise is None
        assert torch.equal(batch.latents, centre)
    else:
        torch.testing.assert_close(batch.latents, centre + (deviation or 0.0) * batch.posterior_noise)
        assert deviation is None or not torch.equal(batch.latents, centre)


def test_draws_of_a_slot_do_not_depend_on_its_neighbours() -> None:
    one = maker(job(objective={"noise_offset": 0.1}))
    alone, first, second = make(one, [1]), make(one, [1, 2]), make(one, [4, 1])
    for name in ("noise", "posterior_noise", "noise_offsets", "times", "latents"):
        assert torch.equal(getattr(alone, name)[0], getattr(first, name)[0]), name
        assert not torch.equal(getattr(first, name)[1], getattr(first, name)[0]), name
        # The draws belong to the slot, whatever picture is in it; latents belong to the picture as well.
        assert torch.equal(getattr(second, name)[0], getattr(alone, name)[0]) == (name != "latents"), name
    elsewhere = [make(one, [1], step=6), make(one, [1], micro_batch=0), make(maker(job(seed=43)), [1])]
    assert all(not torch.equal(other.noise, alone.noise) for other in elsewhere)


def test_slots_count_through_the_micro_batches_of_a_step() -> None:
    """So a step draws the same however it is cut, here into 2 + 2 and into 4."""
    two, four = maker(), maker()
    four = dataclasses.replace(four, plan=plan_of(SAMPLES, batch_size=4))
    halves = [make(two, [0, 1], micro_batch=0), make(two, [2, 3], micro_batch=1)]
    whole = make(four, [0, 1, 2, 3], micro_batch=0)
    for name in ("noise", "posterior_noise", "times", "latents", "sizes"):
        assert torch.equal(torch.cat([getattr(half, name) for half in halves]), getattr(whole, name)), name
    assert halves[0].texts + halves[1].texts == whole.texts


def test_times_are_drawn_for_the_size_of_the_latents() -> None:
    asked = []

    def draw_time(random: np.random.Generator, size: tuple[int, int]) -> float:
        asked.append(size)
        return random.random()

    batch = make(maker(draw_time=draw_time), [0, 1])
    assert asked == [(8, 12)] * 2
    assert len(set(batch.times.tolist())) == 2


# Flips and crops ---------------------------------------------------------------------------------------------


def test_flips_are_drawn_and_reported_to_the_model() -> None:
    config = job(datasets=[{"path": "photos", "augmentation": {"flip": True}}])
    lopsided = [dataclasses.replace(each, fit=dataclasses.replace(each.fit, crop=(3, 0))) for each in SAMPLES]
    flipped = []
    for step in range(200):
        batch = make(maker(config, lopsided, pictures=Latents(None)), [3, 5], step=step)
        for value, sizes in zip(batch.latents[:, 0, 0, 0].tolist(), batch.sizes.tolist(), strict=True):
            flipped.append(value < 0)
            # Original height and width, top, left (from the mirrored edge), target height and width.
            assert sizes == [128, 224, 0, 112 - 96 - 3 if value < 0 else 3, 64, 96]
    assert 0.4 < np.mean(flipped) < 0.6
    assert flipped[::2] != flipped[1::2], "each slot draws for itself"
    without = [make(maker(pictures=Latents(None)), [3], step=step).latents[0, 0, 0, 0] for step in range(50)]
    assert all(value == 3 for value in without)


def test_random_crops_reach_every_place_within_the_picture_and_none_outside() -> None:
    augmentation = {"random_crop": True, "flip": True, "variants": None}
    config = job(datasets=[{"path": "photos", "augmentation": augmentation}], caching={"latents": "off"})
    samples = [sample(0, WIDE, scaled=(100, 64)), sample(1, WIDE, scaled=(96, 66))]
    crops: dict[str, set[tuple[int, int]]] = {"000.png": set(), "001.png": set()}
    for step in range(150):
        pixels = Pixels()
        batch = make(maker(config, samples, pictures=pixels), [0, 1], step=step)
        assert batch.latents is None
        assert batch.pixels.dtype == torch.uint8
        assert batch.pixels[:, 0, 0, 0].tolist() == [0, 1]
        for (name, view), sizes in zip(pixels.asked, batch.sizes.tolist(), strict=True):
            crop = view.fit.crop
            crops[name].add(crop)
            room = 4 if name == "000.png" else 0
            assert sizes[2:4] == [crop[1], room - crop[0] if view.flip else crop[0]]
    assert crops == {"000.png": {(left, 0) for left in range(5)}, "001.png": {(0, top) for top in range(3)}}


def test_without_random_crop_the_centre_is_cut() -> None:
    pixels = Pixels()
    batch = make(maker(job(caching={"latents": "off"}), pictures=pixels), [2])
    assert pixels.asked == [("002.png", View(SAMPLES[2].fit))]
    assert SAMPLES[2].fit.crop == (8, 0)
    assert batch.sizes.tolist() == [[128, 224, 0, 8, 64, 96]]


# Texts -------------------------------------------------------------------------------------------------------


def test_texts_get_two_even_draws_of_their_slot() -> None:
    texts = Captions()
    one = maker(texts=texts)
    for step in range(300):
        make(one, [0, 1], step=step)
    numbers = np.array([(drop, pick) for _, drop, pick in texts.drawn])
    assert len(np.unique(numbers)) == numbers.size
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert np.abs(np.quantile(numbers, [0.25, 0.5, 0.75], axis=0) - [[0.25], [0.5], [0.75]]).max() < 0.06


def test_embeddings_come_with_the_batch_only_where_all_are_cached() -> None:
    batch = make(maker(), [0, 1])
    assert [len(text) for text in batch.texts] == [each["hidden_states"][0, 0] for each in batch.conditionings]

    class Half(Captions):
        def conditioning(self, text: str) -> dict[str, torch.Tensor] | None:
            return None if text.startswith("001") else super().conditioning(text)

    assert make(maker(texts=Half()), [0, 1]).conditionings is None
    assert make(maker(texts=Captions(cached=False)), [0, 1]).conditionings is None


# The thread --------------------------------------------------------------------------------------------------


def batch_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "batches" and thread.is_alive()]


def test_prefetched_batches_are_the_same() -> None:
    config = job(datasets=[{"path": "photos", "augmentation": {"flip": True}}], objective={"noise_offset": 0.1})
    plain = list(prefetch(maker(config).batches(0, 12), 0))
    early = list(prefetch(maker(config).batches(0, 12), 2))
    assert len(plain) == len(early) == 18
    assert all(same(one, other) for one, other in zip(plain, early, strict=True))
    assert not same(plain[0], plain[1])
    assert not batch_threads()


def test_starting_later_makes_the_same_batches() -> None:
    whole = [batch for batch in maker().batches(0, 9) if batch.step >= 5]
    rest = list(maker().batches(5, 9))
    assert len(rest) == 6
    assert all(same(one, other) for one, other in zip(whole, rest, strict=True))


class SomethingBroke(Exception):
    pass


@pytest.mark.parametrize("ahead", [0, 1, 3])
@pytest.mark.parametrize("error", [SomethingBroke("in the third batch"), KeyboardInterrupt()])
def test_errors_of_the_thread_are_raised_in_their_turn(ahead: int, error: BaseException) -> None:
    def failing() -> Iterator[int]:
        yield from (1, 2)
        raise error

    seen = []
    with pytest.raises(type(error)) as caught:
        for number in prefetch(failing(), ahead):  # type: ignore[arg-type]
            seen.append(number)
    assert caught.value is error
    assert seen == [1, 2]
    assert not batch_threads()


def test_batches_are_made_no_further_ahead_than_asked() -> None:
    made = []

    def counting() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    batches = prefetch(counting(), 3)  # type: ignore[arg-type]
    assert next(batches) == 0
    deadline = time.monotonic() + 5
    while len(made) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.15)  # longer than the thread waits between two looks
    # One was taken, three wait, and one is in the thread's hand.
    assert len(made) == 5
    batches.close()
    assert not batch_threads(), "leaving early must stop the thread"
    assert len(made) <= 6
