"""What the parts of the importer share: the process they read, the model it is for, and the job that they make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loratory.interop.aitoolkit.architectures import Arch
from loratory.interop.aitoolkit.notes import Notes, Section

PRECISIONS = {"fp16": "fp16", "float16": "fp16", "bf16": "bf16", "bfloat16": "bf16", "fp32": "fp32", "float32": "fp32",
              "float": "fp32"}  # fmt: skip


@dataclass
class Making:
    """One job in the making."""

    process: Section
    arch: Arch
    notes: Notes
    folders: tuple[Path, ...]
    """Where relative paths may begin: the current folder, as for their program, then the file's."""
    data: dict[str, Any] = field(default_factory=dict)

    def put(self, path: str, value: Any) -> None:
        """Set a dotted path of our job."""
        *sections, last = path.split(".")
        place = self.data
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value

    def place(self, given: str, *, may_be_id: bool = False) -> str:
        """A path made absolute: from the first of the folders in which it exists, else from the first of all.

        What may be a Hub id and exists nowhere stays as it is.
        """
        path = Path(given).expanduser()
        if path.is_absolute():
            return str(path)
        found = next((folder / path for folder in self.folders if (folder / path).exists()), None)
        if found is None:
            if may_be_id and not given.startswith("."):
                return given
            found = self.folders[0] / path
        return str(Path(*[part for part in found.parts if part != "."]))


def precision(section: Section, key: str, usual: str) -> str:
    """One of our precisions; their names for it are several. One that we have not is said, and `usual` takes its
    place."""
    given = str(section.get(key, usual))
    if given not in PRECISIONS:
        section.say("unsupported", key, f"{given} is not here; {PRECISIONS[usual]} takes its place")
        return PRECISIONS[usual]
    return PRECISIONS[given]


def without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
