"""Plans of real jobs: what is planned is what is done, and what was done corrects the next plan."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loratory.config.architectures import SPECS
from loratory.config.load import parse
from loratory.config.network_preview import model_layers
from loratory.planner.clock import clock_of
from loratory.planner.counts import count, typed
from loratory.planner.measured import read, table_path
from loratory.planner.memory import memory_of
from loratory.planner.model import model_of
from tests.architectures import each
from tests.e2e.jobs import Data, all_lines, changed, events, train


def planned(said: Any) -> Data:
    assert said.code == 0, said.text
    found: Data = json.loads(said.text)
    return found


def test_a_run_does_as_many_steps_as_were_planned_and_tells_the_next_plan(
    make_job: Callable[..., Data], job_file: Callable[[Data], Path], loratory: Callable[..., Any]
) -> None:
    job = make_job("sd15", {"duration": {"epochs": 8}, "batching.size": 2, "datasets.0.num_repeats": 2})
    before = planned(loratory("plan", job_file(job), "--json"))
    assert before["seconds"] is None
    run = train(job)
    assert [line["step"] for line in all_lines(run)][-1] == before["total_steps"] >= 20
    (measured,) = read(table_path())
    assert (measured.hardware, measured.architecture, measured.peak_bytes) == ("cpu", "sd15", None)
    after = planned(loratory("plan", job_file(job), "--json"))
    assert after["measured_runs"] == 1
    assert after["seconds_per_step"] == pytest.approx(measured.seconds_per_step, rel=1e-6)
    spent = sum(events(run)[-1].data["seconds"].get(phase, 0) for phase in ("data", "forward", "backward", "optimizer"))
    assert after["seconds"] == pytest.approx(spent, rel=0.5)


def test_short_runs_say_nothing(make_job: Callable[..., Data]) -> None:
    train(make_job("sd15"))
    assert read(table_path()) == []


@pytest.mark.parametrize("architecture", each())
def test_models_of_other_sizes_can_be_planned(
    architecture: str, tiny_model: Callable[[str], Path], make_job: Callable[..., Data]
) -> None:
    config = parse(changed(make_job(architecture), {"model.architecture": architecture}), "test")
    spec = SPECS[architecture]
    mine = model_of(config, spec, model_layers(spec, tiny_model(architecture)))
    counts = count(config, spec, [typed(3, (64, 64))])
    assert 0 < memory_of(mine, counts.largest).phase("training").tensors < 2**31  # type: ignore[union-attr]
    assert clock_of(mine, counts, None).flops_per_step > 0
