"""The gradient of a step, however it is cut into micro-batches; clipping; steps that are no numbers."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from loratory.config.optimizer import AdamWConfig, SGDConfig
from loratory.config.train import TrainConfig
from loratory.models.base import NoiseSchedule
from loratory.training import loop
from loratory.training.batches import Batch, BatchMaker
from loratory.training.finite import FiniteWatch, NotFinite, not_finite
from loratory.training.meter import Meter
from loratory.training.metrics import StepNumbers
from loratory.training.optimizers import FusedSteps, WorkCopies, make_optimizer
from loratory.training.signs import SignAgreement
from tests.unit.training.helpers import Captions, Latents, job, plan_of, sample

ALPHAS = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
WIDE, NUMBERS = (96, 64), range(7)


class LinearModel:
    """Predicts w·x + b·text, a number per channel: its gradients are written down by hand below."""

    def __init__(self, prediction: str | None) -> None:
        self.weight = nn.Parameter(torch.tensor([0.5, -1.0, 2.0, 0.1]))
        self.bias = nn.Parameter(torch.tensor([0.1, 0.2, 0.3, 0.4]))
        schedule = NoiseSchedule(torch.tensor(ALPHAS, dtype=torch.float32), prediction or "")
        self.noise_schedule = schedule if prediction else None

    def collate(self, singles: Any) -> dict[str, Tensor]:
        return {"text": torch.stack([each["hidden_states"][0, 0] for each in singles])}

    def predict(self, noisy: Tensor, times: Tensor, conditioning: dict[str, Tensor], sizes: Tensor) -> Tensor:
        assert len(sizes) == len(noisy) == len(times)
        text = conditioning["text"].reshape(-1, 1, 1, 1)
        return self.weight.reshape(1, -1, 1, 1) * noisy + self.bias.reshape(1, -1, 1, 1) * text


def step_of(maker: BatchMaker, cuts: list[int]) -> list[Batch]:
    """The step of all samples, cut here into micro-batches of these sizes."""
    parts = np.split(np.arange(len(NUMBERS)), np.cumsum(cuts)[:-1])
    firsts = [0, *np.cumsum(cuts)[:-1].tolist()]
    result = []
    for first, part in zip(firsts, parts, strict=True):
        # A micro-batch's slots begin at its number times the batch size: 1 makes every cut possible.
        batch = maker.make(3, first, part, step_samples=len(NUMBERS), is_last=False)
        result.append(batch)
    return result


def maker_of(config: TrainConfig, prediction: str | None) -> BatchMaker:
    plan = plan_of([sample(number, WIDE) for number in NUMBERS], batch_size=1, accumulation=len(NUMBERS))

    def draw_time(random: np.random.Generator, _: tuple[int, int]) -> float:
        return float(random.integers(0, 1000)) if prediction else random.random()

    return BatchMaker(config, plan, Latents(), Captions(), draw_time, latent_channels=4, latent_factor=8)


def gradients(config: TrainConfig, prediction: str | None, batches: list[Batch]) -> tuple[np.ndarray, float]:
    """Of weight and bias, through the loop's own function; and the step's loss."""
    model = LinearModel(prediction)
    training = SimpleNamespace(
        config=config, architecture=model, device=torch.device("cpu"), network=SimpleNamespace(draws=False),
        fused=SimpleNamespace(active=False), scaler=torch.amp.GradScaler("cpu", enabled=False),
        meter=Meter(torch.device("cpu"), is_flow=prediction is None),
    )  # fmt: skip
    loss = sum(loop.forward_backward(training, batch).item() for batch in batches)  # type: ignore[arg-type]
    return torch.stack([model.weight.grad, model.bias.grad]).numpy(), loss


def by_hand(batches: list[Batch], prediction: str | None, gamma: float | None, offset: float) -> tuple[Any, float]:
    """(1/N)·Σ weight·∇ mean (w·x + b·text - target)², in float64."""
    model = LinearModel(prediction)
    weight, bias = model.weight.detach().double().numpy(), model.bias.detach().double().numpy()
    whole, loss = np.zeros((2, 4)), 0.0
    for batch in batches:
        for i in range(len(batch.names)):
            latents, noise = batch.latents[i].double().numpy(), batch.noise[i].double().numpy()
            if offset:
                noise = noise + offset * batch.noise_offsets[i].double().numpy()[:, None, None]
            time, importance = float(batch.times[i]), 1.0
            if prediction is None:
                noisy, target = (1 - time) * latents + time * noise, noise - latents
            else:
                alpha = ALPHAS[int(time)]
                noisy = alpha**0.5 * latents + (1 - alpha) ** 0.5 * noise
                target = noise if prediction == "epsilon" else alpha**0.5 * noise - (1 - alpha) ** 0.5 * latents
                ratio = alpha / (1 - alpha)
                if gamma is not None:
                    importance = min(ratio, gamma) / (ratio if prediction == "epsilon" else ratio + 1)
            text = float(len(batch.texts[i]))
            miss = weight[:, None, None] * noisy + bias[:, None, None] * text - target
            whole += importance * 2 / miss.size * np.array([(miss * noisy).sum((1, 2)), miss.sum((1, 2)) * text])
            loss += importance * (miss**2).mean()
    return whole / len(NUMBERS), loss / len(NUMBERS)


@pytest.mark.parametrize("cuts", [[7], [3, 3, 1], [2, 2, 2, 1], [1] * 7, [1, 5, 1]])
@pytest.mark.parametrize(
    ("prediction", "gamma", "offset"),
    [(None, None, 0.0), ("epsilon", None, 0.0), ("epsilon", 1.0, 0.1), ("v_prediction", 1.0, 0.0)],
)
def test_a_steps_gradient_is_the_mean_over_all_its_pictures(
    prediction: str | None, gamma: float | None, offset: float, cuts: list[int]
) -> None:
    """So a short batch counts by its pictures, and accumulating equals one large batch."""
    config = job(objective={"min_snr_gamma": gamma, "noise_offset": offset})
    batches = step_of(maker_of(config, prediction), cuts)
    assert [len(batch.names) for batch in batches] == cuts
    found, loss = gradients(config, prediction, batches)
    expected, expected_loss = by_hand(batches, prediction, gamma, offset)
    np.testing.assert_allclose(found, expected, rtol=2e-4)
    assert loss == pytest.approx(expected_loss, rel=1e-4)


@pytest.mark.parametrize("cuts", [[7], [3, 3, 1], [1] * 7])
def test_summed_gradients_are_the_batches_means_added_up(cuts: list[int]) -> None:
    """As ai-toolkit's gradient_accumulation does; the loss that is told stays the mean over the step's pictures."""
    batches = step_of(maker_of(job(batching={"accumulate": "sum"}), None), cuts)
    found, loss = gradients(job(batching={"accumulate": "sum"}), None, batches)
    expected = np.zeros((2, 4))
    for batch, size in zip(batches, cuts, strict=True):
        one, _ = by_hand([batch], None, None, 0.0)  # divided by the pictures of the step
        expected += one * len(NUMBERS) / size
    np.testing.assert_allclose(found, expected, rtol=2e-4)
    assert loss == pytest.approx(by_hand(batches, None, None, 0.0)[1], rel=1e-4)


def test_a_pictures_weight_multiplies_its_loss_and_its_gradient() -> None:
    datasets = [{"path": "a"}, {"path": "b", "is_regularisation": True, "loss_weight": 0.5}]
    config = job(datasets=datasets, objective={"prior_loss_weight": 0.3})
    maker = maker_of(config, None)
    samples = [dataclasses.replace(each, dataset=number % 2) for number, each in enumerate(maker.plan.samples)]
    maker = dataclasses.replace(maker, plan=dataclasses.replace(maker.plan, samples=tuple(samples)))
    batches = step_of(maker, [1] * len(NUMBERS))
    found, loss = gradients(config, None, batches)
    expected, expected_loss = np.zeros((2, 4)), 0.0
    for number, batch in enumerate(batches):
        one, its_loss = by_hand([batch], None, None, 0.0)
        weight = 0.15 if number % 2 else 1.0
        expected, expected_loss = expected + weight * one, expected_loss + weight * its_loss
    np.testing.assert_allclose(found, expected, rtol=2e-4)
    assert loss == pytest.approx(expected_loss, rel=1e-4)


def test_pictures_can_be_encoded_in_the_step_and_are_drawn_from_the_same_cloud() -> None:
    """Latents of a batch with pixels: mean + deviation × the batch's own draw, or the mean alone."""
    batch = step_of(maker_of(job(), None), [7])[0]
    mean, noise = batch.latents - 0.5 * batch.posterior_noise, batch.posterior_noise
    pixels = torch.arange(7, dtype=torch.uint8).reshape(7, 1, 1, 1).expand(7, 3, 64, 96)

    class Encoder:
        def encode_images(self, given: Tensor) -> tuple[Tensor, Tensor]:
            assert torch.equal(given, pixels.float() / 127.5 - 1)
            return mean, torch.full_like(mean, 0.5)

    raw = dataclasses.replace(batch, latents=None, pixels=pixels)
    device: Any = torch.device("cpu")
    encoder: Any = Encoder()
    torch.testing.assert_close(loop.latents_of(raw, encoder, device), batch.latents)
    centre = dataclasses.replace(raw, posterior_noise=None)
    assert torch.equal(loop.latents_of(centre, encoder, device), mean)
    assert torch.equal(loop.latents_of(batch, encoder, device), batch.latents)
    assert not torch.equal(mean, batch.latents)
    assert noise.std() > 0.9


