"""Alpha in phases, end to end: said, recorded, resumed bit-equal, and exported at the strength that was trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch

from loratory.networks.metadata import read_lora
from loratory.runs import request
from tests.e2e.jobs import Data, events, metrics, train
from tests.e2e.test_network_types import stops_and_goes_on

pytestmark = pytest.mark.slow

PHASES = [{"name": "foundation", "alpha": 1.0, "min_steps": 8}, {"name": "balance", "alpha": 4.0}]
JOB = {
    "duration.steps": 16,
    "optimizer.learning_rate": 0.01,
    "network": {"rank": 2, "conv_rank": 2},
    "saving.checkpoint_every_n_steps": 2,
    "saving.keep_last_checkpoints": 100,
    "saving.export_every_n_steps": 4,
    "saving.precision": "fp32",
}


@pytest.fixture(autouse=True)
def few_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred losses would take a test too long; the slope needs twenty."""
    monkeypatch.setattr("loratory.runs.phases.LEAST_LOSSES", 5)
    monkeypatch.setattr("loratory.training.statistics.LEAST_FOR_SLOPE", 5)


@pytest.mark.parametrize("transition", ["rescale", "ramp", "jump"])
@pytest.mark.parametrize("architecture", ["sd15", pytest.param("flux1", marks=pytest.mark.full)])
def test_phases_end_are_recorded_and_resumed(
    architecture: str, transition: str, make_job: Callable[..., Data], at_step: Callable, caplog: Any
) -> None:
    caplog.set_level("INFO")
    schedule = {"preset": "custom", "linear": PHASES, "conv": [], "transition": transition, "ramp_steps": 4}
    run = stops_and_goes_on(make_job, at_step, architecture, JOB | {"alpha_schedule": schedule}, steps=16)
    assert "alpha scheduler: 2 phases, linear 1 → 4" in caplog.text
    (event,) = [each for each in events(run) if each.kind == "alpha_phase"]
    assert "phase balance begins" in event.data["message"]
    lines = metrics(run)
    changed = next(line["step"] for line in lines if line["phase"] == "balance")
    assert [line["phase"] for line in lines] == ["foundation"] * (changed - 1) + ["balance"] * (17 - changed)
    assert lines[-1]["linear_alpha"] == 4.0 and lines[0]["linear_alpha"] == 1.0
    assert all(0 <= line["gradient_stability"] <= 1 for line in lines[1:])
    tensors, _ = read_lora(run.final_export_path)
    alphas = {float(tensor) for key, tensor in tensors.items() if key.endswith(".alpha") and "resnets" not in key}
    assert 4.0 in {alpha / (3 if architecture == "flux1" and alpha > 4 else 1) for alpha in alphas}
    told = json.loads(run.final_export_path.with_name("run_alpha_scheduler.json").read_text(encoding="utf-8"))
    assert told["kinds"]["linear"]["transition_history"][0]["to_phase"] == "balance"
    assert not run.path.joinpath("run_000000004_alpha_scheduler.json").exists() or run.export_path(4).exists()


def test_off_means_nothing_changes(make_job: Callable[..., Data]) -> None:
    plain = train(make_job("sd15", JOB, output="plain"))
    off = train(make_job("sd15", JOB | {"alpha_schedule": {"preset": "off"}}, output="off"))
    first, second = (read_lora(run.final_export_path)[0] for run in (plain, off))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not list(plain.path.glob("*_alpha_scheduler.json"))
    assert metrics(plain)[-1]["alpha_enabled"] == 0


def test_a_file_starts_at_the_strength_it_was_trained_with(make_job: Callable[..., Data]) -> None:
    """Whatever alpha the first phase has: the first loss is that of a start without phases."""
    learned = train(make_job("sd15", JOB | {"optimizer.learning_rate": 0.1}, output="learned"))
    start = JOB | {"network": {"rank": 2, "conv_rank": 2, "start_from": str(learned.final_export_path)}}
    plain = train(make_job("sd15", start, output="plain"))
    phased = train(make_job("sd15", start | {"alpha_schedule": {"preset": "image"}}, output="phased"))
    assert metrics(phased)[0]["loss"] == pytest.approx(metrics(plain)[0]["loss"], rel=1e-4)
    assert metrics(phased)[0]["linear_alpha"] == 8.0


def test_weights_alone_keep_their_strength(make_job: Callable[..., Data], at_step: Callable) -> None:
    """The optimizer begins anew, the phase does not: alpha belongs to the weights."""
    schedule = {"preset": "custom", "linear": PHASES, "transition": "rescale"}
    data = make_job("sd15", JOB | {"alpha_schedule": schedule}, output="parted")
    at_step(15, lambda training: request(training.run.path, "stop"))
    train(data)
    at_step(0, lambda training: None)
    lines = metrics(train(data, weights_only=True))
    assert [line["linear_alpha"] for line in lines[-2:]] == [4.0, 4.0]
