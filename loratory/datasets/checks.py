"""What may be wrong with a dataset: one list for each kind of finding, with counts.

Most of it is known from the catalogue. Duplicates, look-alikes and blur need every picture's content: `examine` reads
them in the background and keeps what it found; until it has ended, the lists hold what is known so far.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from loratory.data.columns import load_columns, save_columns
from loratory.data.images import BrokenImage, decode_small
from loratory.data.scan import Progress, content_hash
from loratory.datasets import near
from loratory.datasets.catalogue import Catalogue
from loratory.datasets.library import Dataset

Kind = Literal[
    "broken", "too_small", "duplicates", "look_alikes", "blurred", "no_caption", "empty_caption", "same_caption",
    "unreadable_caption", "odd_files",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)
FROM_CONTENT: frozenset[Kind] = frozenset({"duplicates", "look_alikes", "blurred"})
"""Kinds that need `examine`."""

_LOOKED_AT_SIDE = 256
_COLUMNS = ("path", "size", "mtime_ns", "hash", "print", "colour", "sharpness")
_AT_ONCE = 64
_SAVED_EVERY = 2000
_READERS = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """Pictures (or files) that share something: one that is broken, or several alike. `reason` may be empty."""

    items: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What counts as a finding. smallest_side: pixels; bits: of 64 that look-alikes may differ in."""

    smallest_side: int = 512
    bits: int = 5
    sharpness: float = 40.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What the content of one picture says: hash of the bytes, fingerprint, mean colour, sharpness."""

    size: int
    mtime_ns: int
    hash: str
    print: int
    colour: int
    sharpness: float


class Examined:
    """What is known of the contents of a dataset's pictures, kept in a file."""

    def __init__(self, dataset: Dataset) -> None:
        self._path = dataset.cache / "facts.json"
        self._root = dataset.path
        self._lock = threading.Lock()
        rows = load_columns(self._path, dataset.path, _COLUMNS)
        self.version = 0
        """Grows when so much more is known that lists are worth making anew."""
        self.made: dict[Kind, tuple[object, list[Finding]]] = {}
        self._facts = {
            path: Facts(size, mtime_ns, digest, int(bits, 16), colour, sharp)
            for path, (size, mtime_ns, digest, bits, colour, sharp) in rows.items()
        }

    def of(self, catalogue: Catalogue, number: int) -> Facts | None:
        """What is known of a picture as it is now."""
        facts = self._facts.get(catalogue.paths[number])
        if facts is None or (facts.size, facts.mtime_ns) != (catalogue.bytes[number], catalogue.mtimes[number]):
            return None
        return facts

    def missing(self, catalogue: Catalogue) -> list[int]:
        """The pictures that nothing is known of."""
        return [number for number in range(len(catalogue)) if self.of(catalogue, number) is None]

    def examine(self, catalogue: Catalogue, progress: Progress) -> None:
        """Read what is not known. It may be stopped by an error in progress(done, total) and gone on with later."""
        numbers = self.missing(catalogue)
        parts = [numbers[start : start + _AT_ONCE] for start in range(0, len(numbers), _AT_ONCE)]
        done = len(catalogue) - len(numbers)
        unsaved = 0
        pool = ThreadPoolExecutor(_READERS)
        try:
            progress(done, len(catalogue))
            for part, found in zip(parts, pool.map(lambda part: self._read(catalogue, part), parts), strict=True):
                with self._lock:
                    self._facts.update(found)
                done, unsaved = done + len(part), unsaved + len(part)
                if unsaved >= _SAVED_EVERY:
                    self.save(catalogue)
                    unsaved = 0
                progress(done, len(catalogue))
        finally:
            pool.shutdown(cancel_futures=True)
            self.save(catalogue)

    def save(self, catalogue: Catalogue) -> None:
        """Keep what is known of the pictures that are there."""
        self.version += 1
        with self._lock:
            rows = [
                (path, each.size, each.mtime_ns, each.hash, f"{each.print:016x}", each.colour, each.sharpness)
                for path, each in self._facts.items()
                if path in catalogue.number
            ]
        save_columns(self._path, self._root, _COLUMNS, rows)

    def _read(self, catalogue: Catalogue, numbers: Sequence[int]) -> dict[str, Facts]:
        found = {}
        for number in numbers:
            path = self._root / catalogue.paths[number]
            size, mtime_ns = int(catalogue.bytes[number]), int(catalogue.mtimes[number])
            found[catalogue.paths[number]] = _facts(path, size, mtime_ns)
        return found


def _facts(path: Path, size: int, mtime_ns: int) -> Facts:
    """One that cannot be read has no hash: it is among the broken ones, or gone."""
    try:
        digest = content_hash(path)
        pixels = decode_small(path, _LOOKED_AT_SIDE)
    except (OSError, BrokenImage):
        return Facts(size, mtime_ns, "", 0, 0, -1.0)
    if min(pixels.shape[:2]) < 9:
        pixels = np.repeat(np.repeat(pixels, 9, axis=0), 9, axis=1)
    return Facts(size, mtime_ns, digest, near.fingerprint(pixels), near.mean_colour(pixels),
                 round(near.sharpness(pixels), 3))  # fmt: skip


def findings(kind: Kind, catalogue: Catalogue, examined: Examined, limits: Thresholds) -> list[Finding]:
    """All findings of one kind. They are kept until the dataset or what is known of it changes."""
    state = (catalogue.serial, catalogue.revision, examined.version, limits)
    kept = examined.made.get(kind)
    if kept is None or kept[0] != state:
        kept = examined.made[kind] = (state, _FINDERS[kind](catalogue, examined, limits))
    return kept[1]


