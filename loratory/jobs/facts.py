"""What is known of a run from its folder, for a list of runs and for its page. Nothing here changes a run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from loratory.config.architectures.header import read_header
from loratory.errors import UserError
from loratory.hub.inventory import architecture_by_metadata
from loratory.runs import ACTIVE_STATES, RunFolder, Status, jsonl, read_status
from loratory.runs.notes import NOTES_FILE, read_notes
from loratory.runs.status import STATUS_FILE
from loratory.trash import size_of

_LOOK_BACK = 50
"""Lines from the end of the metrics in which the newest loss, rate and memory are looked for."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a run trains, as far as its own config and its files tell."""

    architecture: str | None = None
    network: str | None = None
    base_model: str | None = None


def stamp(path: Path) -> str | None:
    """Changes whenever a run's status or notes do; None where there is no run."""
    try:
        status = os.stat(f"{path}/{STATUS_FILE}")  # noqa: PTH116  quick for thousands
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        notes = os.stat(f"{path}/{NOTES_FILE}").st_mtime_ns  # noqa: PTH116
    except FileNotFoundError:
        notes = 0
    return f"{status.st_mtime_ns}-{status.st_ino}-{notes}"


def recipe_of(run: RunFolder) -> Recipe:
    """From the frozen config; the architecture, where that leaves it open, from a LoRA file of the run."""
    try:
        config = yaml.load(run.config_path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (FileNotFoundError, yaml.YAMLError):
        config = None  # a run that has not begun has none; a damaged one is told by the run's own page
    model, network = _section(config, "model"), _section(config, "network")
    architecture = model.get("architecture") or architecture_of_exports(run)
    return Recipe(_text(architecture), _text(network.get("type")), _text(model.get("path")))


def architecture_of_exports(run: RunFolder) -> str | None:
    """What the newest LoRA file says that it is for."""
    for export in reversed(run.exports()):
        if export.path.suffix == ".safetensors":
            try:
                return architecture_by_metadata(read_header(export.path)[2])
            except UserError:
                return None  # a broken file is told where the files are listed
    return None


def _section(config: Any, name: str) -> dict[str, Any]:
    section = config.get(name) if isinstance(config, dict) else None
    return section if isinstance(section, dict) else {}


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def newest_numbers(metrics: Path) -> dict[str, float]:
    """The last value of every number in the last lines of a metrics file."""
    found: dict[str, float] = {}
    for line in islice(jsonl.backwards(metrics), _LOOK_BACK):
        for name, value in line.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                found.setdefault(name, value)
    return found


def started_at(started: str) -> float:
    """The time of a status as a number, as the metrics have it."""
    return datetime.fromisoformat(started).timestamp()


def speed_since(first: dict[str, Any], newest: dict[str, float]) -> float | None:
    """Steps per second between two lines of the metrics, with the pauses for samples and files; None for less than a
    step. From the first line after a start on, it is the average without the start-up."""
    steps, seconds = newest["step"] - first["step"], newest["time"] - first["time"]
    return steps / seconds if steps > 0 and seconds > 0 else None


@dataclass(frozen=True, slots=True)
class Facts:
    """One run, as a list of runs shows it. Times are UTC texts; `bytes` is None while the run works."""

    id: str
    path: str
    name: str
    state: str
    created: str
    updated: str
    started: str | None
    step: int | None
    total_steps: int | None
    epoch: int | None
    architecture: str | None
    network: str | None
    loss: float | None
    validation_loss: float | None
    error: str | None
    """Why it failed, in a sentence."""
    sample: str | None
    """File name of the newest sample picture."""
    samples: int
    exports: int
    bytes: int | None
    notes: str
    """The first line."""
    tags: list[str]
    iterations_per_second: float | None
    """Of the last steps, without pauses."""


def facts_of(path: Path) -> Facts:
    """Read a run's folder. Raises UserError where it is none or is damaged."""
    status = read_status(path)
    run = RunFolder(path, status)
    notes = read_notes(path)
    recipe = recipe_of(run)
    pictures = [each for group in run.samples().values() for each in group]
    return Facts(
        **_of_status(status),
        path=str(path),
        architecture=recipe.architecture,
        network=recipe.network,
        loss=newest_numbers(run.metrics_path).get("loss"),
        sample=pictures[-1].name if pictures else None,
        samples=len(pictures),
        exports=len(run.exports()),
        bytes=None if status.state in ACTIVE_STATES else size_of(path),
        notes=next(iter(notes.text.strip().splitlines()), "")[:200],
        tags=list(notes.tags),
    )


def _of_status(status: Status) -> dict[str, Any]:
    names = (
        "id", "name", "state", "created", "updated", "started", "step", "total_steps", "epoch", "validation_loss",
        "iterations_per_second",
    )  # fmt: skip
    return {name: getattr(status, name) for name in names} | {
        "error": None if status.error is None else (status.error.get("message") or status.error.get("kind"))
    }
