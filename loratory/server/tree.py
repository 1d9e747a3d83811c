"""What can be done to files and folders in a root: list, make, copy, move, delete, edit as text, download as a zip."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import stat
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from loratory import trash
from loratory.data.safe_names import folded, numbered
from loratory.files import bytes_free, new_folder, patiently, remove_tree, temporary_for, write_atomic
from loratory.runs.lock import is_held
from loratory.runs.status import LOCK_FILE, STATUS_FILE
from loratory.server.problems import Refused

Clash = Literal["refuse", "number"]
Sort = Literal["name", "size", "time"]

MOST_TEXT_BYTES = 2 << 20
_PIECE = 1 << 20
_ZIP64_FROM = 1 << 30
_DIGITS = re.compile(r"(\d+)")
_changing = threading.Lock()


@dataclass(frozen=True, slots=True)
class Found:
    """A file or folder. `size` is None for a folder: adding up all that is below it would take long."""

    name: str
    kind: Literal["file", "folder", "link", "other"]
    size: int | None
    modified: str


# Looking


def look(path: Path) -> Found:
    """One of them; a link is not followed."""
    return _found(path.name, path.lstat())


def _found(name: str, status: os.stat_result) -> Found:
    modified = datetime.fromtimestamp(status.st_mtime, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if stat.S_ISDIR(status.st_mode):
        return Found(name, "folder", None, modified)
    kind: Literal["file", "link", "other"] = (
        "file" if stat.S_ISREG(status.st_mode) else "link" if stat.S_ISLNK(status.st_mode) else "other"
    )
    return Found(name, kind, status.st_size, modified)


def _natural(name: str) -> list[tuple[int, int, str]]:
    """dog2 before dog10."""
    pieces = _DIGITS.split(name.casefold())
    return [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces if piece]


def _order(entry: os.DirEntry[str], sort: Sort) -> tuple[object, ...]:
    status = entry.stat(follow_symlinks=False) if sort != "name" else None
    first = 0 if status is None else status.st_size if sort == "size" else status.st_mtime_ns
    return (first, _natural(entry.name), entry.name)


def list_folder(
    folder: Path, start: int, limit: int, sort: Sort = "name", *, descending: bool = False, hidden: bool = False
) -> tuple[list[Found], int]:
    """A page of a folder, folders first, and how many there are in all. Names that are no UTF-8 cannot be asked for,
    and are left out, as are names with a dot in front unless `hidden`."""
    if not folder.is_dir():
        raise Refused(409, "no_folder", f"{folder.name!r} is no folder; ask for its content instead.")
    with os.scandir(folder) as listing:
        entries = [each for each in listing if (hidden or not each.name.startswith(".")) and _sayable(each.name)]
    for each in entries:
        if sort != "name":
            each.stat(follow_symlinks=False)
    entries.sort(key=lambda each: _order(each, sort), reverse=descending)
    entries.sort(key=lambda each: not each.is_dir(follow_symlinks=False))
    page = [_found(each.name, each.stat(follow_symlinks=False)) for each in entries[start : start + limit]]
    return page, len(entries)


def _sayable(name: str) -> bool:
    return not any("\ud800" <= sign <= "\udfff" for sign in name)


# Changing


def check_free(root: Path, path: Path) -> None:
    """Raises Refused where a run that is at work owns the path, or something below it."""
    check_free_above(root, path)
    if path.is_dir():
        for parent, _, names in os.walk(path):
            if LOCK_FILE in names:
                _check_run(Path(parent))


def check_free_above(root: Path, path: Path) -> None:
    """Raises Refused where a run that is at work owns the path."""
    for folder in (path, *path.parents):
        _check_run(folder)
        if folder == root.resolve():
            break


def _check_run(folder: Path) -> None:
    lock = folder / LOCK_FILE
    if (folder / STATUS_FILE).is_file() and lock.is_file() and is_held(lock):
        raise Refused(
            409, "run_active", f"The run {folder.name!r} is at work, and its files stay as they are; stop it first."
        )


def make_folder(path: Path) -> None:
    """Raises Refused where something has that name."""
    if os.path.lexists(path):
        raise _exists(path)
    path.mkdir(parents=True)


def _exists(path: Path) -> Refused:
    return Refused(409, "exists", f"{path.name!r} is there already; take another name, or delete it first.")


def free_name(path: Path, clash: Clash) -> Path:
    """The path itself, or with a number behind its name. Raises Refused where it is taken and may not be numbered."""
    if not os.path.lexists(path):
        return path
    if clash == "refuse":
        raise _exists(path)
    number = 2
    while os.path.lexists(found := path.with_name(numbered(path.name, number))):
        number += 1
    return found


def move(source: Path, target: Path, clash: Clash = "refuse") -> Path:
    """Rename to `target`, on the same disk. Raises Refused."""
    _not_into_itself(source, target)
    with _changing:
        # A change of case only is no clash on a disk that ignores case.
        same = folded(str(source)) == folded(str(target)) and target.exists() and source.samefile(target)
        final = target if same else free_name(target, clash)
        if source.lstat().st_dev != target.parent.stat().st_dev:
            raise Refused(
                409,
                "other_disk",
                f"{source.name!r} would have to go to another disk; copy it there, then delete it here.",
            )
        patiently(lambda: source.rename(final))
    return final


def _not_into_itself(source: Path, target: Path) -> None:
    if source in target.parents:
        raise Refused(409, "into_itself", f"{source.name!r} cannot be put into itself; choose another folder.")
    if not target.parent.is_dir():
        raise Refused(404, "no_folder", f"There is no folder {target.parent.name!r}; make it first.")


def copy(source: Path, target: Path, clash: Clash, told: Callable[[int], None]) -> tuple[Path, int]:
    """Copy a file or a folder; it appears whole. Links in it are left out. `told(bytes)` may raise to end it.

    Returns where it lies and how many bytes it has. Raises Refused, DiskFull.
    """
    _not_into_itself(source, target)
    final = free_name(target, clash)
    size = trash.size_of(source)
    if (free := bytes_free(final)) < size:
        raise Refused(507, "disk_full", f"{source.name!r} has {size / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free.")
    done = 0

    def one(old: str, new: str) -> None:
        nonlocal done
        with Path(old).open("rb") as stream, Path(new).open("xb") as fresh:
            while data := stream.read(_PIECE):
                fresh.write(data)
                done += len(data)
                told(done)
        shutil.copystat(old, new)

    if not source.is_dir():
        temporary = temporary_for(final)
        try:
            one(str(source), str(temporary))
            with _changing:
                final = free_name(target, clash)
                patiently(lambda: temporary.rename(final))
        finally:
            remove_tree(temporary)
        return final, done
    with new_folder(final) as folder:
        for parent, names, files in os.walk(source):
            below = folder / Path(parent).relative_to(source)
            for name in (each for each in names if not (Path(parent) / each).is_symlink()):
                (below / name).mkdir()
            for name in files:
                if stat.S_ISREG((Path(parent) / name).lstat().st_mode):
                    one(str(Path(parent) / name), str(below / name))
    return final, done


# Texts


def version_of(data: bytes) -> str:
    """What an edit is based on."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def read_text(path: Path) -> tuple[str, str]:
    """Text and version. Raises Refused for what is too long, or no text."""
    if not path.is_file():
        raise Refused(409, "no_text", f"{path.name!r} is no file; choose one.")
    with path.open("rb") as stream:
        data = stream.read(MOST_TEXT_BYTES + 1)
    if len(data) > MOST_TEXT_BYTES:
        raise Refused(413, "too_long", f"{path.name!r} has more than {MOST_TEXT_BYTES >> 20} MiB; download it instead.")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(415, "no_text", f"{path.name!r} is no UTF-8 text; download it instead.") from error
    if "\0" in text:
        raise Refused(415, "no_text", f"{path.name!r} holds other bytes than text; download it instead.")
    return text, version_of(data)


