"""Unpack an archive into an empty folder: list, plan, check what it costs, and only then write."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Protocol

from loratory.data.archives import external, tars, zips
from loratory.data.archives.entries import Ask, Entry, Limits, Unpacked, check_cost, make_plan, never
from loratory.data.archives.kinds import ArchiveError, kind_of_content
from loratory.files import bytes_free, declare_points, naming_full_disk, reached

declare_points("unpack", steps=("before_write",))

_PIECE = 1 << 20


class Reader(Protocol):
    """An open archive of any kind."""

    entries: list[Entry]
    notes: list[str]

    def files(self, wanted: dict[int, str]) -> Iterator[tuple[int, Callable[[], IO[bytes]]]]:
        """Each wanted entry with what opens it, in the order of the archive."""


def unpack(
    archive: Path, folder: Path, *, limits: Limits | None = None, ask: Ask = never, encoding: str | None = None
) -> Unpacked:
    """Fill `folder`, which is empty, with the archive's files. `ask(done, total)` is told bytes, and may raise to end.

    encoding: of names in zips that do not say theirs; None finds it out. Archives in archives stay packed.
    Raises ArchiveError for one that is damaged, encrypted, too large or of an unknown kind; DiskFull. What was written
    until then is the caller's to remove.
    """
    limits = limits or Limits()
    with naming_full_disk(folder):
        try:
            with _opened(archive, folder, limits, ask, encoding) as reader:
                return _fill(reader, archive, folder, limits, ask)
        except zips.NotReadable:
            with external.opened(archive, "zip", folder, limits, ask) as reader:
                return _fill(reader, archive, folder, limits, ask)


def _opened(
    archive: Path, folder: Path, limits: Limits, ask: Ask, encoding: str | None
) -> AbstractContextManager[Reader]:
    match kind_of_content(archive):
        case "zip":
            return zips.opened(archive, limits, encoding)
        case "tar":
            return tars.opened(archive, limits, ask)
        case None:
            raise ArchiveError("The file is no archive that is known here (zip, tar, rar, 7z); pack it as a zip.")
        case kind:
            return external.opened(archive, kind, folder, limits, ask)


def _fill(reader: Reader, archive: Path, folder: Path, limits: Limits, ask: Ask) -> Unpacked:
    plan = make_plan(reader.entries, limits)
    check_cost(len(plan.targets), plan.bytes, archive.stat().st_size, limits, bytes_free(folder))
    if not plan.targets:
        raise ArchiveError("The archive holds no files that can be taken.", "empty")
    done = Unpacked(renamed=plan.renamed, left_out=plan.left_out, notes=reader.notes)
    made: set[Path] = set()
    for number, open_entry in reader.files(plan.targets):
        target = folder / plan.targets[number]
        if target.parent not in made:
            target.parent.mkdir(parents=True, exist_ok=True)
            made.add(target.parent)
        reached("unpack.before_write")
        with open_entry() as source:
            done.bytes = _copy(source, target, reader.entries[number], done.bytes, plan.bytes, ask)
        done.files.append(plan.targets[number])
    return done


def _copy(source: IO[bytes], target: Path, entry: Entry, before: int, total: int, ask: Ask) -> int:
    """Bytes done after this file. Raises ArchiveError for one that is longer than it says."""
    arrived = 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    with os.fdopen(os.open(target, flags, 0o666), "wb") as copy:
        while data := source.read(_PIECE):
            arrived += len(data)
            if arrived > entry.size:
                raise ArchiveError(f"{entry.name} in the archive is longer than the archive says.", "bomb")
            copy.write(data)
            ask(before + arrived, total)
    if arrived < entry.size:
        raise ArchiveError(f"{entry.name} in the archive was cut off; pack or download it anew.")
    ask(before + arrived, total)
    return before + arrived
