"""What a plan thinks of samples is what is made: sizes, steps and guidance of every prompt."""

from itertools import product
from typing import Any

import pytest

from loratory.config.architectures import SPECS
from loratory.drafts.prompts import prompts_of
from loratory.planner.clock import clock_of
from loratory.planner.counts import count, typed
from loratory.planner.memory import memory_of
from loratory.planner.samples import Picture, pictures_of
from tests.unit.planner.helpers import job, model

LINES = ["a dog", "a dog --w 640 --s 7", "a dog --h 500 --l 1", "a dog --w 1100 --h 333 --d 3 --l 4"]
USUAL: list[dict[str, Any]] = [{}, {"width": 768}, {"height": 600, "steps": 9}, {"scale": 1.0}]
RESOLUTIONS = [None, 384, (640, 512)]


@pytest.mark.parametrize("name", SPECS)
def test_it_plans_the_pictures_that_are_made(name: str) -> None:
    for usual, resolution in product(USUAL, RESOLUTIONS):
        config = job(name, sampling={"prompts": LINES, **usual}, batching={"buckets": {"resolution": resolution}})
        made, _ = prompts_of(config, SPECS[name])
        expected = [
            Picture((each.width or 0, each.height or 0), each.steps or 0, 1 if each.scale == 1 else 2) for each in made
        ]
        assert pictures_of(model(config)) == expected


def test_a_file_counts_as_one_and_a_half_typed_prompt_as_an_ordinary_one() -> None:
    assert pictures_of(model(job("sd15"))) == []
    usual = Picture((512, 512), SPECS["sd15"].sample_steps, 2)
    assert pictures_of(model(job("sd15", sampling={"prompts_file": "prompts.txt"}))) == [usual]
    assert pictures_of(model(job("sd15", sampling={"prompts": ["a dog --w"]}))) == [usual]


def test_the_largest_needs_the_memory_and_all_take_their_time() -> None:
    def found(*prompts: str) -> tuple[int, float]:
        mine = model(job("sdxl", sampling={"prompts": list(prompts), "every_n_steps": 100}, duration={"steps": 100}))
        (phase,) = (each for each in memory_of(mine, (1024, 1024)).phases if each.name == "samples")
        (work,) = (part.bytes for part in phase.parts if part.name == "sample at work")
        counts = count(mine.config, SPECS["sdxl"], [typed(20, (1024, 1024))])
        return work, clock_of(mine, counts, None).flops_of_samples

    small, large = found("a --w 512 --h 512"), found("a --w 1536 --h 1024")
    both = found("a --w 512 --h 512", "a --w 1536 --h 1024")
    assert small[0] < large[0] == both[0]
    assert both[1] == pytest.approx(small[1] + large[1])
    assert found("a --s 10")[1] == pytest.approx(2 * found("a --s 5")[1])
