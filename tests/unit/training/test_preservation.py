"""What the bare model says: targets and terms of the loss against NumPy, and the bare model against one without any
adapter."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from loratory.config.train import TrainConfig
from loratory.models.base import NoiseSchedule
from loratory.networks.base import inject
from loratory.planner import Sample
from loratory.training import loop
from loratory.training.batches import Batch, BatchMaker, Moment, Words
from loratory.training.meter import Meter
from loratory.training.metrics import Terms
from loratory.training.preservation import Question
from tests.tiny.fixtures import tiny_model
from tests.unit.models.conftest import load_model
from tests.unit.networks.helpers import stir
from tests.unit.training.helpers import Latents, job, plan_of, sample

__all__ = ["tiny_model"]

ALPHAS = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
BARE, TRIGGER, PURPOSES = 0.7, "ohwx", {"class": "diff_output_preservation", "blank": "blank_prompt_preservation"}
# Two pictures that teach, one of a regularisation set, one of a dataset that is held to the bare model.
DATASETS = [
    {"path": "new", "trigger_word": TRIGGER, "loss_weight": 0.5},
    {"path": "regular", "is_regularisation": True},
    {"path": "kept", "diff_output_preservation": True},
]
ORDER = (0, 1, 2, 0)


class StandIn:
    """Predicts (0.7 + δ)·x·(1 + t) + 0.1·g + (length of the text)/10. The adapter is δ, g the guidance it is told."""

    def __init__(self, prediction: str | None) -> None:
        self.delta = nn.Parameter(torch.tensor(0.4))
        self.strength = 1.0
        self.spec = SimpleNamespace(default_flow_shift=3.0, token_size=2, resolution_shift=((256, 0.5), (4096, 1.15)))
        schedule = NoiseSchedule(torch.tensor(ALPHAS, dtype=torch.float32), prediction or "")
        self.noise_schedule = schedule if prediction else None
        self.draws = False
        self.asked: list[str] = []

    @contextmanager
    def disabled(self) -> Iterator[None]:
        self.strength = 0.0
        yield
        self.strength = 1.0

    def collate(self, singles: Any) -> dict[str, Tensor]:
        return {"text": torch.stack([each["length"] for each in singles])}

    def predict(self, noisy: Tensor, times: Tensor, conditioning: dict[str, Tensor], sizes: Tensor) -> Tensor:
        assert len(sizes) == len(noisy) == len(times)
        self.asked.append(
            f"{'bare' if self.strength == 0 else 'adapted'}{' learns' if torch.is_grad_enabled() else ''}"
        )
        told = conditioning.get("guidance", torch.zeros(len(noisy)))
        times, text, told = (each.reshape(-1, 1, 1, 1) for each in (times, conditioning["text"], told))
        return (BARE + self.strength * self.delta) * noisy * (1 + times) + 0.1 * told + text / 10


@dataclasses.dataclass
class Told:
    """Texts with the trigger word; an embedding is a text's length."""

    def text(self, sample: Sample, drop: float, pick: float, moment: Moment) -> str:
        return f"a photo of {TRIGGER}, {sample.item.path}" if sample.dataset != 1 else "a dog"

    def conditioning(self, text: str) -> dict[str, Tensor]:
        return {"length": torch.tensor(float(len(text)))}


Asked = tuple[float, float, StandIn, Batch, dict[str, float]]


def asked(objective: dict[str, Any], prediction: str | None = None, masks: np.ndarray | None = None) -> Asked:
    """Loss, gradient, the model, the batch and the terms of one step of four pictures in one micro-batch."""
    config = job(datasets=DATASETS, objective={"prior_loss_weight": 0.3, **objective})
    samples = [sample(number, (96, 64), dataset=dataset) for number, dataset in enumerate(ORDER)]

    def draw_time(random: np.random.Generator, _: tuple[int, int]) -> float:
        return float(random.integers(0, 1000)) if prediction else random.random()

    maker = BatchMaker(config, plan_of(samples, 4), Latents(), Told(), draw_time, latent_channels=4, latent_factor=8)
    batch = maker.make(3, 0, np.arange(4), step_samples=5, is_last=True)
    if masks is not None:
        batch.masks = torch.tensor(masks, dtype=torch.float32)
    model, terms = StandIn(prediction), Terms()
    training: Any = SimpleNamespace(
        config=config, architecture=model, device=torch.device("cpu"), network=model, terms=terms,
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        meter=Meter(torch.device("cpu"), is_flow=False),
        fused=SimpleNamespace(active=False),
    )  # fmt: skip
    loss = loop.forward_backward(training, batch).item()
    assert model.delta.grad is not None
    return loss, model.delta.grad.item(), model, batch, {name: each.item() for name, each in terms.take().items()}


