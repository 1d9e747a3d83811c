"""The number on kept-back pictures: worked out by hand, the same however they are batched, and what follows from it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from loratory.config.architectures import SPECS
from loratory.config.ema import EmaConfig
from loratory.config.train import TrainConfig
from loratory.config.validation import ValidationConfig
from loratory.models.base import NoiseSchedule
from loratory.networks.base import Network
from loratory.training import validation
from loratory.training.ema import Ema
from loratory.training.loop import StopFlag
from loratory.training.objective import even_times
from loratory.training.validation import HeldOut, Record, Validator, measure
from tests.unit.training.helpers import Captions, Latents, job, plan_of, sample

ALPHAS = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
SAMPLES = [*(sample(number, (64, 96)) for number in range(5)), sample(5, (96, 64)), sample(6, (96, 64))]


class Model:
    """Predicts w·x + b·text + t, with w and b one number each: the loss is written down by hand below."""

    def __init__(self, is_flow: bool) -> None:
        self.weight = nn.Parameter(torch.tensor(0.5))
        schedule = NoiseSchedule(torch.tensor(ALPHAS, dtype=torch.float32), "epsilon")
        self.noise_schedule = None if is_flow else schedule
        self.seen: list[tuple[int, bool, float]] = []
        self.network = Network({}, {})

    def collate(self, singles: Any) -> dict[str, Tensor]:
        return {"text": torch.stack([each["hidden_states"][0, 0] for each in singles])}

    def predict(self, noisy: Tensor, times: Tensor, conditioning: dict[str, Tensor], sizes: Tensor) -> Tensor:
        self.seen.append((len(noisy), self.network.training, self.weight.item()))
        assert sizes.shape == (len(noisy), 6)
        each = (conditioning["text"] + times).reshape(-1, 1, 1, 1)
        return self.weight * noisy + 0.01 * each


def fake_training(model: Model, config: TrainConfig, **changes: Any) -> Any:
    ema = Ema(EmaConfig(), {})
    show = SimpleNamespace(say=lambda words: None)
    run = SimpleNamespace(pending_requests=list)
    return SimpleNamespace(
        architecture=model, device=torch.device("cpu"), network=model.network, optimizer=SimpleNamespace(), ema=ema,
        show=show, run=run, stop=StopFlag(), plan=plan_of([sample(0)]), config=config, **changes,
    )  # fmt: skip


def held_out(config: TrainConfig, times: list[float]) -> HeldOut:
    hashes = SimpleNamespace(of=lambda item: f"content of {item.path}")
    return HeldOut(config, SAMPLES, [hashes], times, Latents(deviation=None), Captions())  # type: ignore[list-item]


def by_hand(seed: int, times: list[float], is_flow: bool) -> dict[str, float]:
    """The plain mean of (0.5·x + 0.01·(text + t) - target)² over pictures and times, in float64."""
    found: list[tuple[float, float]] = []
    for each in SAMPLES:
        width, height = each.fit.bucket
        latents = np.full((4, height // 8, width // 8), float(each.item.path[:3]))
        text = float(len(f"{each.item.path} {0.0:.6f}"))
        for number, at in enumerate(times):
            name = f"{seed}/validation-noise/content of {each.item.path}"
            key = np.frombuffer(hashlib.blake2b(name.encode(), digest_size=16).digest(), dtype="<u8")
            counter = np.array([0, number, 0, 0], dtype=np.uint64)
            random = np.random.Generator(np.random.Philox(key=key.astype(np.uint64), counter=counter))
            noise = random.standard_normal(latents.shape, dtype=np.float32).astype(np.float64)
            if is_flow:
                noisy, target = (1 - at) * latents + at * noise, noise - latents
            else:
                alpha = ALPHAS[int(at)]
                noisy, target = alpha**0.5 * latents + (1 - alpha) ** 0.5 * noise, noise
            miss = 0.5 * noisy + 0.01 * (text + at) - target
            found.append((at * (1000 if is_flow else 1), float((miss**2).mean())))
    result = {"validation_loss": float(np.mean([loss for _, loss in found]))}
    for low in (0, 250, 500, 750):
        inside = [loss for at, loss in found if low <= at < low + 250]
        if inside:
            result[f"validation_loss_band_{low}_{low + 250}"] = float(np.mean(inside))
    return result


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize(("is_flow", "times"), [(False, [125.0, 600.0, 990.0]), (True, [0.1, 0.5, 0.75, 0.9])])
def test_the_number_by_hand(is_flow: bool, times: list[float], size: int) -> None:
    """Whatever the batch, the loss and the weights of training are."""
    odd = {"loss_type": "huber", "noise_offset": 0.1, "min_snr_gamma": 5.0, "ip_noise_gamma": 0.1}
    if is_flow:
        odd = {"loss_type": "mae", "loss_weighting": "cosmap", "model_prediction_type": "sigma_scaled"}
    config = job(batching={"size": size}, objective=odd, validation={"seed": 9})
    model = Model(is_flow)
    found = measure(fake_training(model, config), held_out(config, times), 3)
    expected = by_hand(9, times, is_flow)
    assert found is not None and found.keys() == expected.keys()
    assert found == pytest.approx(expected, rel=1e-5)
    assert max(batch for batch, _, _ in model.seen) == min(size, 5)


def test_it_is_what_would_be_exported() -> None:
    """The mean of the weights and no dropout; afterwards the weights of training, and dropout again."""
    model = Model(is_flow=True)
    ema = Ema(EmaConfig(decay=0.9), {"weight": model.weight})
    ema.shadow["weight"].fill_(0.25)
    config = job()
    training = fake_training(model, config)
    training.ema = ema
    steps = []
    training.optimizer = SimpleNamespace(
        param_groups=[{"params": [model.weight]}],
        eval=lambda: steps.append("eval"),
        train=lambda: steps.append("train"),
    )
    measure(training, held_out(config, [0.5]), 1)
    assert steps == ["eval", "train"]
    assert {(training_mode, weight) for _, training_mode, weight in model.seen} == {(False, 0.25)}
    assert model.weight.item() == 0.5 and model.network.training


def test_a_request_to_stop_is_heard_between_two_batches() -> None:
    model, config = Model(is_flow=True), job(batching={"size": 2})
    training = fake_training(model, config)
    request = SimpleNamespace(kind="stop")
    answered: list[Any] = []
    training.run.pending_requests = lambda: [request] if len(model.seen) == 3 else []
    training.run.answer = lambda given, step: answered.append((given, step))
    assert measure(training, held_out(config, [0.2, 0.8]), 7) is None
    assert len(model.seen) == 3 and answered == [(request, 7)] and training.stop
    assert model.network.training


@pytest.mark.parametrize(
    ("architecture", "objective", "count", "expected"),
    [
        ("sd15", {}, 4, [125, 375, 625, 875]),
        ("sdxl", {}, 1, [500]),
        ("sd15", {"min_timestep": 600, "max_timestep": 799}, 2, [650, 750]),
        ("flux1", {}, 4, [0.125, 0.375, 0.625, 0.875]),
        ("flux1", {"min_timestep": 500}, 2, [0.625, 0.875]),
        ("flux1", {"flow_shift": 5.0, "timestep_sampling": "sigmoid", "content_or_style": "style"}, 1, [0.5]),
    ],
)
def test_times_are_spread_evenly(
    architecture: str, objective: dict[str, Any], count: int, expected: list[float]
) -> None:
    assert even_times(SPECS[architecture], job(objective=objective).objective, count) == pytest.approx(expected)


# What follows ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "least", "best", "waited"),
    [
        ([5, 4, 3], 0.0, [True, True, True], 0),
        ([5, 6, 5, 4.9], 0.0, [True, False, False, True], 0),
        ([5, 6, 5], 0.0, [True, False, False], 2),
        ([5, 4.9, 4.8, 4.7], 0.25, [True, True, True, True], 0),  # 4.7 is below 5 - 0.25
        ([5, 4.9, 4.8], 0.25, [True, True, True], 2),
        ([float("nan"), 5, float("inf")], 0.0, [False, True, False], 1),
    ],
)
def test_best_and_patience(losses: list[float], least: float, best: list[bool], waited: int) -> None:
    record = Record()
    assert not record.take(0, 1e-9, least), "the number before training is only looked at"
    assert (record.best, record.waited) == (None, 0)
    assert [record.take(step, loss, least) for step, loss in enumerate(losses, 1)] == best
    finite = [loss for loss in losses if np.isfinite(loss)]
    assert (record.best, record.waited, record.at) == (min(finite), waited, len(losses))
    assert record.best_step == 1 + losses.index(min(finite))


def simulated(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> dict[str, Any]:
    """A run of 12 steps in epochs of 3 whose loss has its minimum after step 4, and what the validation did in it."""
    config = job(validation={"split": 0.1, "every_n_steps": 4, **changes}).validation
    losses = {0: 3.0, 2: 2.1, 3: 2.01, 4: 2.0, 6: 2.2, 8: 1.999, 9: 2.3, 10: 2.3, 12: 2.4}
    monkeypatch.setattr(validation, "measure", lambda training, held, step: {"validation_loss": losses[step]})
    did: dict[str, Any] = {"measured": [], "kept": [], "status": []}
    training: Any = SimpleNamespace(
        run=SimpleNamespace(
            write_status=lambda state, **facts: did["status"].append((state, facts)), emit=lambda kind, **facts: None
        ),
        metrics=SimpleNamespace(append=lambda step, **numbers: did["measured"].append((step, numbers))),
        save=SimpleNamespace(export=lambda training, step, best: did["kept"].append(step)),
    )
    validator = Validator(config, held_out(job(validation=config.model_dump()), [0.5]))
    for done in range(13):
        if validator.reason:
            break
        if validator.is_due(done, 12, 3):
            validator.look(training, done)
            assert not validator.is_due(done, 12, 3), "once is enough"
    return did | {"end": done, "reason": validator.reason, "state": validator.state()}


def test_when_it_is_measured_and_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    did = simulated(monkeypatch)
    assert [step for step, _ in did["measured"]] == [0, 4, 8, 12]
    assert did["kept"] == [4, 8]
    assert did["status"][-1] == (
        "training", {"validation_loss": 2.4, "best_validation_loss": 1.999, "best_step": 8},
    )  # fmt: skip
    early = simulated(monkeypatch, early_stop_after=2, min_improvement=0.01, every_n_steps=2)
    assert early["end"] == 9, "after step 4 two have brought less than 0.01; what is due after 8 steps was the second"
    assert early["reason"].startswith(
        "2 validations in a row brought nothing better; the best was 1.99900 after step 8"
    )


# field -> another value, with what else must be set for it to matter
WALK: dict[str, dict[str, Any]] = {
    "every_n_steps": {"every_n_steps": 2},
    "every_n_epochs": {"every_n_epochs": 1, "every_n_steps": None},
    "before_first_step": {"before_first_step": False},
    "early_stop_after": {"early_stop_after": 1, "every_n_steps": 2},
    "min_improvement": {"min_improvement": 0.5, "early_stop_after": 1},
    "keep_best": {"keep_best": False},
}
ELSEWHERE = {
    "split": "test_split.test_a_share_by_hash",
    "path": "test_split.test_a_folder_of_its_own",
    "seed": "test_split.test_a_share_by_hash, and the noise in test_the_number_by_hand",
    "max_pictures": "test_split.test_what_is_measured_when_there_are_too_many",
    "timesteps": "test_times_are_spread_evenly",
}


def test_the_walk_knows_every_field() -> None:
    assert WALK.keys() | ELSEWHERE.keys() == ValidationConfig.model_fields.keys()


@pytest.mark.parametrize("field", WALK)
def test_every_field_changes_what_happens(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = WALK[field]
    without = {name: value for name, value in changes.items() if name != field}
    assert simulated(monkeypatch, **changes) != simulated(monkeypatch, **without)


def test_a_resume_goes_on_and_other_pictures_begin_afresh(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    state = simulated(monkeypatch)["state"]
    config = job(validation={"split": 0.1, "early_stop_after": 1}).validation

    def resumed(change: Callable[[HeldOut], HeldOut] = lambda held: held) -> Validator:
        validator = Validator(config, change(held_out(job(validation=config.model_dump()), [0.5])))
        validator.load(state)
        return validator

    assert resumed().state() == state
    assert resumed().reason, "the patience goes on, too"
    assert caplog.text == ""
    for change in (
        lambda held: HeldOut(**vars(held) | {"samples": held.samples[1:]}),
        lambda held: HeldOut(**vars(held) | {"times": [0.25]}),
        lambda held: HeldOut(**vars(held) | {"config": job(validation={"split": 0.1, "seed": 1})}),
    ):
        caplog.clear()
        assert resumed(change).measured_at is None
        assert "the best one is looked for afresh" in caplog.text
    caplog.clear()
    validator = Validator(config, held_out(job(), [0.5]))
    validator.load(None)  # a checkpoint from before there was such a thing
    validator.load({"measured": "", "at": None})  # of a run without it
    assert validator.measured_at is None and caplog.text == ""
    assert not Validator(config, None).is_due(0, 12, 3)
