"""Every example trains: two steps on the architecture's tiny model, with everything else as it stands in the file.

Replaced are the places (model, parts, side adapters, pictures, output), how long it takes (steps, steps of a sample)
and how large the pictures are. What the file says of memory, precision, texts, loss and optimizer stays.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from loratory.config.load import load
from loratory.config.train import TrainConfig
from tests.e2e.jobs import Data, losses, sample_pixels, train
from tests.examples import EXAMPLES, architecture_of
from tests.tiny import TINY

pytestmark = pytest.mark.slow

SIZES = {"resolution": 64, "step": 16, "minimum": 32}


def memory_features(config: TrainConfig) -> set[str]:
    """What an example asks for to save memory, and whether LoRAs work beside the model."""
    told = config.memory.model_dump(exclude_defaults=True)
    return {f"{name}: {value}" for name, value in told.items()} | ({"beside"} if config.model.side_adapters else set())


def cases() -> Iterator[Any]:
    """All in the full tier; in the quick one those that are the first with something about memory."""
    shown: set[str] = set()
    for path in EXAMPLES:
        if architecture_of(path.stem) in TINY:
            features = memory_features(load(path))
            yield pytest.param(path, id=path.stem, marks=() if features - shown else pytest.mark.full)
            shown |= features


def brought_here(example: Path, model: Path, photos: Path, output: Path, beside: str) -> Data:
    """The job of the file with tiny weights, small pictures and two steps."""
    data: Data = yaml.safe_load(example.read_text(encoding="utf-8"))
    config = load(example)
    sides = [{**side.model_dump(), "path": beside} for side in config.model.side_adapters]
    model_changes = {"path": str(model), **({"side_adapters": sides} if sides else {})}
    data["model"] = {**{key: value for key, value in data["model"].items() if key != "components"}, **model_changes}
    if parts := {name: None for name in config.model.left_out()}:
        data["model"]["parts"] = parts
    else:
        data["model"].pop("parts", None)
    for dataset in data["datasets"]:
        dataset["path"] = str(photos)
    data["batching"]["buckets"] |= SIZES
    if "sampling" in data:
        short = [re.sub(r" --[whs] \d+", "", prompt) + " --w 64 --h 64 --s 1" for prompt in config.sampling.prompts]
        data["sampling"]["prompts"] = short
    saving = {**data.get("saving", {}), "output_dir": str(output)}
    return data | {"duration": {"steps": 2}, "saving": saving, "runtime": {"device": "cpu"}}


@pytest.mark.parametrize("example", list(cases()))
def test_it_trains(
    example: Path, make_job: Callable, tiny_model: Callable[[str], Path], photos: Path, tmp_path: Path
) -> None:
    architecture, beside = architecture_of(example.stem), ""
    if load(example).model.side_adapters:
        beside = str(train(make_job(architecture, {"duration.steps": 1}, output="side")).final_export_path)
    run = train(brought_here(example, tiny_model(architecture), photos, tmp_path / "examples", beside))
    assert len(losses(run)) == 2
    assert all(0 < loss < 100 for loss in losses(run))
    assert run.final_export_path.exists()
    assert bool(sample_pixels(run)) == bool(load(example).sampling.prompts)


def test_the_quick_tier_has_every_memory_feature_once() -> None:
    """Each is in one example that is not left to the full tier."""
    quick = [case.values[0] for case in cases() if not case.marks]
    every = [path for path in EXAMPLES if architecture_of(path.stem) in TINY]
    union: set[str] = set()
    assert union.union(*map(memory_features, map(load, quick))) == union.union(*map(memory_features, map(load, every)))
    assert any("denoiser_weights" in feature for path in quick for feature in memory_features(load(path)))