def write_text(path: Path, text: str, based_on: str | None) -> str:
    """Write and return the new version. `based_on`: the version that was edited, None for a new file.

    Raises Refused with the text that is there now where that is another one.
    """
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Refused(400, "no_text", "The text holds half of a sign (a lone surrogate); remove it.") from error
    if len(data) > MOST_TEXT_BYTES:
        raise Refused(413, "too_long", f"The text has more than {MOST_TEXT_BYTES >> 20} MiB; upload it as a file.")
    with _changing:
        if path.exists():
            now, version = read_text(path)
            if version != based_on:
                raise Refused(
                    409, "stale", f"{path.name!r} was changed in the meantime; look at both texts and save again.",
                    text=now, version=version,
                )  # fmt: skip
        elif based_on is not None:
            raise Refused(409, "stale", f"{path.name!r} was deleted in the meantime; save it as a new file.", text=None)
        write_atomic(path, data)
    return version_of(data)


# Downloads


class _Pipe(io.RawIOBase):
    """Where zipfile writes to; what it wrote is taken away again and again."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """All since the last time."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def zip_stream(paths: list[Path]) -> Iterator[bytes]:
    """A zip of files and folders, made while it is sent: nothing is written to the disk, and a few MiB are held.

    Nothing is packed tighter: pictures and weights hardly become smaller. Links are left out, and what somebody deletes
    before its turn.
    """
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
        for path in paths:
            for file in _files(path):
                name = file.relative_to(path.parent).as_posix()
                try:
                    info = zipfile.ZipInfo.from_file(file, name, strict_timestamps=False)
                    stream = file.open("rb")
                except FileNotFoundError:
                    continue
                large = info.file_size >= _ZIP64_FROM
                with stream, archive.open(info, "w", force_zip64=large) as entry:
                    while data := stream.read(_PIECE):
                        entry.write(data)
                        yield pipe.take()
                yield pipe.take()
    yield pipe.take()


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for parent, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            with suppress(FileNotFoundError):
                if not name.startswith(".") and _sayable(name) and stat.S_ISREG((Path(parent) / name).lstat().st_mode):
                    yield Path(parent) / name
