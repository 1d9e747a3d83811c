"""Losses by band of time, seconds by phase, and how both reach the metrics without waiting for the device."""

from __future__ import annotations

import itertools
import mmap
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch

from loratory.training import meter as meters
from loratory.training.meter import Meter, by_band, thousandths
from loratory.training.metrics import LateNumbers, StepNumbers, line_of
from loratory.training.statistics import Statistics

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("times", "is_flow", "bands"),
    [
        ([0, 249, 250, 499, 500, 749, 750, 999], False, [0, 0, 1, 1, 2, 2, 3, 3]),
        ([0.0, 0.2499, 0.25, 0.4999, 0.5, 0.75, 0.9999, 1.0], True, [0, 0, 1, 1, 2, 3, 3, 3]),
    ],
)
def test_bands_are_quarters_of_the_time(times: list[float], is_flow: bool, bands: list[int]) -> None:
    names = ["x_0_250", "x_250_500", "x_500_750", "x_750_1000"]
    scaled = thousandths(torch.tensor(times), is_flow)
    for at, band in zip(scaled, bands, strict=True):
        assert by_band("x", [at], [2.0]) == {names[band]: 2.0}
    assert by_band("x", [100.0, 900.0, 200.0], [1.0, 5.0, 2.0]) == {"x_0_250": 1.5, "x_750_1000": 5.0}


def test_only_bands_that_occurred_and_only_the_losses_before_weights() -> None:
    """Two micro-batches of one step, four steps later; measures of the optimizer stand in between."""
    late, meter = LateNumbers(CPU), Meter(CPU, is_flow=False)
    for step in range(5):
        meter.pictures(torch.tensor([10.0, 600.0]), torch.tensor([1.0, 2.0]) + step)
        meter.pictures(torch.tensor([990.0]), torch.tensor([7.0], requires_grad=True) + step)
        late.put(step, torch.tensor([9.0, 8.0, 0.5]), {"lr/unet": 0.1, "d": torch.tensor(3.0)}, (), {}, meter.take())
    (first,) = late.due()
    assert first.bands == {"loss_band_0_250": 1.0, "loss_band_500_750": 2.0, "loss_band_750_1000": 7.0}
    assert (first.loss, first.grad_norm, first.measures) == (9.0, 8.0, {"lr/unet": 0.1, "d": 3.0})
    assert late.due() == []
    rest = late.due(all_of_them=True)
    assert [each.bands["loss_band_0_250"] for each in rest] == [2.0, 3.0, 4.0, 5.0]


def test_seconds_go_to_the_phase_they_were_spent_in(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(meters, "time", SimpleNamespace(perf_counter=lambda: clock.now, monotonic=lambda: clock.now))
    meter = Meter(CPU, is_flow=False)

    def spend(seconds: float) -> None:
        clock.now += seconds

    def batches() -> Any:
        for _ in range(2):
            spend(1.0)
            yield None

    spend(0.25)
    for _ in meter.timed(batches()):
        spend(2.0)
        meter.begin("backward")
        spend(4.0)
    meter.begin("optimizer")
    spend(8.0)
    meter.begin("other")
    seen = meter.take()
    assert seen.all_seconds() == {"other": 0.25, "data": 2.0, "forward": 4.0, "backward": 8.0, "optimizer": 8.0}
    meter.totals.update(seen.all_seconds())
    meter.begin("sample")
    spend(3.0)
    assert meter.spent() == {"backward": 8.0, "data": 2.0, "forward": 4.0, "optimizer": 8.0, "other": 0.25,
                             "sample": 3.0}  # fmt: skip


@dataclass
class FakeMark:
    """An event of a graphics card: it is recorded when the work before it is done there, one second each."""

    enable_timing: bool
    at: float = -1.0
    clock: ClassVar[Any] = itertools.count()
    read: ClassVar[list[float]] = []

    def record(self) -> None:
        self.at = float(next(FakeMark.clock))

    def elapsed_time(self, end: FakeMark) -> float:
        FakeMark.read.append(end.at)
        return 1000 * (end.at - self.at)


def test_a_graphics_card_is_timed_by_its_own_clock_and_read_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meters, "Mark", FakeMark)
    meter = Meter(torch.device("cuda"), is_flow=True)
    for _ in meter.timed([1, 2]):
        meter.begin("backward")
    meter.begin("optimizer")
    meter.begin("other")
    seen = meter.take()
    assert FakeMark.read == [], "nothing may be read while the step is on its way"
    seconds = seen.all_seconds()
    assert (seconds["forward"], seconds["backward"], seconds["optimizer"]) == (2.0, 2.0, 1.0)
    assert seconds["data"] < 0.5 and seconds["other"] < 0.5, "of the program's own clock"


def test_memory_is_that_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Meter(CPU, is_flow=False)
    before = meter.memory()["memory/process_mib"]
    statm = Path("/proc/self/statm")
    if statm.exists():
        pages = int(statm.read_text().split()[1])
        assert before == pytest.approx(pages * mmap.PAGESIZE / 2**20, rel=0.2)
    block = torch.ones(64 * 2**20, dtype=torch.uint8)
    assert meter.memory()["memory/process_mib"] == before, "looked at once in a while only"
    monkeypatch.setattr(meters, "MEMORY_SECONDS", 0.0)
    assert 40 < meter.memory()["memory/process_mib"] - before < 120
    assert len(block) == 64 * 2**20
    assert meter.memory().keys() == {"memory/process_mib"}, "a processor has no memory of its own"


def numbers(**changes: Any) -> StepNumbers:
    usual: dict[str, Any] = {"step": 4, "loss": 0.5, "grad_norm": 2.0, "stability": 0.6, "names": (), "facts": {},
                             "measures": {"lr/unet": 0.1, "lr/text_encoder": 0.2, "sign_agreement": 0.7}}  # fmt: skip
    return StepNumbers(**usual | changes)


def test_a_line_has_the_names_that_ai_toolkits_readers_look_for() -> None:
    """Its list: always loss, gradient_stability, learning_rate or lr_0 and on; with statistics the others."""
    statistics = Statistics()
    for step in range(30):
        reading = statistics.add(step, 1.0 - step / 100, 0.6)
    line = line_of(numbers(bands={"loss_band_0_250": 0.5}, seconds={"forward": 0.25}), reading)
    assert (line["lr_0"], line["lr_1"], line["lr/unet"], line["lr/text_encoder"]) == (0.1, 0.2, 0.1, 0.2)
    assert "learning_rate" not in line
    assert line["loss_samples"] == 30
    assert {"loss", "grad_norm", "gradient_stability", "gradient_stability_avg", "loss_slope", "loss_r2"} <= line.keys()
    assert (line["loss_band_0_250"], line["seconds/forward"]) == (0.5, 0.25)
    alone = line_of(numbers(measures={"lr/unet": 0.1}, stability=float("nan")), Statistics().add(0, 0.5, None))
    assert alone["learning_rate"] == 0.1
    assert not {"lr_0", "gradient_stability", "loss_slope"} & alone.keys(), "what is not known is left out"
