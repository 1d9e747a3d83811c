"""The arithmetic that people do, worked out by hand, and why the true number is another one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from loratory.config.architectures import SPECS
from loratory.config.load import parse
from loratory.planner.calculator import Calculation, calculate
from loratory.planner.counts import Shapes, count


def of(groups: list[tuple[int, tuple[int, int], int]], **own: Any) -> Calculation:
    """Groups of pictures: how many, their size, their repeats; all in one dataset."""
    config = parse({"name": "x", "model": {"path": "demo"}, "datasets": [{"path": "p"}]} | own, "test")
    sizes = np.concatenate([np.full((number, 2), size) for number, size, _ in groups])
    repeats = np.concatenate([np.full(number, repeat) for number, _, repeat in groups])
    shapes = [Shapes("p", sizes, repeats)]
    return calculate(config, shapes, count(config, SPECS["sd15"], shapes))


SQUARE, WIDE = (512, 512), (768, 512)


@pytest.mark.parametrize(("groups", "own", "text", "steps"), [
    ([(50, SQUARE, 10)], {"duration": {"epochs": 5}, "batching": {"size": 2}},
     "50 images × 10 repeats × 5 epochs ÷ 2 = 1,250 steps", 1250),
    ([(10, SQUARE, 1)], {"duration": {"epochs": 1}}, "10 images × 1 epoch = 10 steps", 10),
    ([(12, SQUARE, 1), (4, SQUARE, 3)], {"duration": {"epochs": 2},
     "batching": {"size": 2, "gradient_accumulation_steps": 3}},
     "(4 images × 3 repeats + 12 images) × 2 epochs ÷ 2 ÷ 3 = 8 steps", 8),
    ([(50, SQUARE, 1)], {"duration": {"steps": 100}, "batching": {"size": 2}},
     "100 steps × 2 ÷ (50 images) = 4 epochs", 100),
])  # fmt: skip
def test_where_it_is_true(groups: Any, own: dict[str, Any], text: str, steps: int) -> None:
    found = of(groups, **own)
    assert (found.text, found.true_steps, found.differs, found.reasons) == (text, steps, False, ())


def test_where_buckets_make_more_steps() -> None:
    """Three squares and three wide ones in twos: 2 + 2 batches, where six pictures would be three."""
    found = of([(3, SQUARE, 1), (3, WIDE, 1)], duration={"epochs": 10}, batching={"size": 2})
    assert (found.plain_steps, found.true_steps, found.differs) == (30, 40, True)
    assert found.reasons == (
        "A batch holds images of one size only: of 2 sizes the last batches are not full, and 2 places of an epoch "
        "stay empty.",
    )


def test_where_steps_are_given_epochs_differ() -> None:
    found = of([(3, SQUARE, 1), (3, WIDE, 1)], duration={"steps": 40}, batching={"size": 2})
    assert found.plain_epochs == pytest.approx(40 * 2 / 6)
    assert found.true_epochs == 10 and found.differs


def test_many_kinds_of_repeats_are_not_written_out() -> None:
    found = of([(1, SQUARE, repeat) for repeat in range(1, 6)], duration={"epochs": 1})
    assert found.text == "15 images, repeats among them × 1 epoch = 15 steps"
