"""All that a server keeps of datasets while it lives: the library, what is in memory, thumbnails, summaries."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from loratory.data.thumbnails import Thumbnails
from loratory.datasets.checks import Examined, quick_problems
from loratory.datasets.edits import finish
from loratory.datasets.errors import NotThere
from loratory.datasets.library import Dataset, Library, finish_renames
from loratory.datasets.shelf import Opened, Shelf
from loratory.errors import UserError
from loratory.files import write_json
from loratory.runs import home_folder

_log = logging.getLogger(__name__)

_PATIENCE_SECONDS = 1.0


def thumbnails_folder() -> Path:
    """Where small pictures are kept."""
    return home_folder("cache") / "thumbs"


class Summary(BaseModel):
    """What a card in the library shows of a dataset. changed_ns: last change of a picture, nanoseconds since 1970."""

    pictures: int
    captioned: int
    problems: int
    bytes: int
    changed_ns: int
    cover: str | None


class Workbench:
    """The datasets of one server."""

    def __init__(self, roots: Callable[[], Sequence[Path]] = tuple, thumbnails: Thumbnails | None = None) -> None:
        """roots: further folders of datasets, asked anew each time, so that a change of settings counts at once."""
        self._roots = roots
        self.shelf, self.thumbnails = Shelf(), thumbnails or Thumbnails(thumbnails_folder())
        self._examined: dict[str, Examined] = {}

    def begin(self) -> None:
        """Finish what an earlier server left half done."""
        finish_renames(self.library)
        for line in finish(self.library):
            _log.warning("%s", line)

    def end(self) -> None:
        """Let nothing begin any more."""
        self.shelf.end()

    @property
    def library(self) -> Library:
        """The datasets on the disk."""
        return Library(self._roots())

    def open(self, identifier: str, seconds: float = 10.0, *, look: bool = False) -> Opened:
        """A dataset by its id. Raises NotThere."""
        return self.shelf.open(self.library.find(identifier), seconds, look=look)

    def examined(self, opened: Opened) -> Examined:
        """What is known of the contents of a dataset's pictures."""
        return self._examined.setdefault(opened.dataset.id, Examined(opened.dataset))

    def forget(self, dataset: Dataset) -> None:
        """A dataset was renamed or deleted."""
        self.shelf.close(dataset)
        self._examined.pop(dataset.id, None)

    def thumbnail(self, opened: Opened, item: str, size: int) -> tuple[Path, str]:
        """A small picture, and a name of its content. Raises NotThere, BrokenImage."""
        opened.number(item)
        try:
            return self.thumbnails.of(opened.dataset.path / item, size)
        except OSError as error:
            raise NotThere(f"The picture {item!r} cannot be read ({error.strerror}); is it still there?") from error

    def summaries(self) -> list[tuple[Dataset, Summary | None]]:
        """All datasets, with what is known of them; None where a first look at a large one is under way."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        found: list[tuple[Dataset, Summary | None]] = []
        for dataset in self.library.all():
            try:
                found.append((dataset, self.summary(dataset, max(0.0, deadline - time.monotonic()))))
            except NotThere:
                continue  # deleted in the meantime
            except UserError as error:
                _log.warning("%s", error)
                found.append((dataset, None))
        return found

    def summary(self, dataset: Dataset, seconds: float) -> Summary | None:
        """What is known of a dataset: now, if that takes no longer than this, else what was known last."""
        kept = _kept_summary(dataset)
        if kept is not None and not self.shelf.has_room(dataset):
            return kept
        opened = self.shelf.open(dataset, 0.0 if kept is not None else seconds)
        if not opened.is_known():
            return kept
        fresh = _summary(opened)
        if fresh != kept:
            dataset.cache.mkdir(parents=True, exist_ok=True)
            write_json(dataset.cache / "summary.json", fresh.model_dump())
        return fresh


def _summary(opened: Opened) -> Summary:
    catalogue = opened.catalogue
    cover = opened.settings.cover
    return Summary(
        pictures=len(catalogue),
        captioned=int(catalogue.captioned().sum()),
        problems=quick_problems(catalogue),
        bytes=int(catalogue.bytes.sum()),
        changed_ns=int(catalogue.mtimes.max()) if len(catalogue) else 0,
        cover=cover if cover in catalogue.number else catalogue.paths[0] if len(catalogue) else None,
    )


def _kept_summary(dataset: Dataset) -> Summary | None:
    path = dataset.cache / "summary.json"
    try:
        return Summary.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        path.unlink(missing_ok=True)
        return None