def _broken(catalogue: Catalogue, examined: Examined, limits: Thresholds) -> list[Finding]:
    damaged = [
        Finding((path,), "Its pixels cannot be decoded; replace it or remove it.")
        for number, path in enumerate(catalogue.paths)
        if (facts := examined.of(catalogue, number)) is not None and not facts.hash
    ]
    return [Finding((each.path,), each.message) for each in catalogue.problems] + damaged


def _too_small(catalogue: Catalogue, examined: Examined, limits: Thresholds) -> list[Finding]:
    sides = catalogue.sizes.min(axis=1) if len(catalogue) else np.zeros(0)
    return [
        Finding((catalogue.paths[number],), "{}x{} pixels".format(*catalogue.sizes[number]))
        for number in np.flatnonzero(sides < limits.smallest_side)
    ]


def _duplicates(catalogue: Catalogue, examined: Examined, limits: Thresholds) -> list[Finding]:
    found: dict[str, list[str]] = {}
    for number, path in enumerate(catalogue.paths):
        facts = examined.of(catalogue, number)
        if facts is not None and facts.hash:
            found.setdefault(facts.hash, []).append(path)
    return [Finding(tuple(paths), "the same bytes") for paths in found.values() if len(paths) > 1]


def _look_alikes(catalogue: Catalogue, examined: Examined, limits: Thresholds) -> list[Finding]:
    known: dict[str, tuple[int, Facts]] = {}
    for number in range(len(catalogue)):
        facts = examined.of(catalogue, number)
        if facts is not None and facts.hash:
            known.setdefault(facts.hash, (number, facts))  # the same bytes are duplicates, not look-alikes
    numbers = [number for number, _ in known.values()]
    prints = np.array([facts.print for _, facts in known.values()], dtype=np.uint64)
    colours = np.array([facts.colour for _, facts in known.values()], dtype=np.int64)
    return [
        Finding(tuple(catalogue.paths[numbers[place]] for place in group), "nearly the same picture")
        for group in near.groups(prints, colours, limits.bits)
    ]


def _blurred(catalogue: Catalogue, examined: Examined, limits: Thresholds) -> list[Finding]:
    found = []
    for number, path in enumerate(catalogue.paths):
        facts = examined.of(catalogue, number)
        if facts is not None and 0 <= facts.sharpness < limits.sharpness:
            found.append((facts.sharpness, path))
    return [Finding((path,), f"sharpness {value:g}") for value, path in sorted(found)]


def _captions(test: Callable[[Catalogue, int], str | None]) -> Callable[..., list[Finding]]:
    def find(catalogue: Catalogue, examined: Examined, limits: Thresholds) -> list[Finding]:
        reasons = ((path, test(catalogue, number)) for number, path in enumerate(catalogue.paths))
        return [Finding((path,), reason) for path, reason in reasons if reason is not None]

    return find


def _no_caption(catalogue: Catalogue, number: int) -> str | None:
    return "" if catalogue.captions[number].path is None else None


def _empty_caption(catalogue: Catalogue, number: int) -> str | None:
    caption = catalogue.captions[number]
    return "" if caption.path is not None and caption.reading.text is not None and not caption.reading.text.strip() \
        else None  # fmt: skip


def _unreadable(catalogue: Catalogue, number: int) -> str | None:
    caption = catalogue.captions[number]
    return f"{caption.path} {caption.reading.problem}." if caption.reading.problem else None


def _same_caption(catalogue: Catalogue, examined: Examined, limits: Thresholds) -> list[Finding]:
    """Captions of the same words, in whatever order, case and punctuation."""
    found: dict[tuple[str, ...], list[str]] = {}
    for number, path in enumerate(catalogue.paths):
        words = tuple(sorted(re.findall(r"[^\W_]+", catalogue.text(number).casefold())))
        if words:
            found.setdefault(words, []).append(path)
    return [Finding(tuple(paths), "the same words") for paths in found.values() if len(paths) > 1]


def _odd_files(catalogue: Catalogue, examined: Examined, limits: Thresholds) -> list[Finding]:
    return [Finding((path,), _why_odd(path, catalogue)) for path in catalogue.odd]


def _why_odd(path: str, catalogue: Catalogue) -> str:
    suffix = path.rpartition(".")[2].lower()
    if suffix in {"txt", "caption", "cap", "json"}:
        return "A caption without a picture, or a second one."
    if suffix in {"gif", "tif", "tiff", "avif", "heic", "heif", "jxl", "jfif"}:
        return "A picture of a kind that is not trained on; convert it to JPEG, PNG or WebP."
    if suffix in {"zip", "tar", "gz", "tgz", "rar", "7z"}:
        return "An archive; unpack it to use what is in it."
    return "Neither a picture nor a caption; training does not read it."


_FINDERS: dict[Kind, Callable[[Catalogue, Examined, Thresholds], list[Finding]]] = {
    "broken": _broken, "too_small": _too_small, "duplicates": _duplicates, "look_alikes": _look_alikes,
    "blurred": _blurred, "no_caption": _captions(_no_caption), "empty_caption": _captions(_empty_caption),
    "same_caption": _same_caption, "unreadable_caption": _captions(_unreadable), "odd_files": _odd_files,
}  # fmt: skip


def quick_problems(catalogue: Catalogue) -> int:
    """How many pictures and captions cannot be used, for a card in the library."""
    return len(catalogue.problems) + sum(bool(each.reading.problem) for each in catalogue.captions)


def count(found: Iterable[Finding]) -> int:
    """How many pictures or files are named."""
    return sum(len(each.items) for each in found)
