"""Pictures, batches and steps in numbers are those that a training really does."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loratory.config.architectures import SPECS
from loratory.data.scan import Item, Scan
from loratory.errors import UserError
from loratory.planner.counts import Shapes, count, counts_of, shapes_of, typed
from loratory.planner.steps import plan
from loratory.training.batches import BatchMaker
from loratory.training.objective import time_draw
from tests.unit.planner.helpers import job
from tests.unit.training.helpers import Latents

SD15 = SPECS["sd15"]
LIMIT_SECONDS = 0.5
"""For a hundred thousand pictures, all of different sizes; five times what a slow core takes."""


def scan_of(sizes: list[tuple[int, int]], root: str, repeats: int = 1) -> Scan:
    items = [Item(f"{n:03}.png", width, height, None, 1, 1, repeats, "") for n, (width, height) in enumerate(sizes)]
    return Scan(Path(root), tuple(items), ())


sides = st.integers(8, 400)
pictures = st.lists(st.tuples(sides, sides), min_size=1, max_size=12)


@st.composite
def jobs(draw: st.DrawFn) -> tuple[Any, list[Scan]]:
    """Small datasets with repeats, sizes and buckets of their own."""
    datasets, scans = [], []
    for number in range(draw(st.integers(1, 3))):
        resolutions = draw(st.sampled_from([[], [64], [64, 96], [[96, 64]]]))
        datasets.append(
            {
                "path": f"p{number}",
                "num_repeats": draw(st.integers(1, 3)),
                "resolutions": resolutions,
                "batch_group": draw(st.sampled_from(["", "own"])),
                "is_regularisation": number > 0 and draw(st.booleans()),
            }
        )
        scans.append(scan_of(draw(pictures), f"p{number}", draw(st.integers(1, 2))))
    mode = draw(st.sampled_from(["upscale", "no_upscale", "aitoolkit", "off"]))
    config = job(
        datasets=datasets, duration=draw(st.sampled_from([{"epochs": 2}, {"steps": 7}, {"steps": 40, "epochs": 1}])),
        batching={
            "size": draw(st.integers(1, 4)), "gradient_accumulation_steps": draw(st.integers(1, 3)),
            "balance_regularisation": draw(st.booleans()),
            "buckets": {
                "resolution": 64, "step": 16, "mode": mode, "minimum": 32, "adapt_minimum": draw(st.booleans()),
            },
        },
    )  # fmt: skip
    return config, scans


class NoTexts:
    """Captions that nobody reads."""

    def text(self, *_: Any) -> str:
        return ""

    def conditioning(self, _: str) -> None:
        return None


@settings(max_examples=120, deadline=None, derandomize=True)
@given(jobs())
def test_counted_and_planned_and_made_batches_are_the_same(given_job: tuple[Any, list[Scan]]) -> None:
    config, scans = given_job
    shapes = [shapes_of(scan, dataset.num_repeats) for scan, dataset in zip(scans, config.datasets, strict=True)]
    try:
        planned = plan(config, SD15, scans)
    except UserError:
        with pytest.raises(UserError, match="nothing to train on"):
            count(config, SD15, shapes)
        return
    counted = count(config, SD15, shapes)
    assert counted.buckets == {size: len(members) for size, members in planned.buckets.items()}
    assert counted.total_steps == planned.total_steps
    assert counted.steps_per_epoch == planned.steps_per_epoch
    assert counts_of(planned).cached == counted.cached
    dropped = sum("smaller than one bucket step" in note for note in planned.notes)
    assert sum(each.dropped for each in counted.datasets) <= dropped, "a picture counts once, at however many sizes"
    once = {name for dataset, each in enumerate(scans) for name in [(dataset, item.path) for item in each.items]}
    used = {(sample.dataset, sample.item.path) for sample in planned.samples}
    assert config.batching.balance_regularisation or len(once) - len(used) <= dropped
    maker = BatchMaker(config, planned, Latents(), NoTexts(), time_draw(SD15, config.objective), 4, 8, None)  # type: ignore[arg-type]
    made = list(maker.batches(0, planned.total_steps))
    assert sum(batch.is_last for batch in made) == counted.total_steps
    epoch = [batch for batch in made if batch.step < counted.steps_per_epoch]
    if counted.total_steps >= counted.steps_per_epoch:
        assert len(epoch) == counted.batches_per_epoch
        assert sum(len(batch.names) for batch in epoch) == counted.seen_per_epoch


def test_a_hundred_thousand_pictures_are_counted_at_once() -> None:
    generator = np.random.default_rng(1)
    sizes = generator.integers(400, 4000, (100_000, 2))
    shapes = [Shapes("many", sizes, np.ones(100_000, dtype=np.int64))]
    config = job("sdxl", batching={"size": 4})
    count(config, SPECS["sdxl"], shapes)
    took = []
    for _ in range(5):
        begin = time.perf_counter()
        found = count(config, SPECS["sdxl"], shapes)
        took.append(time.perf_counter() - begin)
    assert found.seen_per_epoch == 100_000
    assert min(took) < LIMIT_SECONDS, took


def test_cut_and_dropped_and_enlarged_pictures_by_hand() -> None:
    """Buckets of 64 pixels' area in steps of 16. 100x100 fits a square; 200x100 is scaled to cover 80x48, that is to
    96x48, of which 16 columns go; 40x40 is enlarged."""
    config = job(batching={"size": 2, "buckets": {"resolution": 64, "step": 16}}, duration={"epochs": 1})
    found = count(config, SD15, [shapes_of(scan_of([(100, 100), (200, 100), (40, 40)], "p"), 1)])
    (dataset,) = found.datasets
    assert (dataset.pictures, dataset.cropped, dataset.enlarged, dataset.dropped) == (3, 1, 1, 0)
    assert dataset.cut_share == pytest.approx(16 * 48 / (64 * 64 + 96 * 48 + 64 * 64))
    assert found.buckets == {(64, 64): 2, (80, 48): 1}
    assert (found.batches_per_epoch, found.missing_from_full_batches) == (2, 1)
    small = job(batching={"buckets": {"resolution": 64, "step": 16, "mode": "no_upscale"}})
    assert count(small, SD15, [shapes_of(scan_of([(100, 100), (100, 9)], "p"), 1)]).datasets[0].dropped == 1


@pytest.mark.parametrize(("steps", "epochs"), [(1, 1), (10, 1), (11, 2), (25, 3)])
def test_epochs_for_a_number_of_steps(steps: int, epochs: int) -> None:
    found = count(job(), SD15, [typed(10, (512, 512))])
    assert found.epochs_for(steps) == epochs == math.ceil(steps / 10)


def test_pictures_that_are_only_spoken_of() -> None:
    found = count(job(batching={"size": 4}), SD15, [typed(10, (512, 768), repeats=3)])
    assert found.pictures == 10
    assert found.seen_per_epoch == 30
    assert found.batches_per_epoch == 8
