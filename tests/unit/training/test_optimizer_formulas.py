"""The first steps of each optimizer, worked out by hand in float64, or by its library called directly."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from loratory.training.optimizers import make_optimizer, measures, set_rates
from tests.unit.training.helpers import job
from tests.unit.training.optimizer_cases import KINDS

STEPS = 4
GENERATOR = torch.Generator().manual_seed(3)
START = torch.randn(6, 5, generator=GENERATOR, dtype=torch.float64)
GRADIENTS = [torch.randn(6, 5, generator=GENERATOR, dtype=torch.float64) for _ in range(STEPS)]
Formula = Callable[[Tensor, list[Tensor]], Tensor]


def adamw(weight: Tensor, gradients: list[Tensor]) -> Tensor:
    mean = square = torch.zeros_like(weight)
    for step, gradient in enumerate(gradients, 1):
        weight = weight * (1 - 0.1 * 0.3)
        mean = 0.8 * mean + 0.2 * gradient
        square = 0.9 * square + 0.1 * gradient**2
        weight = weight - 0.1 * (mean / (1 - 0.8**step)) / ((square / (1 - 0.9**step)).sqrt() + 1e-3)
    return weight


def nesterov(weight: Tensor, gradients: list[Tensor]) -> Tensor:
    velocity = torch.zeros_like(weight)
    for gradient in gradients:
        gradient = gradient + 0.3 * weight
        velocity = 0.8 * velocity + gradient
        weight = weight - 0.1 * (gradient + 0.8 * velocity)
    return weight


def lion(weight: Tensor, gradients: list[Tensor]) -> Tensor:
    mean = torch.zeros_like(weight)
    for gradient in gradients:
        direction = (0.8 * mean + 0.2 * gradient).sign()
        weight = weight * (1 - 0.1 * 0.3) - 0.1 * direction
        mean = 0.9 * mean + 0.1 * gradient
    return weight


def automagic(weight: Tensor, gradients: list[Tensor]) -> Tensor:
    rows, columns = torch.zeros(6, dtype=torch.float64), torch.zeros(5, dtype=torch.float64)
    rates, signs = torch.full_like(weight, 0.01), None
    for gradient in gradients:
        rows = 0.9 * rows + 0.1 * (gradient**2 + 1e-30).mean(1)
        columns = 0.9 * columns + 0.1 * (gradient**2 + 1e-30).mean(0)
        update = gradient / (rows / rows.mean())[:, None].sqrt() / columns[None, :].sqrt()
        update = update / max(1.0, float((update**2).mean().sqrt()) / 0.7)
        if signs is not None:
            rates = (rates + torch.where((update > 0) == signs, 0.004, -0.004)).clamp(0.005, 0.016)
        signs = update > 0
        weight = weight - 0.3 * weight * rates
        weight = weight - update * rates
    return weight


ADAM = {"learning_rate": 0.1, "beta1": 0.8, "beta2": 0.9, "eps": 1e-3, "weight_decay": 0.3}
BY_HAND: dict[str, tuple[dict[str, Any], Formula]] = {
    "adamw": (ADAM, adamw),
    "paged_adamw32bit": (ADAM, adamw),
    "sgd": ({"learning_rate": 0.1, "momentum": 0.8, "weight_decay": 0.3}, nesterov),
    "lion": ({"learning_rate": 0.1, "beta1": 0.8, "beta2": 0.9, "weight_decay": 0.3}, lion),
    "automagic": (
        {"learning_rate": 0.01, "min_learning_rate": 0.005, "max_learning_rate": 0.016, "rate_bump": 0.004,
         "beta2": 0.9, "clip_threshold": 0.7, "weight_decay": 0.3},
        automagic,
    ),
}  # fmt: skip


def trained(name: str, options: dict[str, Any], dtype: torch.dtype = torch.float32) -> Tensor:
    weight = nn.Parameter(START.to(dtype))
    config = job(optimizer={"type": name, **options}).optimizer
    optimizer = make_optimizer(config, {"unet": [weight]}, ())
    run(optimizer, weight)
    return weight.detach()


def run(optimizer: Any, weight: nn.Parameter) -> None:
    for gradient in GRADIENTS:
        weight.grad = gradient.to(weight.dtype)
        optimizer.step()


@pytest.mark.parametrize("name", BY_HAND)
def test_first_steps_by_hand(name: str) -> None:
    options, formula = BY_HAND[name]
    torch.testing.assert_close(trained(name, options).double(), formula(START, GRADIENTS), rtol=1e-5, atol=1e-6)


THREE = {"beta1": 0.7, "beta2": 0.8, "beta3": 0.9, "weight_decay": 0.3}
TWO = {"beta1": 0.7, "beta2": 0.8, "weight_decay": 0.3}
BITS = {"min_8bit_size": 4, "weight_decay": 0.3}
# Ours; the library's class; what it calls the same.
DIRECTLY: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "adamw8bit": ({**TWO, **BITS, "eps": 1e-3}, "bitsandbytes.optim:AdamW8bit",
                  {"lr": 1e-4, "betas": (0.7, 0.8), "eps": 1e-3, **BITS}),
    "paged_adamw8bit": ({**TWO, **BITS, "eps": 1e-3}, "bitsandbytes.optim:PagedAdamW8bit",
                        {"lr": 1e-4, "betas": (0.7, 0.8), "eps": 1e-3, **BITS}),
    "lion8bit": ({**TWO, **BITS}, "bitsandbytes.optim:Lion8bit", {"lr": 2e-5, "betas": (0.7, 0.8), **BITS}),
    "paged_lion8bit": ({**TWO, **BITS}, "bitsandbytes.optim:PagedLion8bit", {"lr": 2e-5, "betas": (0.7, 0.8), **BITS}),
    "sgd8bit": ({"momentum": 0.5, **BITS}, "bitsandbytes.optim:SGD8bit", {"lr": 0.01, "momentum": 0.5, **BITS}),
    "ademamix8bit": ({**THREE, **BITS, "alpha": 3.0, "alpha_warmup_steps": 5}, "bitsandbytes.optim:AdEMAMix8bit",
                     {"lr": 1e-4, "betas": (0.7, 0.8, 0.9), "alpha": 3.0, "t_alpha": 5, "t_beta3": 5, **BITS}),
    "adafactor": ({"weight_decay": 0.3, "scale_parameter": True}, "transformers.optimization:Adafactor",
                  {"lr": 1e-4, "weight_decay": 0.3, "scale_parameter": True, "relative_step": False}),
    "came": ({**THREE, "clip_threshold": 0.5}, "pytorch_optimizer:CAME",
             {"lr": 1e-4, "betas": (0.7, 0.8, 0.9), "weight_decay": 0.3, "clip_threshold": 0.5}),
    "adan": (THREE, "pytorch_optimizer:Adan",
             {"lr": 1e-4, "betas": (0.7, 0.8, 0.9), "weight_decay": 0.3, "weight_decouple": True}),
    "ademamix": ({**THREE, "alpha": 3.0, "alpha_warmup_steps": 5}, "pytorch_optimizer:AdEMAMix",
                 {"lr": 1e-4, "betas": (0.7, 0.8, 0.9), "alpha": 3.0, "t_alpha_beta3": 5, "weight_decay": 0.3,
                  "weight_decouple": True}),
    "custom": ({"implementation": "torch.optim:NAdam", "arguments": {"betas": [0.7, 0.8]}}, "torch.optim:NAdam",
               {"lr": 1e-4, "betas": (0.7, 0.8)}),
    "dadaptation": ({**TWO, "growth_rate": 1.5}, "dadaptation.experimental.dadapt_adam_preprint:DAdaptAdamPreprint",
                    {"betas": (0.7, 0.8), "weight_decay": 0.3, "decouple": True, "growth_rate": 1.5}),
    "dadapt_adam": (TWO, "dadaptation:DAdaptAdam", {"betas": (0.7, 0.8), "weight_decay": 0.3, "decouple": True}),
    "dadapt_adagrad": ({"momentum": 0.5, "weight_decay": 0.3}, "dadaptation:DAdaptAdaGrad",
                       {"momentum": 0.5, "weight_decay": 0.3}),
    "dadapt_adan": (THREE, "dadaptation:DAdaptAdan", {"betas": (0.7, 0.8, 0.9), "weight_decay": 0.3}),
    "dadapt_adan_ip": (THREE, "dadaptation.experimental.dadapt_adan_ip:DAdaptAdanIP",
                       {"betas": (0.7, 0.8, 0.9), "weight_decay": 0.3}),
    "dadapt_sgd": ({"momentum": 0.5, "d0": 0.1}, "dadaptation:DAdaptSGD", {"momentum": 0.5, "d0": 0.1}),
    "dadapt_lion": (TWO, "dadaptation:DAdaptLion", {"betas": (0.7, 0.8), "weight_decay": 0.3}),
    "prodigy": ({**TWO, "d_coef": 2.0, "slice_p": 2}, "prodigyopt:Prodigy",
                {"betas": (0.7, 0.8), "weight_decay": 0.3, "d_coef": 2.0, "slice_p": 2}),
    "prodigy_plus_schedule_free": ({**TWO, "use_adopt": True}, "prodigyplus:ProdigyPlusScheduleFree",
                                   {"betas": (0.7, 0.8), "weight_decay": 0.3, "use_adopt": True}),
    "adamw_schedule_free": ({**TWO, "averaging_power": 2.0}, "schedulefree:AdamWScheduleFree",
                            {"lr": 1e-3, "betas": (0.7, 0.8), "weight_decay": 0.3, "r": 2.0}),
    "radam_schedule_free": ({**TWO, "silent_sgd_phase": False}, "schedulefree:RAdamScheduleFree",
                            {"lr": 1e-3, "betas": (0.7, 0.8), "weight_decay": 0.3, "silent_sgd_phase": False}),
}  # fmt: skip


def test_every_optimizer_is_compared() -> None:
    assert set(KINDS) == {*BY_HAND, *DIRECTLY, "muon"}


@pytest.mark.parametrize("name", DIRECTLY)
def test_first_steps_are_those_of_the_library(name: str) -> None:
    options, place, theirs = DIRECTLY[name]
    module, _, kind = place.partition(":")
    weight = nn.Parameter(START.float())
    optimizer = getattr(import_module(module), kind)([weight], **theirs)
    if hasattr(optimizer, "train"):
        optimizer.train()
    run(optimizer, weight)
    found = trained(name, options)
    assert torch.equal(found, weight.detach())
    assert not torch.equal(found, START.float())


def test_muon_steps_along_an_orthogonal_matrix() -> None:
    """The first step's singular values are all about 0.2 · √6 times the rate; five rounds come within a third."""
    weight = nn.Parameter(START.float())
    vector = nn.Parameter(torch.ones(3))
    config = job(optimizer={"type": "muon", "learning_rate": 0.1, "weight_decay": 0.0}).optimizer
    optimizer = make_optimizer(config, {"unet": [weight, vector]}, ())
    weight.grad, vector.grad = GRADIENTS[0].float(), torch.tensor([1.0, -2.0, 0.5])
    optimizer.step()
    values = torch.linalg.svdvals(weight.detach() - START.float()) / (0.1 * 0.2 * math.sqrt(6))
    assert bool(((values > 0.6) & (values < 1.4)).all()), values
    left, _, right = torch.linalg.svd(GRADIENTS[0], full_matrices=False)
    step = (START - weight.detach().double()).flatten()
    assert float(torch.cosine_similarity(step, (left @ right).flatten(), dim=0)) > 0.95
    torch.testing.assert_close(vector.detach(), torch.ones(3) - 0.1 * torch.tensor([1.0, -1.0, 1.0]))
    assert [group["name"] for group in optimizer.param_groups] == ["unet", "unet_vectors"]