def by_hand(batch: Batch, prediction: str | None, objective: dict[str, Any]) -> tuple[float, float, dict[str, float]]:
    """The same in float64."""
    loss, gradient = 0.0, 0.0
    terms: dict[str, float] = {}
    for i, dataset in enumerate(ORDER):
        x0, noise, time = batch.latents[i].double().numpy(), batch.noise[i].double().numpy(), batch.times[i].item()
        if prediction is None:
            share, x, y = time, (1 - time) * x0 + time * noise, noise - x0
        else:
            a, b = ALPHAS[int(time)] ** 0.5, (1 - ALPHAS[int(time)]) ** 0.5
            share, x, y = b / (a + b), a * x0 + b * noise, noise if prediction == "epsilon" else a * noise - b * x0
        told = 0.0 if batch.guidance is None else batch.guidance[i].item()

        def said(text: str, delta: float, told: float, x: Any, t: float) -> Any:
            return (BARE + delta) * x * (1 + t) + 0.1 * told + len(text) / 10

        caption = batch.texts[i]
        now = said(caption, 0.4, told, x, time)
        if told:
            without = said(objective.get("unconditional_prompt", ""), 0, 0, x, time)
            if objective.get("guidance_loss_cfg_zero"):
                without = without * (y * without).sum() / (without**2).sum()
            scale = 1 + (told - 1) * share if objective.get("guidance_loss_schedule") == "sigma" else told
            y = without + scale * (y - without)
        if dataset == 2:
            y = said(caption, 0, told, x, time)
        if steps := objective.get("mean_flow_steps"):
            even = time / (3 - 2 * time)
            even = (np.ceil(even * steps) - 1) / steps
            way = 0.1 * (time - 3 * even / (1 + 2 * even))
            y = y - (now - said(caption, 0.4, told, x - way * y, time - way)) / 0.1
        weight = {0: 0.5, 1: 0.3, 2: 1.0}[dataset] / 5
        mask = np.ones((1, 8, 12)) if batch.masks is None else batch.masks[i].double().numpy()
        parts = [(y, mask, 1.0)]
        if objective.get("inverted_mask_prior") and batch.masks is not None:
            parts.append((said(caption, 0, told, x, time), 1 - mask, objective["inverted_mask_prior"]))
        for target, counts, multiplier in parts:
            if objective.get("masked_loss_mean") == "mask":
                counts = counts / max(counts.mean(), 1e-6)
            part = multiplier * weight * (counts * (now - target) ** 2).mean()
            gradient += multiplier * weight * 2 * (counts * (now - target) * x * (1 + time)).mean()
            loss += part
            if target is not y:
                terms["loss_inverted_mask_prior"] = terms.get("loss_inverted_mask_prior", 0.0) + part
        if dataset:
            continue
        for purpose, text in (("class", caption.replace(TRIGGER, "dog")), ("blank", "")):
            multiplier = objective.get(PURPOSES[purpose], 0)
            if multiplier:
                miss = said(text, 0.4, told, x, time) - said(text, 0, told, x, time)
                name = f"loss_{PURPOSES[purpose]}"
                terms[name] = terms.get(name, 0.0) + multiplier * weight * (miss**2).mean()
                gradient += multiplier * weight * 2 * (miss * x * (1 + time)).mean()
    outside = terms.get("loss_inverted_mask_prior", 0.0)  # counted already
    return loss + sum(terms.values()) - outside, gradient, terms