# The optimizer's step ----------------------------------------------------------------------------------------


def training_with(kind: type, weights: list[nn.Parameter], **options: Any) -> Any:
    config = job(optimizer={"type": kind.model_fields["type"].default, "learning_rate": 0.1, **options})  # type: ignore[attr-defined]
    optimizer = make_optimizer(config.optimizer, {"unet": weights}, ())
    work, signs = WorkCopies(weights, 0, stochastic=True), SignAgreement(weights)
    return SimpleNamespace(
        config=config,
        optimizer=optimizer,
        work=work,
        fused=FusedSteps(config.optimizer, optimizer, weights, signs, work),
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        steps_done=0,
    )


@pytest.mark.parametrize(("limit", "factor"), [(0.0, 1.0), (10.0, 1.0), (1.0, 0.2), (2.5, 0.5)])
def test_long_gradients_are_shortened_together(limit: float, factor: float) -> None:
    weights = [nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))]
    training = training_with(SGDConfig, weights, momentum=0.0, max_grad_norm=limit)
    weights[0].grad, weights[1].grad = torch.tensor([3.0]), torch.tensor([-4.0])
    norm = loop.optimizer_step(training, torch.tensor(1.0))
    assert norm.item() == pytest.approx(5.0), "the norm before shortening is reported"
    assert weights[0].item() == pytest.approx(-0.1 * 3 * factor, rel=1e-4)
    assert weights[1].item() == pytest.approx(0.1 * 4 * factor, rel=1e-4)
    assert weights[0].grad is None


