"""Folders that clients may look into and change: the home's datasets, output and models, and those of the settings."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loratory.datasets.library import ITSELF, Dataset
from loratory.runs import home_folder
from loratory.server.paths import inside, new_inside, parts_of
from loratory.server.problems import Refused


@dataclass(frozen=True, slots=True)
class Root:
    """A folder with an id that clients send together with a path relative to it."""

    id: str
    path: Path

    def find(self, relative: str) -> Path:
        """The path of something in it; "" is the folder itself. Raises Refused for what leads out or is not there."""
        found = inside(self.path, relative) if relative else self.path.resolve()
        if not found.exists():
            raise Refused(404, "no_file", f"There is no {relative!r} in {self.id}; look at its folder again.")
        return found

    def entry(self, relative: str) -> Path:
        """The path of something in it that is to be changed: a link is that link, wherever it leads. Raises Refused."""
        parts = parts_of(relative)
        if not parts:
            raise Refused(400, "bad_path", "The root folder itself stays as it is; name something in it.")
        found = self.find("/".join(parts[:-1])) / parts[-1]
        if not os.path.lexists(found):
            raise Refused(404, "no_file", f"There is no {relative!r} in {self.id}; look at its folder again.")
        return found

    def new(self, relative: str) -> Path:
        """The path of something to be made in it. Raises Refused."""
        return new_inside(self.path, relative)

    def name(self, path: Path) -> str:
        """The path relative to this root, with slashes, as clients know it; "" for the root itself."""
        relative = path.relative_to(self.path.resolve()).as_posix()
        return "" if relative == "." else relative


def all_roots(extra: Sequence[Path] = ()) -> list[Root]:
    """Those of the home, then `extra`, whose ids are made from their paths."""
    home = [Root("datasets", home_folder("datasets")), Root("output", home_folder("output"))]
    others = [Root(f"x{hashlib.sha256(str(path).encode()).hexdigest()[:12]}", path) for path in extra]
    return [*home, Root("models", home_folder("models")), *others]


def place_of(dataset: Dataset, extra: Sequence[Path] = ()) -> tuple[Root, str]:
    """The root of a dataset, and its path relative to that, "" for the root itself."""
    root = next(root for root in all_roots(extra) if root.path.expanduser().resolve() == dataset.root.path)
    return root, "" if dataset.relative == ITSELF else dataset.relative


def find_root(identifier: str, extra: Sequence[Path] = ()) -> Root:
    """One of them. Raises Refused."""
    for root in all_roots(extra):
        if root.id == identifier:
            return root
    raise Refused(404, "no_root", f"There is no root folder {identifier!r}; ask for the list of roots.")
