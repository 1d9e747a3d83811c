"""Runs that were measured here correct what is estimated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from loratory.config.architectures import SPECS
from loratory.config.modules import layers
from loratory.planner.clock import Clock, clock_of, forward_flops
from loratory.planner.counts import count, typed
from loratory.planner.estimate import estimate
from loratory.planner.machine import Machine
from loratory.planner.measured import LIMITS, MOST, Measurement, add, correction, kind_of, read
from loratory.planner.report import report
from scripts.without_content import conditioning, latent_layout, without_content
from tests.unit.planner.helpers import GIB, job, model, truth

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


def clock(name: str, side: int = 1024, size: int = 1, **sections: Any) -> Clock:
    config = job(name, batching={"size": size, "buckets": {"resolution": side}}, **sections)
    return clock_of(model(config), count(config, SPECS[name], [typed(4, (side, side))]), None)


@pytest.mark.parametrize(("name", "side", "tokens"), [
    ("sd15", 512, 77), pytest.param("sdxl", 1024, 77, marks=pytest.mark.slow),
    pytest.param("flux1", 1024, 512, marks=pytest.mark.slow),
])  # fmt: skip
def test_products_are_those_that_torch_counts(name: str, side: int, tokens: int) -> None:
    """torch's own counter, on the true model; attention is left out there by its stand-in."""
    mine = model(job(name))
    layers_by_path = {each.path.partition(".")[2]: each for each in mine.layers if each.kind != "norm"}
    scene = mine.scene((side, side), 1)
    said, _ = forward_flops(mine.table.denoiser, layers_by_path, scene)
    found = truth(name)
    channels, factor = latent_layout(found)
    with without_content(), FlopCounterMode(display=False) as counter:
        noisy = torch.empty(1, channels, side // factor, side // factor, device="meta")
        times, sizes = torch.empty(1, device="meta"), torch.empty(1, 6, device="meta")
        found.predict(noisy, times, conditioning(found, tokens), sizes)
    assert said == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_attention_by_hand() -> None:
    """Flux.1 at 1024: 4608 places of 3072 numbers in 57 blocks, twice 2 · places² · width for each."""
    mine = model(job("flux1"))
    layers_by_path = {each.path.partition(".")[2]: each for each in mine.layers if each.kind != "norm"}
    _, said = forward_flops(mine.table.denoiser, layers_by_path, mine.scene((1024, 1024), 1))
    assert said == pytest.approx(57 * 4 * 4608**2 * 3072, rel=0.05)


def test_passes_add_up() -> None:
    """Forward and backward, and what is computed twice once more."""
    once = clock("sdxl").flops_per_step
    twice = clock("sdxl", memory={"gradient_checkpointing": "on"}).flops_per_step
    second = clock("sdxl", memory={"gradient_checkpointing": "on", "checkpoint_every": 2}).flops_per_step
    assert 1.3 < twice / once < 1.5
    assert second == pytest.approx((once + twice) / 2)


def test_operations_grow_with_what_is_seen() -> None:
    assert clock("sdxl", size=4).flops_per_step == pytest.approx(4 * clock("sdxl").flops_per_step)
    assert clock("flux1", side=512).flops_per_step < clock("flux1").flops_per_step / 2
    sampled = clock("sdxl", duration={"steps": 100}, sampling={"prompts": ["a"], "every_n_steps": 50, "steps": 10,
                                                                     "before_first_step": False})  # fmt: skip
    # After 50 and 100 steps, 10 passes with and without the prompt each.
    assert sampled.flops_of_samples == pytest.approx(2 * 10 * 2 * 6.5e12, rel=0.1)
