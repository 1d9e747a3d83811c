"""Files of kohya's trainer as texts, and what is said about them."""

from __future__ import annotations

from pathlib import Path

from loratory.interop.imported import Imported
from loratory.interop.kohya import read

MODEL = 'pretrained_model_name_or_path = "some/model"\n'


def one(text: str, name: str = "config.toml", dataset: Path | None = None) -> Imported:
    (found,) = read(Path("/files") / name, text, dataset)
    return found


def said(found: Imported, key: str) -> list[tuple[str, str]]:
    return [(note.level, note.message) for note in found.notes if note.key == key]


def folder_of_pictures(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root
