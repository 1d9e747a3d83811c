"""Deleting that can be taken back: things are moved into the home's `trash`, with a note of where they were."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from loratory.errors import UserError
from loratory.files import declare_points, new_folder, remove_tree, write_json
from loratory.runs import home_folder, is_ulid, new_ulid, utc_now

declare_points("trash")

_NOTE = "note.json"
_CONTENT = "content"


@dataclass(frozen=True, slots=True)
class Trashed:
    """Something in the trash."""

    id: str
    """A ULID: in the order of deleting."""
    path: str
    """Where it was."""
    kind: str
    """What it was, such as run, dataset, picture, file."""
    time: str
    bytes: int
    below: bool = False
    """It holds files of several folders below `path`, which stayed there; they go back one by one."""


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; links are not followed. A run may work in the folder: what it
    deletes or renames meanwhile counts or not."""
    if not path.is_dir() or path.is_symlink():
        return path.lstat().st_size
    total = 0
    for parent, _, names in os.walk(path):
        for name in names:
            with suppress(FileNotFoundError):
                total += (Path(parent) / name).lstat().st_size
    return total


def to_trash(paths: Path | list[Path], kind: str, below: Path | None = None) -> Trashed:
    """Move a file or folder, or several that belong together, into the trash. Raises UserError or DiskFull; what could
    not be moved is where it was. `below`: the folder that holds all of them, where they are not of one folder."""
    group = paths if isinstance(paths, list) else [paths]
    where = str((below or group[0]).absolute())
    entry = Trashed(new_ulid(), where, kind, utc_now(), sum(size_of(path) for path in group), below is not None)
    moved: list[tuple[Path, Path]] = []
    with new_folder(home_folder("trash") / entry.id, point="trash") as temporary:
        content = temporary / _CONTENT
        content.mkdir()
        write_json(temporary / _NOTE, asdict(entry))
        try:
            for path in group:
                target = content / (path.relative_to(below) if below else path.name)
                target.parent.mkdir(parents=True, exist_ok=True)
                _move(path, target)
                moved.append((target, path))
        except BaseException:
            for target, path in reversed(moved):
                _move(target, path)
            raise
    return entry


def _move(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError as error:
        if getattr(error, "errno", None) != 18:  # EXDEV: the trash is on another disk
            raise UserError(
                f"{source} cannot be moved ({error.strerror}); close what has it open, and try again."
            ) from error
        shutil.move(source, target)


def contents() -> Iterator[Trashed]:
    """What is in the trash, newest first."""
    for folder in sorted(home_folder("trash").iterdir(), reverse=True):
        if is_ulid(folder.name) and (folder / _NOTE).is_file():
            yield Trashed(**json.loads((folder / _NOTE).read_text(encoding="utf-8")))


def find(identifier: str) -> Trashed:
    """One of them. Raises UserError."""
    for each in contents():
        if each.id == identifier:
            return each
    raise UserError(f"There is nothing {identifier} in the trash; it was taken back or emptied.")


def restore(identifier: str) -> Path:
    """Put it back where it was. Raises UserError where something is there now."""
    entry = find(identifier)
    folder = home_folder("trash") / entry.id
    content, home = folder / _CONTENT, Path(entry.path) if entry.below else Path(entry.path).parent
    found = [path for path in content.rglob("*") if not path.is_dir()] if entry.below else list(content.iterdir())
    names = [path.relative_to(content) for path in found]
    if taken := [name for name in names if os.path.lexists(home / name)]:
        raise UserError(f"{home / taken[0]} exists; rename or delete it before taking back what was there before.")
    for name in names:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        _move(content / name, home / name)
    remove_tree(folder)
    return Path(entry.path)


def empty(identifiers: list[str] | None = None) -> int:
    """Delete for good what is named, or all. Returns how many bytes that were."""
    freed = 0
    for each in list(contents()):
        if identifiers is None or each.id in identifiers:
            remove_tree(home_folder("trash") / each.id)
            freed += each.bytes
    return freed
