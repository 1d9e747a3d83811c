"""Which checkpoints are whole, and how the oldest are deleted."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loratory.files import delete_whole, write_json

MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A whole checkpoint: the number of steps done, and its folder."""

    step: int
    path: Path


def write_manifest(folder: Path) -> None:
    """Note the size in bytes of every file of a filled checkpoint folder, so that a torn copy is told from it."""
    sizes = {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / MANIFEST_FILE
    }
    write_json(folder / MANIFEST_FILE, {"files": sizes})


def is_whole_checkpoint(folder: Path) -> bool:
    """True when every file that the manifest names is there with its size; the contents are not read."""
    try:
        sizes = json.loads((folder / MANIFEST_FILE).read_bytes())["files"]
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, AttributeError):
        return False


def keep_last(paths: Sequence[Path], count: int) -> list[Path]:
    """Delete all but the last `count` of files or checkpoint folders, given oldest first; returns what was deleted.

    The newest always stays, and so does the newest whole checkpoint when none of the kept ones is whole. An
    interrupted deletion leaves nothing under the old name. Raises ValueError for a count below 1.
    """
    if count < 1:
        raise ValueError(f"keep_last needs a count of at least 1, not {count}")
    kept, doomed = list(paths[-count:]), list(paths[:-count])
    if not any(_is_whole(path) for path in kept):
        spared = next((path for path in reversed(doomed) if _is_whole(path)), None)
        doomed = [path for path in doomed if path != spared]
    deleted = []
    for path in doomed:
        try:
            delete_whole(path)
        except FileNotFoundError:
            continue  # a person was faster
        deleted.append(path)
    return deleted


def _is_whole(path: Path) -> bool:
    return is_whole_checkpoint(path) if path.is_dir() else path.is_file()
