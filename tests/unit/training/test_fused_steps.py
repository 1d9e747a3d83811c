"""Steps in the backward pass: as one step with all gradients, for every optimizer that is declared separable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from loratory.config.optimizers.adaptive import AdaptiveSettings
from loratory.training.optimizers import measures, set_rates
from loratory.training.optimizers.fused import parts_of
from tests.unit.training.helpers import job
from tests.unit.training.optimizer_cases import KINDS, VARIANTS, everything, resumed, same, step, training_of

SEPARABLE = {name: settings for name, settings in VARIANTS.items() if KINDS[settings["type"]].separable}
WAYS: dict[str, dict[str, Any]] = {
    "each": {"fused_backward_pass": True},
    "two groups": {"fused_optimizer_groups": 2},
    "more groups than weights": {"fused_optimizer_groups": 9},
}
FREE = {"max_grad_norm": 0.0}
each = pytest.mark.parametrize("name", SEPARABLE)


def test_what_is_not_separable_is_what_estimates_a_distance_and_what_is_not_known() -> None:
    others = {name for name, kind in KINDS.items() if not kind.separable}
    assert others == {name for name, kind in KINDS.items() if issubclass(kind, AdaptiveSettings)} | {"custom"}


@each
@pytest.mark.parametrize("way", WAYS)
def test_it_is_as_one_step_with_all_gradients(name: str, way: str) -> None:
    """Weights, memory, entries of groups, the length, the signs that stayed, and rates: bit by bit."""
    rates = {} if SEPARABLE[name].get("relative_step") else {"lora_plus_ratio": 4.0, "text_encoder_learning_rate": 0.01}
    settings = SEPARABLE[name] | FREE | rates
    whole, parted = training_of(settings), training_of(settings | WAYS[way])
    for number in range(6):
        for training in (whole, parted):
            set_rates(training.optimizer, min(1.0, (number + 1) / 3))
        losses = [step(training, number) for training in (whole, parted)]
        assert losses[0] == losses[1]
        assert float(parted.norm) == float(whole.norm) > 0
        assert number == 0 or float(parted.stability) == float(whole.stability)
        assert measures(parted.optimizer) == measures(whole.optimizer)
        assert all(parameter.grad is None for parameter in parted.weights.parameters())
    assert same(everything(parted), everything(whole)) == []


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if not kind.separable and name != "custom"])
def test_the_others_would_become_something_else(name: str) -> None:
    settings = VARIANTS[name] | FREE
    whole, parted = training_of(settings), training_of(settings | {"fused_backward_pass": True})
    for number in range(12):
        step(whole, number)
        try:
            step(parted, number)
        except ZeroDivisionError:  # an estimate from one weight that does not move yet
            return
    assert same(everything(parted), everything(whole)) != []


@each
@pytest.mark.parametrize("clip_by", ["value", "adaptive"])
def test_gradients_are_clipped_all_the_same(name: str, clip_by: str) -> None:
    settings = SEPARABLE[name] | {"clip_by": clip_by, "max_grad_norm": 0.01}
    whole, parted = training_of(settings), training_of(settings | {"fused_backward_pass": True})
    for number in range(4):
        step(whole, number)
        step(parted, number)
    assert same(everything(parted), everything(whole)) == []


@each
def test_a_loss_that_is_no_number_moves_nothing(name: str) -> None:
    settings = SEPARABLE[name] | FREE | {"fused_backward_pass": True}
    clean, disturbed = training_of(settings), training_of(settings)
    for number in range(4):
        if number in (0, 2):
            step(disturbed, 9, "loss")
        step(clean, number)
        step(disturbed, number)
    assert same(everything(disturbed), everything(clean)) == []


@each
@pytest.mark.parametrize("way", ["each", "two groups"])
def test_a_gradient_that_is_no_number_does_not_move_its_part(name: str, way: str) -> None:
    """And the length says it, so that the step is counted as skipped."""
    settings = SEPARABLE[name] | FREE | WAYS[way]
    training = training_of(settings)
    for number in range(6):  # some stand still at first
        step(training, number)
    parameters = dict(training.weights.named_parameters())
    part = next(part for part in parts_of(training.config.optimizer, list(parameters.values()))
                if any(each is training.weights.up for each in part))  # fmt: skip
    members = [key for key, value in parameters.items() if any(each is value for each in part)]
    before = {key: value.detach().clone() for key, value in parameters.items()}
    memory = {key: str(training.optimizer.state[parameters[key]]) for key in members}
    step(training, 2, "gradient")
    assert not bool(torch.isfinite(training.norm))
    for key, value in parameters.items():
        assert torch.equal(before[key], value) == (key in members), key
    assert memory == {key: str(training.optimizer.state[parameters[key]]) for key in members}
    step(training, 3)
    assert all(bool(value.isfinite().all()) for value in parameters.values())


@each
def test_checkpoints_are_those_of_whole_steps(name: str, tmp_path: Path) -> None:
    """A run may go on with or without; nothing shows which it was."""
    plain = SEPARABLE[name] | FREE
    ways = [plain, plain | WAYS["each"], plain | WAYS["two groups"]]
    whole, mixed = training_of(plain), training_of(ways[1])
    for number in range(6):
        step(whole, number)
        step(mixed, number)
        mixed = resumed(mixed, ways[number % 3], tmp_path / str(number))
    assert same(everything(mixed), everything(whole)) == []


# Memory ------------------------------------------------------------------------------------------------------


class Chain(nn.Module):
    """Twelve weights, one behind the other."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ParameterList(nn.Parameter(torch.eye(8)) for _ in range(12))