# Automagic's own measures


def magic(shape: tuple[int, ...], **options: Any) -> tuple[nn.Parameter, Any]:
    weight = nn.Parameter(torch.zeros(shape))
    config = job(optimizer={"type": "automagic", **options}).optimizer
    return weight, make_optimizer(config, {"unet": [weight]}, ())


def test_agreement_of_signs_is_measured_over_all_numbers() -> None:
    weight, optimizer = magic((2, 2))
    assert "sign_agreement" not in measures(optimizer)
    for gradient, expected in (([[1.0, 1], [1, 1]], None), ([[1.0, 1], [1, -1]], 0.75), ([[1.0, -1], [-1, -1]], 0.5)):
        weight.grad = torch.tensor(gradient)
        optimizer.step()
        assert measures(optimizer).get("sign_agreement") == expected
        assert "sign_agreement" not in measures(optimizer), "of that step only"


def test_small_bumps_are_not_rounded_away() -> None:
    """A thousand bumps of 1e-7 beside a rate of 1e-3; in 8 bits of the largest rate none would count."""
    weight, optimizer = magic((4,), learning_rate=1e-3, max_learning_rate=1.0, rate_bump=1e-7)
    for _ in range(1001):
        weight.grad = torch.ones(4)
        optimizer.step()
    assert float(measures(optimizer)["lr/unet"]) == pytest.approx(1e-3 + 1000 * 1e-7, rel=1e-4)


def test_a_schedule_scales_automagics_steps() -> None:
    moved = []
    for factor in (1.0, 0.25):
        weight, optimizer = magic((3, 3), learning_rate=1e-4)
        weight.grad = GRADIENTS[0][:3, :3].float()
        set_rates(optimizer, factor)
        optimizer.step()
        moved.append(weight.detach().clone())
        assert float(measures(optimizer)["lr/unet"]) == pytest.approx(1e-4 * factor)
    torch.testing.assert_close(moved[0] * 0.25, moved[1])


def test_automagic_takes_convolutions_and_vectors() -> None:
    for shape in ((4, 3, 3, 3), (5,), ()):
        weight, optimizer = magic(shape, learning_rate=1e-2, max_learning_rate=0.1)
        for _ in range(3):
            weight.grad = torch.full(shape, 2.0)
            optimizer.step()
        assert bool((weight < 0).all())
