"""Unpack with a program of the machine's, without trusting it: list, unpack into an empty folder, look at what came."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Timer
from typing import IO, cast

from loratory.data.archives.entries import Ask, Entry, EntryKind, Limits, check_cost, make_plan
from loratory.data.archives.kinds import ArchiveError, Kind, is_one_of_several
from loratory.data.archives.tools import Tool, found_for
from loratory.files import bytes_free, remove_tree, temporary_for

LIST_SECONDS = 300.0
SILENT_SECONDS = 300.0
"""A program that has written nothing for so long hangs."""
_LOOK_EVERY_SECONDS = 0.25
_MOST_WORDS = 1 << 20
"""Bytes of a program's complaints that are looked at."""
_INSTALL = {
    "rar": "unar, RARLAB's unrar or libarchive's bsdtar; Debian's 7-Zip reads no rar",
    "7z": "7-Zip (7zz), unar or libarchive's bsdtar", "zip": "7-Zip (7zz), unar or libarchive's bsdtar", "tar": "tar",
}  # fmt: skip
_TELL_NOTHING = ("(null)", "Error exit delayed from previous errors.", "Extraction to directory")
"""How lines of bsdtar's and unar's begin that only say that there was something."""
_EMPTY = "it finds nothing in it"


class _Unable(Exception):
    """One program cannot do it, and why; another one may."""


@contextmanager
def opened(archive: Path, kind: Kind, folder: Path, limits: Limits, ask: Ask) -> Iterator[Reader]:
    """Unpacks into a temporary folder in `folder`, which is gone when the block ends. Raises ArchiveError."""
    if is_one_of_several(archive):
        raise ArchiveError(
            "This is one part of an archive in several parts, which are not put together here; unpack it on your "
            "machine, or pack the files as one .zip.", "in_parts",
        )  # fmt: skip
    tools = found_for(kind)
    if not tools:
        raise ArchiveError(
            f"This {kind} archive needs a program that is not on this machine; install {_INSTALL[kind]}, "
            "or pack the files as .zip.", "no_unpacker",
        )  # fmt: skip
    raw = temporary_for(folder / kind)
    try:
        yield _unpacked(tools, archive, kind, raw, limits, ask)
    finally:
        remove_tree(raw)


def _unpacked(
    tools: list[tuple[Tool, str, str]], archive: Path, kind: Kind, raw: Path, limits: Limits, ask: Ask
) -> Reader:
    """By the first program that can: a 7-Zip without rar's methods, say, lists an archive and unpacks empty files."""
    reasons: dict[str, str] = {}
    for tool, lister, unpacker in tools:
        try:
            return _unpacked_by(tool, lister, unpacker, archive, raw, limits, ask)
        except _Unable as error:
            remove_tree(raw)
            reasons[Path(unpacker).name] = str(error)
    if set(reasons.values()) == {_EMPTY}:
        raise ArchiveError("The archive holds no files that can be taken.", "empty")
    said = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    raise ArchiveError(
        f"This {kind} archive cannot be unpacked here ({said}). Where it is whole, another program may help "
        f"({_INSTALL[kind]}); or pack the files as .zip."
    )


def _unpacked_by(tool: Tool, lister: str, unpacker: str, archive: Path, raw: Path, limits: Limits, ask: Ask) -> Reader:
    listed = _list(tool, lister, archive, limits)
    if not listed:
        raise _Unable(_EMPTY)
    plan = make_plan(listed, limits)
    if unsafe := next((each for each in plan.left_out if each.reason.startswith("its path")), None):
        raise ArchiveError(f"{unsafe.name!r} in the archive is not safe: {unsafe.reason}; pack it anew.", "unsafe")
    total = sum(each.size for each in listed if each.kind == "file")
    check_cost(len(listed), total, archive.stat().st_size, limits, bytes_free(raw.parent))
    raw.mkdir()
    command = [unpacker, *tool.unpack_arguments(str(archive.absolute()), str(raw.absolute()))]
    code, said = _run(command, raw, total, ask)
    if code != 0 and code not in tool.warnings:
        complaints = [line for line in said.splitlines() if line.strip()]
        is_whole = 0 < len(said) < _MOST_WORDS
        if not is_whole or not all(tool.forgiven and tool.forgiven.match(line) for line in complaints):
            raise _failure(said, unpacker, archive)
    return Reader(raw, _what_came(raw, listed))


class Reader:
    """What a program unpacked. Each file is removed when it has been copied, so that nothing lies there twice."""

    def __init__(self, raw: Path, entries: list[Entry]) -> None:
        self._raw, self.entries = raw, entries
        self.notes: list[str] = []

    def files(self, wanted: dict[int, str]) -> Iterator[tuple[int, Callable[[], IO[bytes]]]]:
        """Each wanted entry with what opens it."""
        for number in wanted:
            path = self._raw / self.entries[number].name
            yield number, partial(cast("Callable[[str], IO[bytes]]", path.open), "rb")
            path.unlink()


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C.UTF-8"}