@pytest.mark.parametrize("kind", [AdamWConfig, SGDConfig])
@pytest.mark.parametrize(
    ("gradient", "loss"), [(float("nan"), 1.0), (float("inf"), 1.0), (1.0, float("nan")), (1.0, float("inf"))]
)
def test_a_step_that_is_no_number_changes_nothing(kind: type, gradient: float, loss: float) -> None:
    """Neither weights nor the optimizer's memory: the run goes on as if the step had not been."""

    def run(with_bad_step: bool) -> tuple[Tensor, dict[str, Tensor]]:
        weights = [nn.Parameter(torch.tensor([1.0, 2.0])), nn.Parameter(torch.tensor([3.0]))]
        training = training_with(kind, weights, weight_decay=0.1)
        for step in range(3):
            if step == 1 and with_bad_step:
                weights[0].grad, weights[1].grad = torch.tensor([gradient, 1.0]), torch.tensor([1.0])
                loop.optimizer_step(training, torch.tensor(loss))
            weights[0].grad, weights[1].grad = torch.tensor([0.5, -1.0]) * (step + 1), torch.tensor([0.1])
            loop.optimizer_step(training, torch.tensor(1.0))
        state = {
            f"{index}.{name}": value
            for index, values in training.optimizer.state_dict()["state"].items()
            for name, value in values.items()
        }
        return torch.cat([weight.detach() for weight in weights]), state

    weights, state = run(with_bad_step=True)
    expected, expected_state = run(with_bad_step=False)
    assert torch.equal(weights, expected)
    assert state.keys() == expected_state.keys()
    assert len(state) >= 2
    assert all(torch.equal(state[name], expected_state[name]) for name in state)
    assert not torch.equal(expected, torch.tensor([1.0, 2.0, 3.0]))


# What is noticed ---------------------------------------------------------------------------------------------


def numbers(step: int, loss: float = 1.0, norm: float = 1.0) -> StepNumbers:
    return StepNumbers(step, loss, norm, 0.5, {"unet": 0.1}, (f"photos/{step}.png", "photos/same.png"), {})


def test_what_is_not_a_number_is_named() -> None:
    nan, infinite = float("nan"), float("inf")
    cases = {
        (1.0, 1.0): "",
        (nan, 1.0): "loss",
        (infinite, nan): "loss",
        (1.0, nan): "gradient",
        (1.0, infinite): "gradient",
    }
    for (loss, norm), expected in cases.items():
        assert not_finite(numbers(0, loss, norm), scaled=False) == expected
    assert not_finite(numbers(0, 1.0, infinite), scaled=True) == "", "a gradient scaler tries too large a scale"
    assert not_finite(numbers(0, nan, 1.0), scaled=True) == "loss"


def test_a_few_bad_steps_in_a_row_stop_the_run_and_scattered_ones_do_not() -> None:
    watch = FiniteWatch(3)
    for step, what in enumerate(["loss", "loss", "", "gradient", "loss", ""] * 3):
        watch.look(numbers(step), what)
    watch.look(numbers(20), "loss")
    watch.look(numbers(21), "loss")
    with pytest.raises(NotFinite) as caught:
        watch.look(numbers(22), "loss")
    message = str(caught.value)
    assert "since step 21 " in message, "steps are shown counting from 1"
    assert "photos/20.png, photos/same.png" in message
    assert "photos/22.png" not in message


@pytest.mark.parametrize(
    ("done", "steps", "epochs", "expected"),
    [(4, None, None, False), (4, 4, None, True), (6, 4, None, False), (10, None, 2, True), (5, None, 2, False),
     (20, 3, 2, True), (0, 4, None, True)],
)  # fmt: skip
def test_when_an_interval_is_complete(done: int, steps: int | None, epochs: int | None, expected: bool) -> None:
    assert loop.due(done, steps, epochs, steps_per_epoch=5) == expected