@pytest.mark.parametrize(
    ("way", "most"), [({}, 12), ({"fused_backward_pass": True}, 1), ({"fused_optimizer_groups": 4}, 3)]
)
def test_only_so_many_gradients_exist_at_once(way: dict[str, Any], most: int) -> None:
    chain, seen = Chain(), []
    weights = list(chain.steps)
    for weight in weights:  # before those that free: hooks run in the order in which they came
        weight.register_post_accumulate_grad_hook(
            lambda _: seen.append(sum(other.grad is not None for other in weights))
        )
    training = training_of({"type": "sgd", **FREE} | way, weights=chain)
    x = torch.ones(8)
    for weight in weights:
        x = weight @ x
    if way:
        training.fused.begin(x.sum(), 0)
    x.sum().backward()
    assert max(seen) == most
    if way:
        training.fused.finish()


def test_groups_are_of_about_one_size_and_of_neighbours() -> None:
    config = job(optimizer={"fused_optimizer_groups": 3}).optimizer
    weights = [nn.Parameter(torch.ones(size)) for size in (2, 2, 2, 9, 1, 2, 6)]
    parts = parts_of(config, weights)
    assert [each for part in parts for each in part] == weights
    assert [[each.numel() for each in part] for part in parts] == [[2, 2, 2], [9, 1], [2, 6]]
    assert parts_of(job().optimizer, weights) == []


def test_a_gradient_that_does_not_come_keeps_nothing_back() -> None:
    settings = {"type": "adamw", "learning_rate": 0.1, **FREE, "fused_optimizer_groups": 2}
    training = training_of(settings)
    before = {name: value.detach().clone() for name, value in training.weights.named_parameters()}
    loss = (training.weights.up - 1).square().sum() + training.weights.text.square().sum()
    training.fused.begin(loss, 0)
    loss.backward()
    training.fused.finish()
    moved = {name for name, value in training.weights.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {"up", "text"}


def test_a_gradient_that_comes_twice_is_a_mistake() -> None:
    training = training_of({"type": "adamw", **FREE, "fused_backward_pass": True})
    loss = training.weights.loss(0)
    training.fused.begin(loss, 0)
    loss.backward()
    with pytest.raises(RuntimeError, match="came twice"):
        training.weights.loss(1).backward()