DOG = {"diff_output_preservation": 2.0, "diff_output_preservation_class": "dog"}
EVERYTHING = {
    **DOG,
    "blank_prompt_preservation": 0.5,
    "guidance_loss_target": (2.0, 4.0),
    "unconditional_prompt": "bad",
}


@pytest.mark.parametrize(
    "objective",
    [
        {}, DOG, {"blank_prompt_preservation": 0.5}, {"guidance_loss_target": 3.0}, EVERYTHING,
        EVERYTHING | {"guidance_loss_schedule": "sigma", "guidance_loss_cfg_zero": True},
        {"mean_flow_steps": 1}, {"mean_flow_steps": 3}, EVERYTHING | {"mean_flow_steps": 2},
    ],
    ids=lambda objective: "-".join(objective) or "plain",
)  # fmt: skip
@pytest.mark.parametrize("prediction", [None, "epsilon", "v_prediction"])
def test_loss_and_gradient(objective: dict[str, Any], prediction: str | None) -> None:
    """Of pictures that teach, of a regularisation set and of a dataset held to the bare model, in one batch."""
    loss, gradient, _, batch, terms = asked(objective, prediction)
    if prediction:
        objective = {name: value for name, value in objective.items() if name != "mean_flow_steps"}
    expected_loss, expected_gradient, expected_terms = by_hand(batch, prediction, objective)
    assert loss == pytest.approx(expected_loss, rel=1e-4)
    assert gradient == pytest.approx(expected_gradient, rel=1e-3)
    assert terms == pytest.approx(expected_terms, rel=1e-4)


MASKS = np.random.default_rng(3).random((4, 1, 8, 12))
MASKS[3] = 1


@pytest.mark.parametrize("prediction", [None, "epsilon"])
@pytest.mark.parametrize("mean", ["picture", "mask"])
@pytest.mark.parametrize("objective", [{}, EVERYTHING, {"mean_flow_steps": 2}], ids=["alone", "all", "flow"])
def test_outside_of_masks_the_model_is_held_to_what_it_was(
    objective: dict[str, Any], mean: str, prediction: str | None
) -> None:
    """Preservation of captions is about whole pictures, whatever the masks."""
    objective = objective | {"inverted_mask_prior": 0.5, "masked_loss_mean": mean}
    loss, gradient, _, batch, terms = asked(objective, prediction, MASKS)
    if prediction:
        objective.pop("mean_flow_steps", None)
    expected_loss, expected_gradient, expected_terms = by_hand(batch, prediction, objective)
    assert loss == pytest.approx(expected_loss, rel=1e-4)
    assert gradient == pytest.approx(expected_gradient, rel=1e-3)
    assert terms == pytest.approx(expected_terms, rel=1e-4)
    assert "loss_inverted_mask_prior" in terms


def test_what_it_costs() -> None:
    """The forward passes, in their order; what was asked once is not asked again."""

    def passes(**objective: Any) -> list[str]:
        return asked(objective)[2].asked

    plain = ["bare", "adapted learns"]  # the first for the dataset that is held to it
    preserved = ["bare", "adapted learns"]
    assert passes() == plain
    assert passes(**DOG) == plain + preserved
    assert passes(guidance_loss_target=3.0) == ["bare", *plain]
    assert passes(mean_flow_steps=2) == [*plain, "adapted"]
    assert passes(**DOG, blank_prompt_preservation=1.0) == plain + preserved + preserved
    assert passes(inverted_mask_prior=0.5) == plain, "there are no masks"
    assert asked({"inverted_mask_prior": 0.5}, None, MASKS)[2].asked == plain, "the same answer does for both"


def test_guidance_is_drawn_for_each_picture_and_the_model_is_told() -> None:
    batch = asked({"guidance_loss_target": (2.0, 4.0)})[3]
    assert batch.guidance is not None
    assert ((batch.guidance >= 2) & (batch.guidance <= 4)).all()
    assert len(set(batch.guidance.tolist())) == 4
    assert asked({"guidance_loss_target": 3.0})[3].guidance.tolist() == [3.0] * 4  # type: ignore[union-attr]
    assert asked({})[3].guidance is None


