"""Job files of ai-toolkit for the tests, written by us, and what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from loratory.interop.aitoolkit import read
from loratory.interop.imported import Imported, Note

P = "config.process.0"


def base(arch: str = "flux") -> dict[str, Any]:
    """The least that a file holds, and what most of them say."""
    return {
        "job": "extension",
        "config": {
            "name": "lory",
            "process": [
                {
                    "type": "sd_trainer",
                    "training_folder": "/runs",
                    "network": {"type": "lora", "linear": 8, "linear_alpha": 8},
                    "datasets": [{"folder_path": "/pictures"}],
                    "train": {"steps": 20, "lr": 1e-4},
                    "model": {"name_or_path": "/models/base", "arch": arch},
                }
            ],
        },
    }


def changed(data: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in which dotted paths have new values; they count from the process, and `datasets.x` means the first."""
    data = deepcopy(data)
    for path, value in changes.items():
        parts = path.split(".")
        place: Any = data
        if parts[0] not in ("job", "config", "meta"):
            place = data["config"]["process"][0]
        if parts[0] == "datasets" and len(parts) > 1 and not parts[1].isdigit():
            place, parts = place["datasets"][0], parts[1:]
        for part in parts[:-1]:
            place = place[int(part)] if part.isdigit() else place.setdefault(part, {})
        place[parts[-1]] = value
    return data


def imported(data: Mapping[str, Any], path: Path = Path("/jobs/job.yaml")) -> Imported:
    """The only job of a file."""
    found = read(path, yaml.safe_dump(dict(data), sort_keys=False))
    assert len(found) == 1
    return found[0]


def job(changes: Mapping[str, Any] | None = None, arch: str = "flux") -> Imported:
    return imported(changed(base(arch), changes or {}))


def notes(found: Imported) -> dict[str, Note]:
    """By the path in the process."""
    assert len({note.key for note in found.notes}) == len(found.notes), "a key has two notes"
    return {note.key.removeprefix(f"{P}."): note for note in found.notes}
