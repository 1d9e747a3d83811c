"""The library: which folders are datasets, and making, renaming and deleting them."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from loratory.data.scan import PICTURE_SUFFIXES, SKIPPED_NAMES
from loratory.datasets.errors import NotThere, Taken
from loratory.errors import UserError
from loratory.files import declare_points, reached, remove_tree, write_text
from loratory.runs import check_name, home_folder
from loratory.trash import Trashed, to_trash

declare_points("dataset", steps=("before_rename", "after_rename"))
declare_points("dataset_note")

HOME_ROOT = "home"
ITSELF = "."
"""The relative path of a dataset that is its root itself."""

_MOVED = "moved_to"
_KOHYA_START = "0123456789"


@dataclass(frozen=True, slots=True)
class Root:
    """A folder whose sub-folders are datasets. `id` is `home`, or eight hex digits of the path."""

    id: str
    path: Path


@dataclass(frozen=True, slots=True)
class Dataset:
    """A folder of pictures. `relative` is its path in its root, with "/"."""

    id: str
    root: Root
    relative: str
    path: Path

    @property
    def name(self) -> str:
        """What people call it."""
        return self.path.name

    @property
    def state(self) -> Path:
        """The folder with its history and settings; it may not exist."""
        return home_folder("state") / "datasets" / self.id

    @property
    def cache(self) -> Path:
        """The folder with what was found out about it and can be found out again; it may not exist."""
        return home_folder("cache") / "datasets" / self.id


def dataset_id(root_id: str, relative: str) -> str:
    """Twelve hex digits that stay the same as long as the folder stays where it is."""
    text = os.fsencode(f"{root_id}\0{relative}")
    return hashlib.blake2b(text, digest_size=6).hexdigest()


class Library:
    """The datasets of the home's `datasets` folder and of other roots. Nothing is remembered: the folders are asked."""

    def __init__(self, roots: Sequence[Path] = ()) -> None:
        """roots: further folders of datasets, or datasets themselves. One that is missing has none."""
        self._extra = tuple(roots)

    def roots(self) -> list[Root]:
        """All roots, the home first; a folder that is named twice counts once."""
        home = Root(HOME_ROOT, home_folder("datasets").resolve())
        found = {home.path: home}
        for path in self._extra:
            real = path.expanduser().resolve()
            key = hashlib.blake2b(os.fsencode(real), digest_size=4).hexdigest()
            found.setdefault(real, Root(key, real))
        return list(found.values())

    def all(self) -> list[Dataset]:
        """Every dataset, by root and name."""
        return [dataset for root in self.roots() for dataset in self._of(root)]

    def find(self, identifier: str) -> Dataset:
        """One dataset. Raises NotThere."""
        for dataset in self.all():
            if dataset.id == identifier:
                return dataset
        raise NotThere(f"There is no dataset {identifier}; it was deleted, renamed, or its disk is not there.")

    def create(self, name: str, root_id: str = HOME_ROOT) -> Dataset:
        """Make an empty dataset. Raises UserError for a name that some system would refuse, and Taken."""
        root = self._root(root_id)
        target = root.path / check_name(name, "dataset")
        self.check_free(target)
        target.mkdir(parents=True)
        return _dataset(root, target.name)

    def rename(self, dataset: Dataset, name: str) -> Dataset:
        """Give it another name. Its id changes with it; history and settings go along. Raises as create()."""
        if dataset.relative == ITSELF:
            raise UserError(f"{dataset.path} is a root of its own in the settings; rename the folder there.")
        target = dataset.path.with_name(check_name(name, "dataset"))
        if target == dataset.path:
            return dataset
        self.check_free(target, but=dataset.path)
        renamed = _dataset(dataset.root, target.relative_to(dataset.root.path).as_posix())
        dataset.state.mkdir(parents=True, exist_ok=True)
        write_text(dataset.state / _MOVED, renamed.id, point="dataset_note")
        reached("dataset.before_rename")
        dataset.path.rename(target)
        reached("dataset.after_rename")
        finish_renames(self)
        return renamed

    def delete(self, dataset: Dataset) -> Trashed:
        """Move it to the trash. Its history stays, in case that it is taken back."""
        if dataset.relative == ITSELF:
            raise UserError(f"{dataset.path} is a root of its own in the settings; take it off there.")
        return to_trash(dataset.path, "dataset")

    def check_free(self, target: Path, but: Path | None = None) -> None:
        """Raises Taken where a folder or file of this name is there, in whatever case of letters."""
        wanted = _folded(target.name)
        for entry in target.parent.iterdir() if target.parent.is_dir() else ():
            if _folded(entry.name) == wanted and entry != but:
                raise Taken(f"There is a dataset {entry.name!r} already; choose another name.")

    def _root(self, root_id: str) -> Root:
        for root in self.roots():
            if root.id == root_id:
                return root
        raise NotThere(f"There is no root {root_id!r} for datasets; the settings name {len(self.roots())}.")

    def _of(self, root: Root) -> Iterator[Dataset]:
        folders, pictures, kohya = _look(root.path)
        if root.id != HOME_ROOT and (pictures or kohya):
            yield _dataset(root, ITSELF)
            return
        for name in folders:
            yield _dataset(root, name)


def finish_renames(library: Library) -> None:
    """Let history and settings follow their datasets, also where a process died in the middle of a rename."""
    states = home_folder("state") / "datasets"
    known = {dataset.id for dataset in library.all()}
    for note in states.glob(f"*/{_MOVED}"):
        new = note.read_text(encoding="utf-8")
        if note.parent.name in known or new not in known:
            note.unlink()
            continue
        remove_tree(states / new)  # of a dataset of that name that is gone
        note.parent.rename(states / new)
        (states / new / _MOVED).unlink()


def _dataset(root: Root, relative: str) -> Dataset:
    return Dataset(dataset_id(root.id, relative), root, relative, root.path / relative)


def _look(folder: Path) -> tuple[list[str], bool, bool]:
    """Sub-folders by name; whether pictures lie here; whether all sub-folders are kohya's, such as `10_dog`."""
    folders, pictures = [], False
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith(".") or name in SKIPPED_NAMES or not is_utf8(name):
                    continue
                if entry.is_dir():
                    folders.append(name)
                elif name.rpartition(".")[2].lower() in PICTURE_SUFFIXES:
                    pictures = True
    except OSError:
        # A root on a disk that is not plugged in has no datasets; the others are there all the same.
        return [], False, False
    folders.sort()
    return folders, pictures, bool(folders) and all(name[0] in _KOHYA_START and "_" in name for name in folders)


def is_utf8(name: str) -> bool:
    """Can this name be sent to a browser? (One that is no UTF-8 on the disk cannot.)"""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