def _list(tool: Tool, program: str, archive: Path, limits: Limits) -> list[Entry]:
    command = [program, *tool.list_arguments(str(archive.absolute()))]
    with tempfile.TemporaryFile() as errors, subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=_environment(),
        encoding="utf-8", errors="surrogateescape",
    ) as process:  # fmt: skip
        timer = Timer(LIST_SECONDS, process.kill)
        timer.start()
        try:
            assert process.stdout is not None
            found = list(islice(tool.read(process.stdout), limits.most_files + 1))
            check_cost(len(found), 0, 1, limits, 1)
        except ArchiveError:
            process.kill()
            raise
        except (ValueError, KeyError) as error:
            process.kill()
            raise _Unable("it gave a list that is not understood") from error
        finally:
            timer.cancel()
        code = process.wait()
        errors.seek(0)
        said = errors.read(_MOST_WORDS).decode("utf-8", "replace")
    if code != 0:
        raise _failure(said, program, archive)
    return found


def _failure(said: str, program: str, archive: Path) -> ArchiveError | _Unable:
    if any(word in said.lower() for word in ("password", "encrypted", "passphrase")):
        return ArchiveError("The archive is protected by a password; pack it without one.", "encrypted")
    for prefix in (program, Path(program).name):
        said = said.replace(f"{prefix}: ", "")
    lines = [line.strip() for line in said.replace(str(archive.absolute()), archive.name).splitlines()]
    lines = [line for line in lines if line and not line.startswith(_TELL_NOTHING)]
    telling = [line for line in lines if any(word in line.lower() for word in ("error:", "failed", "unsupported"))]
    return _Unable(", ".join((telling or lines)[:2])[:200] or "it gave no reason")


def _run(command: list[str], raw: Path, total: int, ask: Ask) -> tuple[int, str]:
    """Unpack, and end the program where it writes more than was listed, hangs, or `ask` raises. Its exit code, and what
    it said."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, env=_environment(), cwd=raw
        )
        try:
            _watch(process, raw, total, ask)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
        said.seek(0)
        return process.returncode, said.read(_MOST_WORDS).decode("utf-8", "replace")


def _watch(process: subprocess.Popen[bytes], raw: Path, total: int, ask: Ask) -> None:
    before, changed, pause = -1, time.monotonic(), _LOOK_EVERY_SECONDS
    while True:
        try:
            process.wait(pause)
            ended = True
        except subprocess.TimeoutExpired:
            ended = False
        start = time.monotonic()
        written = _bytes_below(raw)
        pause = max(_LOOK_EVERY_SECONDS, 10 * (time.monotonic() - start))
        if written > total + total // 16 + (1 << 20):
            raise ArchiveError("The archive becomes larger than its own list says.", "bomb")
        ask(min(written, total), total)
        if ended:
            return
        if written != before:
            before, changed = written, time.monotonic()
        elif time.monotonic() - changed > SILENT_SECONDS:
            raise _Unable("it hung, and was ended")


def _bytes_below(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(parent) / name).lstat().st_size
            except FileNotFoundError:  # a temporary of the program's
                continue
    return total


def _what_came(raw: Path, listed: list[Entry]) -> list[Entry]:
    """Everything below the folder, links not followed, and what was listed and is no file. Raises _Unable where a
    listed file is not there whole."""
    found: dict[str, os.stat_result] = {}
    for parent, folders, names in os.walk(raw):
        for name in [*names, *(each for each in folders if (Path(parent) / each).is_symlink())]:
            path = Path(parent) / name
            found[path.relative_to(raw).as_posix()] = path.lstat()
    names_here = Counter((status.st_dev, status.st_ino) for status in found.values())
    links = {each.name for each in listed if each.kind == "link"}  # 7-Zip leaves an empty file for a link it distrusts
    came: dict[str, Entry] = {}
    for relative, status in found.items():
        kind: EntryKind = "file" if stat.S_ISREG(status.st_mode) else "special"
        leads_out = status.st_nlink > names_here[status.st_dev, status.st_ino]
        if stat.S_ISLNK(status.st_mode) or leads_out or relative in links:
            kind = "link"
        came[relative] = Entry(relative, status.st_size, kind)
    sizes = Counter(each.size for each in listed if each.kind == "file")
    arrived = Counter(each.size for each in came.values() if each.kind == "file")
    # By sizes and not by names: programs change names that the system does not take.
    if sizes != arrived:
        raise _Unable(f"of {sizes.total()} files {(sizes & arrived).total()} came out whole")
    return [*came.values(), *(each for each in listed if each.kind in ("link", "special") and each.name not in came)]
