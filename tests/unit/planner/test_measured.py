"""Runs that were measured here correct what is estimated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from loratory.config.architectures import SPECS
from loratory.config.modules import layers
from loratory.planner.clock import clock_of
from loratory.planner.counts import count, typed
from loratory.planner.estimate import estimate
from loratory.planner.machine import Machine
from loratory.planner.measured import LIMITS, MOST, Measurement, add, correction, kind_of, read
from loratory.planner.report import report
from tests.unit.planner.helpers import GIB, job, model

CARD = Machine("a card", 24 * GIB)


def measured(**changes: Any) -> Measurement:
    facts: dict[str, Any] = {
        "hardware": "a card", "architecture": "sdxl", "kind": kind_of(job("sdxl")), "estimated_bytes": 10 * GIB,
        "peak_bytes": 11 * GIB, "flops_per_step": 1e13, "seconds_per_step": 0.5, "time": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    return Measurement(**facts | changes)


def test_nothing_measured_corrects_nothing() -> None:
    found = correction([measured(hardware="another")], "a card", "sdxl", "")
    assert (found.memory_factor, found.flops_per_second, found.memory_runs, found.speed_runs) == (1.0, None, 0, 0)


def test_the_median_of_the_most_alike_counts() -> None:
    kind = kind_of(job("sdxl"))
    known = [measured(peak_bytes=size * GIB) for size in (11, 12, 19)]
    known += [measured(kind="other", seconds_per_step=5.0), measured(architecture="flux1", seconds_per_step=50.0)]
    assert correction(known, "a card", "sdxl", kind).memory_factor == pytest.approx(1.2)
    assert correction(known, "a card", "sdxl", kind).flops_per_second == pytest.approx(2e13)
    assert correction(known, "a card", "flux1", kind).flops_per_second == pytest.approx(2e11)
    assert correction(known, "a card", "flux1", kind).alike == "this kind of job"
    everything = correction(known, "a card", "zimage", kind)
    assert (everything.alike, everything.speed_runs) == ("this machine", 5)


def test_wild_numbers_are_bounded_and_missing_ones_passed_over() -> None:
    assert correction([measured(peak_bytes=90 * GIB)], "a card", "sdxl", "").memory_factor == LIMITS[1]
    assert correction([measured(peak_bytes=None)], "a card", "sdxl", "").memory_runs == 0


def test_the_table_is_bounded_and_survives_damage(tmp_path: Path) -> None:
    path = tmp_path / "measured.jsonl"
    assert read(path) == []
    add(measured(), path)
    path.write_text(path.read_text() + "{broken\n[1]\n" + '{"hardware": "x", "strange": 1}\n')
    assert read(path) == [measured()]
    lines = path.read_text().splitlines()[:1] * (MOST + 50)
    path.write_text("\n".join(lines) + "\n")
    add(measured(architecture="sd15", time=""), path)
    found = read(path)
    assert len(found) == MOST
    assert found[-1].architecture == "sd15"
    assert found[-1].time


def test_plans_use_it() -> None:
    config = job("sdxl", duration={"steps": 1000})
    arguments = (config, SPECS["sdxl"], layers("sdxl"), [typed(20, (1024, 1024))], CARD)
    plain, corrected = estimate(*arguments), estimate(*arguments, [measured()] * 3)
    assert plain.clock.seconds is None
    assert "Not known before a run was measured" in report(plain)
    factor = (corrected.peak_bytes - corrected.memory.highest.reserve) / plain.memory.highest.tensors
    assert factor == pytest.approx(1.1)
    assert corrected.clock.seconds_per_step == pytest.approx(corrected.clock.flops_per_step / 2e13)
    assert corrected.clock.seconds_of_training == pytest.approx(1000 * corrected.clock.flops_per_step / 2e13)
    assert "by 3 runs here" in report(corrected)


# The arithmetic that time is made of


def flops(name: str, side: int = 1024, **sections: Any) -> float:
    config = job(name, **sections)
    counts = count(config, SPECS[name], [typed(4, (side, side))])
    return clock_of(model(config), counts, None).flops_per_step


def test_operations_by_hand() -> None:
    """SDXL's UNet takes 5.98 million million multiplications and additions for a picture of 1024 (Podell et al. say no
    number; fvcore and calflops count 5.98 TMACs with attention), so 12 TFLOP forward. Twice that with the backward
    pass, and half more where everything is computed twice."""
    once, twice = flops("sdxl"), flops("sdxl", memory={"gradient_checkpointing": "on"})
    assert once == pytest.approx(2 * 12e12, rel=0.25)
    assert 1.3 < twice / once < 1.5
    second = flops("sdxl", memory={"gradient_checkpointing": "on", "checkpoint_every": 2})
    assert second == pytest.approx((once + twice) / 2, rel=0.01)


def test_operations_grow_with_what_is_seen() -> None:
    assert flops("sdxl", batching={"size": 4}) == pytest.approx(4 * flops("sdxl"))
    assert flops("flux1", side=512) < flops("flux1") / 2
