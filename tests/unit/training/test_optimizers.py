"""Learning rates at every step as diffusers has them, and which parameters get which rate."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from loratory.config.optimizer import AdamWConfig, ScheduleConfig, SGDConfig
from loratory.training.optimizers import make_optimizer, rate_factor, set_rates, warmup_steps

THEIR_NAMES = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}


@pytest.mark.parametrize("kind", THEIR_NAMES)
@pytest.mark.parametrize("total", [1, 2, 7, 40])
def test_rates_equal_those_of_diffusers_at_every_step(kind: str, total: int) -> None:
    from diffusers.optimization import get_scheduler

    for warmup in (0, 1, 5, total, total + 3):
        theirs = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        scheduler = get_scheduler(THEIR_NAMES[kind], theirs, num_warmup_steps=warmup, num_training_steps=total)
        config = ScheduleConfig(type=kind, warmup_steps=warmup)
        for step in range(total):
            expected = theirs.param_groups[0]["lr"]
            assert rate_factor(config, step, total) == pytest.approx(expected, abs=1e-12), (warmup, step)
            theirs.step()
            scheduler.step()


@pytest.mark.parametrize(
    ("steps", "ratio", "total", "expected"),
    [(None, None, 100, 0), (7, None, 100, 7), (None, 0.1, 100, 10), (None, 0.05, 30, 2), (None, 0.0, 30, 0),
     (None, 1.0, 30, 30)],
)  # fmt: skip
def test_warmup_in_steps_or_as_a_share(steps: int | None, ratio: float | None, total: int, expected: int) -> None:
    assert warmup_steps(ScheduleConfig(warmup_steps=steps, warmup_ratio=ratio), total) == expected


def some_parameters() -> dict[str, list[nn.Parameter]]:
    return {name: [nn.Parameter(torch.ones(3))] for name in ("unet", "text_encoder", "text_encoder_2")} | {"empty": []}


@pytest.mark.parametrize("text_rate", [None, 0.5])
@pytest.mark.parametrize("config_class", [AdamWConfig, SGDConfig])
def test_each_component_has_its_rate(config_class: type, text_rate: float | None) -> None:
    config = config_class(learning_rate=0.25, text_encoder_learning_rate=text_rate)
    parameters = some_parameters()
    optimizer = make_optimizer(config, parameters, ("text_encoder", "text_encoder_2"))
    groups = {group["name"]: group for group in optimizer.param_groups}
    text = 0.25 if text_rate is None else 0.5
    assert {name: group["lr"] for name, group in groups.items()} == {
        "unet": 0.25, "text_encoder": text, "text_encoder_2": text
    }  # fmt: skip
    assert all(groups[name]["params"][0] is parameters[name][0] for name in groups)
    for factor in (0.1, 0.5):  # each from the first rate, not from the last
        set_rates(optimizer, factor)
        assert [group["lr"] for group in optimizer.param_groups] == [0.25 * factor, text * factor, text * factor]


def test_adamw_makes_the_first_step_of_the_paper() -> None:
    """After one step mean and square are the gradient's own: the weight moves by the rate, decays by rate × decay."""
    weight = nn.Parameter(torch.tensor([2.0, -3.0]))
    config = AdamWConfig(learning_rate=0.1, weight_decay=0.5, beta1=0.8, beta2=0.95, eps=1e-12)
    optimizer = make_optimizer(config, {"unet": [weight]}, ())
    weight.grad = torch.tensor([0.01, -5.0])
    optimizer.step()
    torch.testing.assert_close(weight.data, torch.tensor([2 * 0.95 - 0.1, -3 * 0.95 + 0.1]))
    weight.grad = torch.tensor([0.0, 0.0])
    optimizer.step()
    mean, square = 0.8 * 0.2 * 0.01 / (1 - 0.8**2), 0.95 * 0.05 * 0.01**2 / (1 - 0.95**2)
    assert weight[0].item() == pytest.approx(1.8 * 0.95 - 0.1 * mean / square**0.5, rel=1e-5)


def test_sgd_has_nesterov_momentum_unless_it_is_zero() -> None:
    for momentum, second in ((0.9, 1 + 0.9 * 1.9), (0.0, 1.0)):
        weight = nn.Parameter(torch.tensor([1.0]))
        config = SGDConfig(learning_rate=0.1, momentum=momentum, weight_decay=0.0)
        optimizer = make_optimizer(config, {"unet": [weight]}, ())
        for _ in range(2):
            weight.grad = torch.ones(1)
            before = weight.item()
            optimizer.step()
        # Velocity 1, then 1.9; Nesterov steps along gradient + momentum × velocity.
        assert before - weight.item() == pytest.approx(0.1 * second, rel=1e-5)


@pytest.mark.parametrize("text_ratio", [None, 2.0])
def test_lora_plus_moves_the_up_matrices_further(text_ratio: float | None) -> None:
    """With plain descent a step is rate times gradient: the ratio of two steps is that of the rates."""
    config = SGDConfig(
        learning_rate=0.25, momentum=0.0, text_encoder_learning_rate=0.5, lora_plus_ratio=16.0,
        text_encoder_lora_plus_ratio=text_ratio, weight_decay=0.0,
    )  # fmt: skip
    parameters = {name: [nn.Parameter(torch.zeros(3)) for _ in range(2)] for name in ("unet", "text_encoder")}
    optimizer = make_optimizer(config, parameters, ("text_encoder",), [pair[1] for pair in parameters.values()])
    for pair in parameters.values():
        for parameter in pair:
            parameter.grad = torch.full((3,), -1.0)
    set_rates(optimizer, 0.5)
    optimizer.step()
    moved = {name: [float(each[0]) for each in pair] for name, pair in parameters.items()}
    assert moved["unet"] == [0.125, 2.0]
    assert moved["text_encoder"] == [0.25, 0.25 * (text_ratio or 16.0)]
    assert [group["name"] for group in optimizer.param_groups] == ["unet", "unet_up", "text_encoder", "text_encoder_up"]
