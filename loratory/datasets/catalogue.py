"""What one dataset holds, in columns: quick to list, filter and count at 100,000 pictures, with bounded memory.

A catalogue is made by looking at the folder. Pictures and captions whose size in bytes and time of change are as
remembered are not opened again.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from loratory.data.columns import load_columns, save_columns
from loratory.data.scan import Item, Progress, ScanProblem, scan
from loratory.datasets.caption_files import NO_FILE, NOTHING, Reading, read, read_bytes
from loratory.datasets.library import Dataset, is_utf8
from loratory.errors import UserError

MASK_ENDING = "-masklabel"
MASK_FOLDERS = ("masks", "mask")

_COLUMNS = ("path", "size", "mtime_ns", "version", "text", "problem")
_READERS = 8
_AT_ONCE = 256
_WORTH_SAVING = 0.01
_BYTES_EACH = 1000
_SERIALS = itertools.count()


@dataclass(frozen=True, slots=True)
class Caption:
    """A picture's caption file, or what stands for none (path None)."""

    path: str | None
    size: int
    mtime_ns: int
    reading: Reading


NO_CAPTION = Caption(None, 0, 0, NOTHING)


@dataclass(frozen=True, slots=True)
class FlatTags:
    """All tags of all pictures in a row: `tags[k]` is the place of a tag in the vocabulary, of picture `items[k]`."""

    tags: NDArray[np.int32]
    items: NDArray[np.int32]


