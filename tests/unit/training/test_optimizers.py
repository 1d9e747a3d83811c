"""Every optimizer: it learns, resumes bit-equal, skips bad steps whole, and takes every argument. New ones join."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from loratory.config.optimizer import AdamWConfig, SGDConfig
from loratory.config.optimizers.adaptive import OneRateSettings
from loratory.errors import UserError
from loratory.training import loop
from loratory.training.metrics import LateNumbers
from loratory.training.optimizers import averaged, check_available, libraries, make_optimizer, measures, set_rates
from loratory.training.optimizers.builders import BUILDERS, CLASSES
from tests.architectures import spread
from tests.unit.training.helpers import job
from tests.unit.training.optimizer_cases import (
    KINDS,
    SETTINGS,
    VARIANTS,
    equal,
    everything,
    resumed,
    same,
    step,
    training_of,
)

each = pytest.mark.parametrize("name", VARIANTS)


def test_every_class_has_a_builder_and_joins_the_matrix() -> None:
    assert set(BUILDERS) == set(KINDS.values())
    assert set(SETTINGS) == set(KINDS)


@each
def test_it_fits_a_small_problem(name: str) -> None:
    training = training_of(VARIANTS[name])
    losses = [step(training, number) for number in range(60)]
    with averaged(training.optimizer):
        last = sum(float(training.weights.loss(number).detach()) for number in range(4)) / 4
    assert last < 0.7 * losses[0], losses[::10]


@each
def test_it_resumes_bit_equal(name: str, tmp_path: Path) -> None:
    whole = training_of(VARIANTS[name])
    for number in range(3):
        step(whole, number)
    parted = resumed(whole, VARIANTS[name], tmp_path / "3")
    assert same(everything(parted), everything(whole)) == []
    for number in range(3, 6):
        step(whole, number)
        step(parted, number)
        assert measures(parted.optimizer) == measures(whole.optimizer)
    again = resumed(parted, VARIANTS[name], tmp_path / "6")
    for number in range(6, 9):
        step(whole, number)
        step(again, number)
    assert same(everything(again), everything(whole)) == []


@pytest.mark.parametrize(("name", "when"), spread(product(VARIANTS, product(["gradient", "loss"], [0, 2]))), ids=str)
def test_a_step_that_is_no_number_changes_nothing(name: str, when: tuple[str, int]) -> None:
    spoiled, at = when
    clean, disturbed = training_of(VARIANTS[name]), training_of(VARIANTS[name])
    for number in range(4):
        if number == at:
            before = [weight.detach().clone() for weight in disturbed.weights.parameters()]
            step(disturbed, 9, spoiled)
            now = list(disturbed.weights.parameters())
            assert all(torch.equal(old, new) for old, new in zip(before, now, strict=True))
        step(clean, number)
        step(disturbed, number)
    assert same(everything(disturbed), everything(clean)) == []


@each
def test_with_a_gradient_scaler_too(name: str) -> None:
    """As with memory.precision fp16: a gradient that is too large is left out, powers of two change nothing else."""
    clean, scaled = training_of(VARIANTS[name]), training_of(VARIANTS[name])
    scaled.scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=1000)
    for number, factor in enumerate((0.0, 0.5, 1.0, 1.0)):
        for training in (clean, scaled):
            set_rates(training.optimizer, factor)
        step(clean, number)
        for spoiled in (True, False) if number == 2 else (False,):
            loss = scaled.scaler.scale(scaled.weights.loss(number))
            loss.backward()
            if spoiled:
                scaled.weights.up.grad[0, 0] = float("inf")
            loop.optimizer_step(scaled, torch.tensor(1.0))
    assert same(everything(scaled), everything(clean)) == []


@each
def test_gradients_of_several_micro_batches_are_one_step(name: str) -> None:
    """Two halves of a loss, one after the other, are the whole of it: powers of two add without rounding."""
    whole, halves = training_of(VARIANTS[name]), training_of(VARIANTS[name])
    for number in range(3):
        step(whole, number)
        for _ in range(2):
            (halves.weights.loss(number) / 2).backward()
        loop.optimizer_step(halves, torch.tensor(1.0))
    assert same(everything(halves), everything(whole)) == []


@each
def test_a_rate_of_zero_moves_nothing(name: str) -> None:
    """The first step of a warm-up."""
    training = training_of(VARIANTS[name])
    if training.config.optimizer.type == "adafactor" and training.config.optimizer.relative_step:
        return  # no rate is set
    before = [weight.detach().clone() for weight in training.weights.parameters()]
    set_rates(training.optimizer, 0.0)
    step(training, 0)
    assert all(torch.equal(old, new) for old, new in zip(before, training.weights.parameters(), strict=True))
    for number in range(1, 20):
        set_rates(training.optimizer, min(1.0, number / 3))
        step(training, number)
    moved = [not torch.equal(old, new) for old, new in zip(before, training.weights.parameters(), strict=True)]
    assert all(moved)
    assert all(bool(weight.isfinite().all()) for weight in training.weights.parameters())


@each
def test_logged_rates_are_numbers(name: str) -> None:
    training = training_of(VARIANTS[name])
    late = LateNumbers(torch.device("cpu"))
    for number in range(3):
        step(training, number)
        late.put(number, torch.tensor([1.0, 2.0, 0.5]), measures(training.optimizer), (), {})
    for numbers in late.due(all_of_them=True):
        rates = [value for key, value in numbers.measures.items() if key.startswith("lr/")]
        assert len(rates) == len(training.optimizer.param_groups)
        assert all(isinstance(rate, float) and rate > 0 for rate in rates)


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if not issubclass(kind, OneRateSettings)])
def test_parts_have_rates_of_their_own(name: str) -> None:
    rates = {"text_encoder_learning_rate": 0.5, "text_encoder_learning_rates": {"text_encoder_2": 0.125},
             "lora_plus_ratio": 4.0, "text_encoder_lora_plus_ratio": 2.0}  # fmt: skip
    config = job(optimizer={"type": name, **SETTINGS[name], **rates, "learning_rate": 0.25}).optimizer
    parameters = {part: [nn.Parameter(torch.ones(6, 6)), nn.Parameter(torch.ones(6, 6))]
                  for part in ("unet", "text_encoder", "text_encoder_2")} | {"empty": []}  # fmt: skip
    encoders = ("text_encoder", "text_encoder_2")
    optimizer = make_optimizer(config, parameters, encoders, [pair[1] for pair in parameters.values() if pair])
    expected = {"unet": 0.25, "unet_up": 1.0, "text_encoder": 0.5, "text_encoder_up": 1.0,
                "text_encoder_2": 0.125, "text_encoder_2_up": 0.25}  # fmt: skip
    for factor in (0.5, 1.0):  # each from the first rate, not from the last
        set_rates(optimizer, factor)
        assert {group["name"]: group["lr"] for group in optimizer.param_groups} == {
            part: rate * factor for part, rate in expected.items()
        }
    members = {group["name"]: group["params"] for group in optimizer.param_groups}
    for part, (down, up) in [(part, pair) for part, pair in parameters.items() if pair]:
        assert members[part][0] is down and members[f"{part}_up"][0] is up


# Arguments ---------------------------------------------------------------------------------------------------

# Another value for each argument, and what else must be set for it to matter.
OTHER: dict[str, Any] = {
    "learning_rate": lambda config: config.learning_rate / 2, "text_encoder_learning_rate": 0.003,
    "text_encoder_learning_rates": {"text_encoder": 0.003}, "lora_plus_ratio": 4.0, "max_grad_norm": 0.01,
    "clip_by": "value",
    "text_encoder_lora_plus_ratio": 3.0, "weight_decay": 0.3, "beta1": 0.5, "beta2": 0.6, "beta3": 0.7,
    "eps": 0.1, "eps1": 0.1, "eps2": 0.5, "min_8bit_size": 100000, "momentum": 0.5, "alpha": 9.0,
    "alpha_warmup_steps": 3, "clip_threshold": 0.1, "relative_step": True, "warmup_init": True,
    "scale_parameter": True, "decay_rate": -0.3, "smallest_scale": 0.9, "nesterov": False, "ns_steps": 2,
    "adjusted_rate": False, "min_learning_rate": 4e-3, "max_learning_rate": 6e-3, "rate_bump": 1e-4,
    "implementation": "torch.optim:RAdam", "arguments": {"betas": [0.5, 0.9]}, "d0": 1e-4,
    "decoupled_decay": False, "use_bias_correction": True, "growth_rate": 1.01, "no_prox": True,
    "safeguard_warmup": True, "d_coef": 0.3, "slice_p": 3, "weight_decay_by_lr": False, "d_limiter": False,
    "prodigy_steps": 2, "schedulefree_c": 3.0, "split_groups": False, "split_groups_mean": True, "factored": False,
    "use_stableadamw": False, "use_schedulefree": False, "use_speed": True, "use_cautious": True, "use_grams": True,
    "use_adopt": True, "use_orthograd": True, "use_focus": True, "averaging_power": 2.0, "rate_power": 0.5,
    "silent_sgd_phase": False,
}  # fmt: skip
WITH: dict[str, dict[str, Any]] = {
    "warmup_init": {"relative_step": True}, "smallest_scale": {"scale_parameter": True},
    "decoupled_decay": {"weight_decay": 0.3}, "no_prox": {"weight_decay": 0.3},
    "weight_decay_by_lr": {"weight_decay": 0.3}, "text_encoder_lora_plus_ratio": {"lora_plus_ratio": 2.0},
    "max_grad_norm": {"max_grad_norm": 0.0}, "clip_by": {"max_grad_norm": 0.01}, "growth_rate": {"growth_rate": None},
}  # fmt: skip


ELSEWHERE = {"type", "fused_backward_pass", "fused_optimizer_groups", "stochastic_rounding", "block_rate_factors"}
"""Those of all optimizers alike: test_fused_steps.py, test_rounding.py and test_rates_of_blocks.py are about them."""


def arguments() -> list[tuple[str, str]]:
    parts = {"text_encoder_learning_rate", "text_encoder_learning_rates", "lora_plus_ratio",
             "text_encoder_lora_plus_ratio"}  # fmt: skip
    return [
        (name, field)
        for name, kind in KINDS.items()
        for field in kind.model_fields
        if field not in ELSEWHERE and not (issubclass(kind, OneRateSettings) and field in parts)
    ]


def after(settings: dict[str, Any]) -> dict[str, Any]:
    """Everything after twelve steps under a warm-up, with a text encoder that has an up matrix, too."""
    training = training_of(settings)
    text = nn.Parameter(torch.full((5, 7), 0.2))
    training.weights.text_up = text
    parts = training.weights.components()
    parts["text_encoder"].append(text)
    up = [training.weights.up, text]
    training.optimizer = make_optimizer(training.config.optimizer, parts, ("text_encoder",), up)
    for number in range(12):
        set_rates(training.optimizer, min(1.0, (number + 1) / 3))
        loss = training.weights.loss(number) + (text - training.weights.text).square().sum()
        loss.backward()
        loop.optimizer_step(training, loss.detach())
    return {name: weight.detach().clone() for name, weight in training.weights.named_parameters()}


@pytest.mark.parametrize(("name", "field"), arguments())
def test_every_argument_reaches_the_optimizer(name: str, field: str) -> None:
    plain = {"type": name, **SETTINGS[name], **WITH.get(field, {})}
    value = OTHER[field]
    if callable(value):
        value = value(job(optimizer=plain).optimizer)
    one, other = after(plain), after(plain | {field: value})
    assert any(not equal(one[key], other[key]) for key in one)


# Averages ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["adamw_schedule_free", "radam_schedule_free", "prodigy_plus_schedule_free"])
def test_looking_at_the_average_disturbs_nothing(name: str) -> None:
    plain, watched = training_of(VARIANTS[name]), training_of(VARIANTS[name])
    for number in range(30):
        step(plain, number)
        step(watched, number)
        before = everything(watched)
        with averaged(watched.optimizer):
            inside = {key: weight.detach().clone() for key, weight in watched.weights.named_parameters()}
        assert same(everything(watched), before) == []
    assert same(everything(watched), everything(plain)) == []
    assert any(not equal(inside[key], before[key]) for key in inside), "the average is another point"
    with pytest.raises(RuntimeError, match="full disk"), averaged(watched.optimizer):
        raise RuntimeError("full disk")
    assert same(everything(watched), before) == []


def test_the_average_is_that_of_the_paper() -> None:
    """x of Schedule-Free SGD's average: with beta2 → 0 a step of RAdam is not known here, so AdamW's, by hand."""
    config = job(optimizer={"type": "adamw_schedule_free", "learning_rate": 0.1, "beta2": 0.5, "eps": 1e-12}).optimizer
    weight = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = make_optimizer(config, {"unet": [weight]}, ())
    z = x = y = 1.0
    square = weights = highest = 0.0
    for number, gradient in enumerate([0.3, -0.1, 0.7], 1):
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        square = 0.5 * square + 0.5 * gradient**2
        rate = 0.1
        highest = max(highest, rate)
        z -= rate * gradient / (square / (1 - 0.5**number)) ** 0.5
        weights += highest**2
        share = highest**2 / weights
        x = (1 - share) * x + share * z
        y = 0.9 * x + 0.1 * z
        assert float(weight.detach()) == pytest.approx(y, rel=1e-9)
        with averaged(optimizer):
            assert float(weight.detach()) == pytest.approx(x, rel=1e-9)


# Rates and measures ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["prodigy", "dadapt_adam", "dadapt_lion", "prodigy_plus_schedule_free"])
def test_the_logged_rate_is_the_one_found(name: str) -> None:
    training = training_of(VARIANTS[name])
    for number in range(20):
        set_rates(training.optimizer, 0.5)
        step(training, number)
    for group in training.optimizer.param_groups:
        assert group["d"] > 1e-3, "it has grown"
        assert measures(training.optimizer)[f"lr/{group['name']}"] == pytest.approx(group["d"] * 0.5)


def test_the_logged_rate_of_a_relative_step() -> None:
    training = training_of({"type": "adafactor", "relative_step": True, "warmup_init": True})
    for number in range(4):
        step(training, number)
    assert measures(training.optimizer) == {"lr/unet": pytest.approx(4e-6), "lr/text_encoder": pytest.approx(4e-6)}
    set_rates(training.optimizer, 0.5)
    assert all(group["lr"] is None for group in training.optimizer.param_groups)


# What is missing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind in CLASSES])
def test_a_missing_library_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = job(optimizer={"type": name}).optimizer
    check_available(config)

    def missing(module: str) -> Any:
        raise ModuleNotFoundError(f"No module named {module!r}")

    monkeypatch.setattr(libraries, "import_module", missing)
    extra = "bitsandbytes" if "bitsandbytes" in CLASSES[type(config)] else "optimizers"
    with pytest.raises(UserError, match=rf"optimizer\.type: {name} needs the library .*'loratory\[{extra}\]'"):
        check_available(config)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"implementation": "torch.optim:Nothing"}, "optimizer.implementation: .* cannot be imported"),
        ({"implementation": "torch.nowhere:Nothing"}, "optimizer.implementation: .* cannot be imported"),
        ({"implementation": "torch.nn:Linear"}, "optimizer.implementation: .* is no optimizer"),
        ({"implementation": "torch.optim:NAdam", "arguments": {"speed": 3}}, "optimizer.arguments: .*'speed'"),
        ({"implementation": "torch.optim:LBFGS", "weight_decay": 0.1}, "optimizer.arguments: .*'weight_decay'"),
    ],
)
def test_a_custom_class_that_cannot_be(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        check_available(job(optimizer={"type": "custom", **given}).optimizer)


def test_custom_arguments_that_are_refused_late() -> None:
    config = job(optimizer={"type": "custom", "implementation": "torch.optim:NAdam", "arguments": {"eps": -1.0}})
    with pytest.raises(UserError, match=r"optimizer.arguments: .*epsilon"):
        make_optimizer(config.optimizer, {"unet": [nn.Parameter(torch.ones(1))]}, ())


# The simplest ones -------------------------------------------------------------------------------------------


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


def test_a_change_of_options_is_taken_from_the_config(tmp_path: Path) -> None:
    """A resume with another decay uses that one; what the optimizer found itself comes from the checkpoint."""
    before = training_of({"type": "prodigy", "d0": 1e-3, "weight_decay": 0.1})
    for number in range(10):
        step(before, number)
    folder = tmp_path / "checkpoint"
    again = resumed(before, {"type": "prodigy", "d0": 1e-3, "weight_decay": 0.5}, folder)
    assert again.optimizer.param_groups[0]["weight_decay"] == 0.5
    assert again.optimizer.param_groups[0]["d"] == before.optimizer.param_groups[0]["d"] > 1e-3
    with pytest.raises(UserError, match="another network or optimizer"):
        resumed(before, {"type": "adamw", "lora_plus_ratio": 4.0}, tmp_path / "other")


def test_adamw_is_fused() -> None:
    """Only fused kernels skip a step without the host."""
    optimizer = make_optimizer(AdamWConfig(), {"unet": [nn.Parameter(torch.ones(1))]}, ())
    assert getattr(optimizer, "_step_supports_amp_scaling", False)