def test_a_batch_without_anything_new_has_no_further_terms() -> None:
    config = job(datasets=DATASETS, objective={**DOG, "blank_prompt_preservation": 1.0})
    samples = [sample(number, (96, 64), dataset=1 + number % 2) for number in range(4)]
    maker = BatchMaker(config, plan_of(samples, 4), Latents(), Told(), lambda *_: 0.5, 4, 8)
    batch = maker.make(3, 0, np.arange(4), step_samples=4, is_last=True)
    assert batch.teaches == [False] * 4
    assert batch.others["class"].texts == ["dog"] * 4, "no trigger word: the class alone"
    model, terms = StandIn(None), Terms()
    training: Any = SimpleNamespace(
        config=config, architecture=model, device=torch.device("cpu"), network=model, terms=terms,
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        meter=Meter(torch.device("cpu"), is_flow=False),
        fused=SimpleNamespace(active=False),
    )  # fmt: skip
    loop.forward_backward(training, batch)
    assert model.asked == ["bare", "adapted learns"]
    assert terms.take() == {}


# The bare model of a true architecture -----------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["sd15", "flux1"])
def test_the_bare_model_is_the_one_without_adapters(architecture: str, tiny_model: Callable[[str], Path]) -> None:
    """Bit for bit, with dropout on, text encoders trained and no seed set: nothing is drawn."""
    config: TrainConfig = job(
        network={"train_text_encoders": True, "dropout": 0.3, "rank_dropout": 0.3, "module_dropout": 0.3},
    )  # fmt: skip
    model, other = load_model(tiny_model(architecture)), load_model(tiny_model(architecture))
    network = inject(model, config.network, seed=0).train()
    stir(network)
    noisy = torch.randn(2, 16 if architecture == "flux1" else 4, 8, 8)
    times = torch.tensor([0.3, 0.9]) if architecture == "flux1" else torch.tensor([30, 900])
    words = Words(["a photo", "a dog"], None)
    batch: Any = SimpleNamespace(sizes=torch.tensor([[64, 64, 0, 0, 64, 64]] * 2), guidance=None)
    question = Question(config, model, network, batch, noisy, times)
    bare = question.bare_answer(words)
    with torch.no_grad():
        expected = other.predict(noisy, times, other.collate(other.encode_prompts(words.texts)), batch.sizes)
    assert torch.equal(bare, expected)
    assert not bare.requires_grad
    network.set_dropout_seed(1)
    adapted = question.answer(question.conditioning(words))
    assert adapted.requires_grad
    assert (adapted - expected).abs().max() > 1e-3
    adapted.sum().backward()
    encoders = [p for name, group in network.parameters_by_component().items() if "text" in name for p in group]
    assert any(p.grad is not None and p.grad.any() for p in encoders)


def test_a_new_adapter_has_nothing_to_take_back(tiny_model: Callable[[str], Path]) -> None:
    """Before the first step the model is the bare one: terms are zero, and so are their gradients."""
    config = job(objective={**DOG, "blank_prompt_preservation": 1.0})
    model = load_model(tiny_model("sd15"))
    network = inject(model, config.network, seed=0).train()
    maker = BatchMaker(config, plan_of([sample(0), sample(1)], 2), Latents(), Spoken(), lambda *_: 500.0, 4, 8)
    batch = maker.make(0, 0, np.arange(2), step_samples=2, is_last=True)
    terms, gradients = Terms(), []
    for _ in range(2):
        training: Any = SimpleNamespace(
            config=config, architecture=model, device=torch.device("cpu"), network=network, terms=terms,
            scaler=torch.amp.GradScaler("cpu", enabled=False),
            meter=Meter(torch.device("cpu"), is_flow=False),
            fused=SimpleNamespace(active=False),
        )  # fmt: skip
        loop.forward_backward(training, batch)
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]))
        network.zero_grad()
        config = job()
    assert {name: total.item() for name, total in terms.take().items()} == {
        "loss_diff_output_preservation": 0.0, "loss_blank_prompt_preservation": 0.0,
    }  # fmt: skip
    assert torch.equal(*gradients)


class Spoken(Told):
    """Texts that are encoded in the step."""

    def conditioning(self, text: str) -> None:  # type: ignore[override]
        return None
