"""Small training jobs, and what there is to compare of two runs. Imports nothing heavy."""

import io
import json
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console

from loratory.config.load import parse
from loratory.config.train import TrainConfig
from loratory.console import Show
from loratory.runs import RunFolder, read_events, read_metrics

Data = dict[str, Any]

# Everything that is random or has a state is switched on, and everything that a run can write is written.
BUSY = {
    "datasets.0.captions": {"shuffle": True, "dropout_rate": 0.2, "keep_tokens": 1, "tag_dropout_rate": 0.1},
    "datasets.0.augmentation.flip": True,
    "batching.size": 2,
    "batching.gradient_accumulation_steps": 2,
    "caching.batch_size": 3,
    "network.dropout": 0.1,
    "optimizer.learning_rate": 0.01,
    "optimizer.max_grad_norm": 0.05,
    "schedule": {"type": "cosine", "warmup_steps": 2},
    "duration.steps": 10,
    "sampling": {"prompts": ["a photo --w 32 --h 32 --s 1 --d 3"], "every_n_steps": 5, "before_first_step": False},
    "saving.export_every_n_steps": 3,
    "saving.keep_last_exports": 2,
    "saving.checkpoint_every_n_steps": 2,
    "logging.csv": True,
}


def job(model: Path, photos: Path, output: Path, changes: Mapping[str, Any] | None = None) -> Data:
    """A job of four steps on a tiny model, as a job file has it; `changes` are dotted paths and values."""
    data = {
        "name": "run",
        "model": {"path": str(model)},
        "datasets": [{"path": str(photos)}],
        "batching": {"buckets": {"resolution": 64, "step": 16, "minimum": 32}},
        "network": {"rank": 2},
        "memory": {"precision": "fp32"},
        "duration": {"steps": 4},
        "saving": {"output_dir": str(output), "export_every_n_steps": None, "checkpoint_every_n_minutes": 60},
        "runtime": {"device": "cpu"},
    }
    return changed(data, changes or {})


def changed(data: Data, changes: Mapping[str, Any]) -> Data:
    """A copy in which each dotted path has its new value."""
    data = deepcopy(data)
    for path, value in changes.items():
        *sections, last = path.split(".")
        place: Any = data
        for section in sections:
            place = place[int(section)] if section.isdigit() else place.setdefault(section, {})
        place[last] = deepcopy(value)
    return data


def config_of(data: Data) -> TrainConfig:
    return parse(data, "the job")


def quiet() -> Show:
    return Show(Console(file=io.StringIO()))


def train(data: Data, **arguments: Any) -> RunFolder:
    """Train in this process; the run's folder. Raises what the run raises."""
    from loratory.training.loop import StopFlag
    from loratory.training.run import run_training

    return run_training(config_of(data), quiet(), arguments.pop("stop", StopFlag()), **arguments).run


def raising(error: BaseException) -> Callable[..., None]:
    def function(*_: Any, **__: Any) -> None:
        raise error

    return function


# What a run has left


MACHINE = re.compile(r"time|timestamp|iterations_per_second|seconds/.*|memory/.*")
"""Numbers that tell of the machine and not of the training."""


def metrics(run: RunFolder) -> list[Data]:
    """Every line of a step without what tells of the machine."""
    return [line for line in all_lines(run) if "validation_loss" not in line]


def validations(run: RunFolder) -> list[Data]:
    """Every line of a validation."""
    return [line for line in all_lines(run) if "validation_loss" in line]


def all_lines(run: RunFolder) -> list[Data]:
    lines: list[Data] = []
    cursor = None
    while True:
        found, cursor = read_metrics(run.metrics_path, cursor)
        if not found:
            return [{key: value for key, value in line.items() if not MACHINE.fullmatch(key)} for line in lines]
        lines += found


def losses(run: RunFolder) -> list[float]:
    return [line["loss"] for line in metrics(run)]


def events(run: RunFolder) -> list[Any]:
    found, _ = read_events(run.events_path)
    return found


def kinds(run: RunFolder) -> list[str]:
    return [event.kind for event in events(run)]


def leftovers(run: RunFolder) -> list[str]:
    """What a killed process left half-written."""
    return [path.name for path in run.path.rglob("*") if path.name.startswith((".tmp-", ".deleting-", ".replaced-"))]


def checkpoint_contents(run: RunFolder) -> dict[int, Data]:
    """By step: the bytes of the tensors, and the facts without the seconds."""
    found = {}
    for each in run.checkpoints():
        facts = json.loads((each.path / "state.json").read_text(encoding="utf-8"))
        facts.pop("seconds_trained")
        tensors = {path.name: path.read_bytes() for path in each.path.glob("*.safetensors")}
        assert tensors.keys() - {"ema.safetensors"} == {"network.safetensors", "optimizer.safetensors"}
        found[each.step] = {"facts": facts, **tensors}
    return found


def export_contents(run: RunFolder) -> dict[str, Data]:
    """By name: the hash of the tensors and the metadata without the clock."""
    from loratory.networks.metadata import CLOCK_KEYS, payload_sha256, read_lora

    found = {}
    for export in run.exports():
        _, metadata = read_lora(export.path)
        payload = payload_sha256(export.path)
        assert metadata["sshs_model_hash"] == payload, export.path
        found[export.path.name] = {key: text for key, text in metadata.items() if key not in CLOCK_KEYS}
    return found


def sample_pixels(run: RunFolder) -> dict[str, bytes]:
    return {path.name: Image.open(path).tobytes() for path in sorted(run.samples_path.glob("*.png"))}


def contents(run: RunFolder) -> Data:
    """Everything that must be bit-equal in two runs of one job on one machine, by kind and then by name."""
    lines = metrics(run)
    steps = [line["step"] for line in lines]
    assert steps == sorted(set(steps)), "a step was logged twice, or out of order"
    measured = validations(run)
    assert len({line["step"] for line in measured}) == len(measured), "a step was measured twice"
    assert [line["step"] for line in all_lines(run)] == sorted([*steps, *(line["step"] for line in measured)])
    return {
        "metrics": dict(zip(steps, lines, strict=True)),
        "validations": {line["step"]: line for line in measured},
        "exports": export_contents(run),
        "checkpoints": checkpoint_contents(run),
        "samples": sample_pixels(run),
    }


def differences(found: Data, expected: Data) -> list[str]:
    """What was found and is not, or not so, among what is expected; what is expected and not found is no difference."""
    said = []
    for kind, things in found.items():
        for name, thing in things.items():
            if name not in expected[kind]:
                said.append(f"{kind}: {name} is not expected")
            elif thing != expected[kind][name]:
                other = expected[kind][name]
                # A picture is one piece, everything else has named parts.
                parts = [] if kind == "samples" else [part for part in other if thing.get(part) != other[part]]
                said.append(f"{kind}: {name} differs {parts}")
    return said