class Catalogue:
    """The pictures of one dataset, sorted by path, with their captions. Edits change it in place."""

    def __init__(self, items: Sequence[Item], masks: dict[str, str], problems: Sequence[ScanProblem],
                 odd: Sequence[str]) -> None:  # fmt: skip
        """masks: picture -> its mask. odd: files that are neither pictures nor captions of one."""
        self.paths = [item.path for item in items]
        self.number = {path: number for number, path in enumerate(self.paths)}
        self.sizes = np.array([(item.width, item.height) for item in items], dtype=np.int64).reshape(-1, 2)
        self.bytes = np.array([item.size for item in items], dtype=np.int64)
        self.mtimes = np.array([item.mtime_ns for item in items], dtype=np.int64)
        self.repeats = np.array([item.repeats for item in items], dtype=np.int64)
        self.masks, self.problems, self.odd = masks, tuple(problems), tuple(odd)
        self.captions: list[Caption] = [NO_CAPTION] * len(items)
        self.vocabulary: list[str] = []
        self.serial = next(_SERIALS)
        """Another one for each look at a folder, in this process."""
        self.revision = 0
        """Grows with every edit."""
        self.weight = _BYTES_EACH * len(items)
        """About how much memory this takes, in bytes."""
        self._tag_number: dict[str, int] = {}
        self._tags: list[tuple[int, ...]] = [()] * len(items)
        self._repeating: set[int] = set()
        self._flat: tuple[int, FlatTags] | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.paths)

    def text(self, number: int) -> str:
        """The caption's text; empty where there is none or it cannot be read."""
        return self.captions[number].reading.text or ""

    def tags(self, number: int) -> list[str]:
        """The caption split at commas and line breaks."""
        return [self.vocabulary[tag] for tag in self._tags[number]]

    def item(self, number: int) -> Item:
        """A picture as the scan of training has it."""
        width, height = map(int, self.sizes[number])
        return Item(
            self.paths[number], width, height, self.captions[number].path, int(self.bytes[number]),
            int(self.mtimes[number]), int(self.repeats[number]), "",
        )  # fmt: skip

    def set_caption(self, number: int, caption: Caption) -> None:
        """Enter what a caption file says now."""
        with self._lock:
            self.captions[number] = caption
            tags = tuple(map(self._tag, split_tags(caption.reading.text or "")))
            self._tags[number] = tags
            (self._repeating.add if len(set(tags)) < len(tags) else self._repeating.discard)(number)
            self.revision += 1

    def fill(self, captions: Iterable[Caption]) -> None:
        """Enter all captions, in the order of the pictures."""
        for number, caption in enumerate(captions):
            if caption is not NO_CAPTION:
                self.set_caption(number, caption)
        self.weight += sum(len(caption.reading.text or "") for caption in self.captions)

    def is_as(self, other: Catalogue, captions: Sequence[Caption]) -> bool:
        """Is this what another look at the folder found, too? Captions not read again are the same objects."""
        return (
            (self.paths, self.masks, self.problems, self.odd) == (other.paths, other.masks, other.problems, other.odd)
            and np.array_equal(self.sizes, other.sizes)
            and np.array_equal(self.mtimes, other.mtimes)
            and np.array_equal(self.bytes, other.bytes)
            and np.array_equal(self.repeats, other.repeats)
            and all(one is two for one, two in zip(self.captions, captions, strict=True))
        )

    def flat_tags(self) -> FlatTags:
        """All tags; made anew after edits."""
        with self._lock:
            if self._flat is None or self._flat[0] != self.revision:
                counts = np.fromiter(map(len, self._tags), dtype=np.int32, count=len(self._tags))
                tags = np.fromiter(itertools.chain.from_iterable(self._tags), dtype=np.int32, count=int(counts.sum()))
                items = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
                self._flat = (self.revision, FlatTags(tags, items))
            return self._flat[1]

    def tag_counts(self) -> NDArray[np.int64]:
        """How many pictures have each tag of the vocabulary, at least once."""
        return self.tags_of(np.ones(len(self), dtype=np.bool_))

    def tags_of(self, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        """How many of the chosen pictures have each tag, at least once."""
        flat = self.flat_tags()
        counts = np.bincount(flat.tags[chosen[flat.items]], minlength=len(self.vocabulary)).astype(np.int64)
        for number in self._repeating.copy():
            if chosen[number]:
                for tag, times in Counter(self._tags[number]).items():
                    counts[tag] -= times - 1
        return counts

    def captioned(self) -> NDArray[np.bool_]:
        """Which pictures have a caption with something in it."""
        return np.fromiter((bool(each.reading.text and each.reading.text.strip()) for each in self.captions),
                           dtype=np.bool_, count=len(self))  # fmt: skip

    def _tag(self, tag: str) -> int:
        found = self._tag_number.get(tag)
        if found is None:
            found = self._tag_number[sys.intern(tag)] = len(self.vocabulary)
            self.vocabulary.append(tag)
        return found


def split_tags(text: str) -> list[str]:
    """The tags of a caption, in every line."""
    return [tag for part in text.replace("\n", ",").split(",") if (tag := part.strip())]


def make_catalogue(
    dataset: Dataset, extensions: Sequence[str], before: Catalogue | None = None, progress: Progress | None = None
) -> Catalogue:
    """Look at a dataset's folder. `before` is what was known of it. Raises UserError if the folder is not there."""
    others: dict[str, os.DirEntry[str]] = {}
    index = dataset.cache / "index.json"
    found = scan(
        dataset.path, extensions, index, progress, visit=others.__setitem__, may_be_empty=True
    )  # fmt: skip
    problems = [each for each in found.problems if is_utf8(each.path)]
    unnamed = sum(not is_utf8(path) for path in itertools.chain(others, (item.path for item in found.items)))
    if unnamed:
        problems.append(ScanProblem(".", f"{unnamed} files have names that are no UTF-8; rename them to use them."))
    items = [item for item in found.items if is_utf8(item.path)]
    masks = _masks([item.path for item in items])
    is_mask = set(masks.values())
    items = [item for item in items if item.path not in is_mask]
    used = {item.caption_path for item in items}
    odd = sorted(path for path in others if path not in used and is_utf8(path))
    catalogue = Catalogue(items, masks, problems, odd)
    captions, fresh = _read_captions(dataset, items, others, before)
    if before is not None and before.is_as(catalogue, captions):
        return before
    catalogue.fill(captions)
    if fresh > _WORTH_SAVING * len(items):
        save_captions(dataset, catalogue)
    return catalogue


def _masks(paths: Sequence[str]) -> dict[str, str]:
    """Which pictures are masks of which: OneTrainer's `a-masklabel.png`, and the same name in a folder `masks`."""
    by_stem: dict[str, str] = {}
    for path in paths:
        by_stem.setdefault(path.rpartition(".")[0], path)
    found = {}
    for path in paths:
        stem = path.rpartition(".")[0]
        candidates = [f"{stem}{MASK_ENDING}", *(f"{folder}/{stem}" for folder in MASK_FOLDERS)]
        mask = next((by_stem[each] for each in candidates if each in by_stem), None)
        if mask is not None:
            found[path] = mask
    return found


# --- captions ---


def _read_captions(
    dataset: Dataset, items: Sequence[Item], others: dict[str, os.DirEntry[str]], before: Catalogue | None
) -> tuple[list[Caption], int]:
    """The captions, and how many files had to be read."""
    store = dataset.cache / "captions.json"
    known = _known(store, dataset.path) if before is None else _remembered(before)
    fresh: dict[int, tuple[str, int, int]] = {}
    captions = [NO_CAPTION] * len(items)
    for number, item in enumerate(items):
        path = item.caption_path
        if path is None:
            continue
        try:
            status = others[path].stat()
        except OSError:
            continue  # it went away in the meantime
        row = known.get(path)
        if row is not None and (row.size, row.mtime_ns) == (status.st_size, status.st_mtime_ns):
            captions[number] = row
        else:
            fresh[number] = (path, status.st_size, status.st_mtime_ns)
    numbers = list(fresh)
    for number, caption in zip(numbers, _read_all(dataset.path, [fresh[number] for number in numbers]), strict=True):
        captions[number] = caption
    return captions, len(fresh)


def _read_all(root: Path, wanted: Sequence[tuple[str, int, int]]) -> list[Caption]:
    """Read in a few threads: on slow disks and networks it is mostly waiting."""

    def some(rows: Sequence[tuple[str, int, int]]) -> list[Caption]:
        return [Caption(path, size, mtime, _reading(root / path)) for path, size, mtime in rows]

    parts = [wanted[start : start + _AT_ONCE] for start in range(0, len(wanted), _AT_ONCE)]
    if len(parts) < 2:
        return [caption for part in parts for caption in some(part)]
    with ThreadPoolExecutor(_READERS) as pool:
        return [caption for part in pool.map(some, parts) for caption in part]


def _reading(path: Path) -> Reading:
    try:
        return read(read_bytes(path), path.suffix)
    except UserError as error:
        return Reading(None, NO_FILE, str(error))


def look_again(root: Path, path: str | None) -> Caption:
    """A caption file as it is now."""
    if path is None:
        return NO_CAPTION
    try:
        status = (root / path).stat()
    except FileNotFoundError:
        return NO_CAPTION
    return Caption(path, status.st_size, status.st_mtime_ns, _reading(root / path))


def save_captions(dataset: Dataset, catalogue: Catalogue) -> None:
    """Keep what the caption files say, for the next start of the server."""
    rows = [
        (each.path, each.size, each.mtime_ns, each.reading.version, each.reading.text, each.reading.problem)
        for each in catalogue.captions
        if each.path is not None
    ]
    save_columns(dataset.cache / "captions.json", dataset.path, _COLUMNS, rows)


def _known(store: Path, root: Path) -> dict[str, Caption]:
    return {
        path: Caption(path, size, mtime_ns, Reading(text, version, problem))
        for path, (size, mtime_ns, version, text, problem) in load_columns(store, root, _COLUMNS).items()
    }


def _remembered(before: Catalogue) -> dict[str, Caption]:
    return {caption.path: caption for caption in before.captions if caption.path is not None}


def most_common(catalogue: Catalogue) -> Counter[str]:
    """Tag -> how many pictures have it."""
    counts = catalogue.tag_counts()
    return Counter({tag: int(count) for tag, count in zip(catalogue.vocabulary, counts, strict=True) if count})
