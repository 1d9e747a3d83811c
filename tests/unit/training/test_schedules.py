"""Every schedule at every step, against numbers that others work out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from torch import nn

from loratory.config.fields import section_types
from loratory.config.load import parse
from loratory.config.schedule import ScheduleConfig
from loratory.training.schedules import CURVES, rate_factor, warmup_steps

KINDS = {str(each.model_fields["type"].default): each for each in section_types(ScheduleConfig)}
Curve = Callable[[torch.optim.Optimizer, int, int], Any]
"""From an optimizer, the warm-up and the number of steps to a scheduler of another library."""


def theirs(name: str, **arguments: Any) -> Curve:
    def make(optimizer: torch.optim.Optimizer, warmup: int, total: int) -> Any:
        from diffusers.optimization import get_scheduler

        return get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=total, **arguments)

    return make


def from_transformers(name: str, **arguments: Any) -> Curve:
    def make(optimizer: torch.optim.Optimizer, warmup: int, total: int) -> Any:
        from transformers.optimization import get_scheduler

        return get_scheduler(name, optimizer, warmup, total, scheduler_specific_kwargs=arguments)

    return make


def stable(**arguments: Any) -> Curve:
    def make(optimizer: torch.optim.Optimizer, warmup: int, total: int) -> Any:
        from transformers.optimization import get_wsd_schedule

        length = min(arguments["decay"], total - min(warmup, total))
        return get_wsd_schedule(
            optimizer, warmup, length, num_training_steps=total, min_lr_ratio=arguments.get("least", 0)
        )

    return make


def polynomial(power: float, least: float) -> Curve:
    def make(optimizer: torch.optim.Optimizer, warmup: int, total: int) -> Any:
        from diffusers.optimization import get_polynomial_decay_schedule_with_warmup as make

        return make(optimizer, warmup, total, lr_end=least, power=power)

    return make


def one_cycle(optimizer: torch.optim.Optimizer, warmup: int, total: int) -> Any:
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=total, cycle_momentum=False)


def ramp(**arguments: float) -> Curve:
    def make(optimizer: torch.optim.Optimizer, warmup: int, total: int) -> Any:
        return torch.optim.lr_scheduler.LinearLR(optimizer, total_iters=total, **arguments)

    return make


def by_hand(curve: Callable[[int, int, int], float]) -> Curve:
    def make(optimizer: torch.optim.Optimizer, warmup: int, total: int) -> Any:
        def factor(step: int) -> float:
            return step / warmup if step < warmup else curve(step, warmup, total)

        return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)

    return make


def rex(step: int, warmup: int, total: int) -> float:
    """As in the paper: (1 − z) / (1/2 + 1/2 · (1 − z))."""
    left = 1 - (step - warmup) / max(1, total - warmup)
    return left / (0.5 + 0.5 * left)


CASES: list[tuple[str, dict[str, Any], Curve]] = [
    ("constant", {}, theirs("constant_with_warmup")),
    ("constant_with_warmup", {}, theirs("constant_with_warmup")),
    ("none", {}, by_hand(lambda step, warmup, total: 1.0)),
    ("linear", {}, theirs("linear")),
    ("cosine", {}, theirs("cosine")),
    ("cosine_with_restarts", {}, theirs("cosine_with_restarts", num_cycles=2)),
    ("cosine_with_restarts", {"num_cycles": 5}, theirs("cosine_with_restarts", num_cycles=5)),
    ("polynomial", {}, polynomial(2.0, 0.0)),
    ("polynomial", {"power": 0.5, "min_rate_ratio": 0.2}, polynomial(0.5, 0.2)),
    ("inverse_sqrt", {}, from_transformers("inverse_sqrt")),
    ("inverse_sqrt", {"timescale": 3}, from_transformers("inverse_sqrt", timescale=3)),
    ("warmup_stable_decay", {"decay_steps": 6}, stable(decay=6)),
    ("warmup_stable_decay", {"decay_steps": 9, "min_rate_ratio": 0.3}, stable(decay=9, least=0.3)),
    ("cosine_with_min_lr", {}, from_transformers("cosine_with_min_lr", min_lr_rate=0.1)),
    ("cosine_with_min_lr", {"min_rate_ratio": 0.5}, from_transformers("cosine_with_min_lr", min_lr_rate=0.5)),
    ("rex", {}, by_hand(rex)),
    ("ramp", {}, ramp()),
    ("ramp", {"start_ratio": 0.9, "end_ratio": 0.2}, ramp(start_factor=0.9, end_factor=0.2)),
    ("piecewise_constant", {"until_steps": (3, 9), "factors": (1.0, 0.2, 0.05)},
     theirs("piecewise_constant", step_rules="1.0:3,0.2:9,0.05")),
    ("one_cycle", {}, one_cycle),
]  # fmt: skip


def test_every_schedule_is_here() -> None:
    assert {name for name, _, _ in CASES} == set(KINDS)
    assert set(CURVES) == set(KINDS.values())
    assert len(get_args(get_args(ScheduleConfig)[0])) == len(KINDS)


@pytest.mark.parametrize(("name", "options", "curve"), CASES)
@pytest.mark.parametrize("total", [2, 7, 40])
def test_rates_equal_those_of_others_at_every_step(
    name: str, options: dict[str, Any], curve: Curve, total: int
) -> None:
    warmed = "warmup_steps" in KINDS[name].model_fields
    for warmup in (0, 1, 5, total, total + 3) if warmed else (0,):
        if name in ("warmup_stable_decay", "polynomial") and warmup >= total:
            continue  # theirs divides by zero, or falls during the warm-up
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        scheduler = curve(optimizer, warmup, total)
        config = KINDS[name](**options, **({"warmup_steps": warmup} if warmed else {}))
        for step in range(total):
            expected = optimizer.param_groups[0]["lr"]
            if name == "warmup_stable_decay" and step < warmup:
                expected = step / warmup  # theirs rises from the least rate
            assert rate_factor(config, step, total) == pytest.approx(expected, abs=1e-12), (warmup, step)
            optimizer.step()
            scheduler.step()


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if "warmup_steps" in kind.model_fields])
def test_a_warmup_rises_evenly_to_the_full_rate(name: str) -> None:
    config = KINDS[name](warmup_steps=8)
    rates = [rate_factor(config, step, 40) for step in range(9)]
    assert rates == [step / 8 for step in range(9)]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("total", [1, 2, 3, 10])
def test_short_runs_have_rates_too(name: str, total: int) -> None:
    rates = [rate_factor(KINDS[name](), step, total) for step in range(total)]
    assert all(math.isfinite(rate) and 0 <= rate <= 1 for rate in rates)


def every_field() -> list[tuple[str, str]]:
    return [(name, field) for name, kind in KINDS.items() for field in kind.model_fields if field != "type"]


OTHER = {
    "warmup_steps": 6, "warmup_ratio": 0.3, "num_cycles": 3, "power": 3.0, "min_rate_ratio": 0.4, "timescale": 5,
    "decay_steps": 13, "decay_ratio": 0.5, "until_steps": (7,), "factors": (0.5,), "rise_ratio": 0.5,
    "start_divisor": 3.0, "end_divisor": 2.0, "start_ratio": 0.9, "end_ratio": 0.7,
}  # fmt: skip


@pytest.mark.parametrize(("name", "field"), every_field())
def test_every_argument_changes_the_curve(name: str, field: str) -> None:
    base = {"factors": (1.0, 0.5)} if field == "until_steps" else {}
    plain = KINDS[name](**base, **({"until_steps": (9,)} if field == "until_steps" else {}))
    changed = KINDS[name](**base | {field: OTHER[field]})
    assert [rate_factor(plain, step, 30) for step in range(30)] != [
        rate_factor(changed, step, 30) for step in range(30)
    ]


@pytest.mark.parametrize(
    ("steps", "ratio", "total", "expected"),
    [(None, None, 100, 0), (7, None, 100, 7), (None, 0.1, 100, 10), (None, 0.05, 30, 2), (None, 0.0, 30, 0),
     (None, 1.0, 30, 30)],
)  # fmt: skip
def test_lengths_in_steps_or_as_a_share(steps: int | None, ratio: float | None, total: int, expected: int) -> None:
    assert warmup_steps(KINDS["cosine"](warmup_steps=steps, warmup_ratio=ratio), total) == expected
    if steps is not None or ratio is not None:
        config = KINDS["warmup_stable_decay"](decay_steps=steps, decay_ratio=ratio)
        full = [step for step in range(total) if rate_factor(config, step, total) == 1.0]
        assert len(full) == min(total, total - expected + 1), "the first step of the fall still has the full rate"


def test_a_warmup_needs_no_name_of_a_schedule() -> None:
    data = {"name": "a", "model": {"path": "demo"}, "datasets": [{"path": "x"}], "schedule": {"warmup_steps": 3}}
    assert parse(data, "test").schedule.type == "constant"
