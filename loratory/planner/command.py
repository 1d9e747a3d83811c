"""`loratory plan`: from a job file, or from a typed number of pictures."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loratory.config.architectures import get_spec
from loratory.config.identify import Resolve, spec_of
from loratory.config.load import load, parse
from loratory.config.network_preview import layers_of
from loratory.config.sizes import resolution_of
from loratory.config.train import TrainConfig
from loratory.data.buckets import Size
from loratory.data.scan import Scan, scan
from loratory.errors import UserError
from loratory.hub.download import resolve_model
from loratory.planner.counts import shapes_of, typed
from loratory.planner.estimate import Estimate, estimate
from loratory.planner.machine import CPU, Machine, machine_here
from loratory.planner.measured import read, table_path
from loratory.planner.report import report

_SIZE = re.compile(r"(\d+)(?:\s*[xX×]\s*(\d+))?")


@dataclass(frozen=True)
class Typed:
    """Pictures that are only spoken of."""

    pictures: int
    size: str | None = None


def size_of(text: str) -> Size:
    """1024x768, or 1024 for a square. Raises UserError for anything else."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or not all(0 < int(side) <= 100_000 for side in match.groups() if side):
        raise UserError(f"--size {text}: write a width and a height in pixels, such as 1024x768.")
    return int(match[1]), int(match[2] or match[1])


def job_for(architecture: str, overrides: Sequence[str]) -> TrainConfig:
    """A job with nothing but an architecture, for calculations. Raises UserError for one that is unknown."""
    from loratory.config.load import apply_override

    spec = get_spec(architecture)
    data: dict[str, Any] = {
        "name": "plan", "model": {"architecture": architecture, "path": spec.usual_path or spec.usual_repository},
        "datasets": [{"path": "pictures"}],
    }  # fmt: skip
    for each in overrides:
        apply_override(data, each)
    return parse(data, "the command line")


def card(gigabytes: float | None, device: str) -> Machine:
    """The card that is here, or one of so much memory; with the device `cpu` none is asked for.

    Raises UserError for a size that is none.
    """
    here = CPU if device == "cpu" else machine_here()
    if gigabytes is None:
        return here
    if not 0 < gigabytes <= 10_000:
        raise UserError(f"--gpu-memory {gigabytes:g}: give the card's memory in GB, such as 12.")
    # What makers call 12 GB are GiB.
    return Machine(here.name, round(gigabytes * 2**30))


def planned(
    config: TrainConfig, machine: Machine, wanted: Typed | None = None, *, resolve: Resolve = resolve_model,
    look: Callable[[Path, Sequence[str]], Scan] = scan,
) -> Estimate:  # fmt: skip
    """Plan a job with the pictures that lie there, or with those that are spoken of. Raises UserError."""
    spec = spec_of(config.model, resolve)
    layers = layers_of(config.model, spec, resolve)
    if wanted is None:
        found = [look(Path(dataset.path), dataset.captions.extensions) for dataset in config.datasets]
        shapes = [shapes_of(each, dataset.num_repeats) for each, dataset in zip(found, config.datasets, strict=True)]
    else:
        usual = resolution_of(config.batching.buckets, spec)
        size = usual if wanted.size is None else size_of(wanted.size)
        config = config.model_copy(update={"datasets": config.datasets[:1]})
        shapes = [typed(wanted.pictures, size, config.datasets[0].num_repeats)]
    return estimate(config, spec, layers, shapes, machine, read(table_path()))


def plan_job(
    file: Path | None, overrides: Sequence[str], say: Callable[[str], None], *, architecture: str | None = None,
    wanted: Typed | None = None, gpu_memory: float | None = None, for_steps: int | None = None, as_json: bool = False,
) -> int:  # fmt: skip
    """Print a plan. Returns the exit code. Raises UserError."""
    if file is None:
        if architecture is None or wanted is None:
            raise UserError("Give a job file, or --architecture and --pictures, for example: --architecture sdxl "
                            "--pictures 20.")  # fmt: skip
        config = job_for(architecture, overrides)
    else:
        config = load(file, overrides)
    found = planned(config, card(gpu_memory, config.runtime.device), wanted)
    if as_json:
        plain = found.as_json()
        if for_steps is not None:
            plain["epochs_for_steps"] = {"steps": for_steps, "epochs": found.counts.epochs_for(for_steps)}
        say(json.dumps(plain, indent=1, ensure_ascii=False))
        return 0
    say(report(found).rstrip("\n"))
    if for_steps is not None:
        epochs = found.counts.epochs_for(for_steps)
        say(f"\nFor {for_steps:,} steps: {epochs:,} epochs, which are {epochs * found.counts.steps_per_epoch:,} steps.")
    return 0
