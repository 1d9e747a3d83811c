"""Unpack with a program of the machine's, without trusting it: list, unpack into an empty folder, look at what came."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Timer
from typing import IO, cast

from loratory.data.archives.entries import Ask, Entry, EntryKind, Limits, check_cost, make_plan
from loratory.data.archives.kinds import ArchiveError, Kind
from loratory.data.archives.tools import Tool, found_for
from loratory.files import bytes_free, remove_tree, temporary_for

LIST_SECONDS = 300.0
SILENT_SECONDS = 300.0
"""A program that has written nothing for so long hangs."""
_LOOK_EVERY_SECONDS = 0.25
_INSTALL = {
    "rar": "unrar, 7-Zip (7zz), unar or libarchive's bsdtar", "7z": "7-Zip (7zz), unar or libarchive's bsdtar",
    "zip": "7-Zip (7zz), unar or libarchive's bsdtar", "tar": "tar",
}  # fmt: skip


@contextmanager
def opened(archive: Path, kind: Kind, folder: Path, limits: Limits, ask: Ask) -> Iterator[Reader]:
    """Unpacks into a temporary folder in `folder`, which is gone when the block ends. Raises ArchiveError."""
    tools = found_for(kind)
    if not tools:
        raise ArchiveError(
            f"This {kind} archive needs a program that is not on this machine; install {_INSTALL[kind]}, "
            "or pack the files as .zip.", "no_unpacker",
        )  # fmt: skip
    raw = temporary_for(folder / kind)
    try:
        tool, unpacker, listed = _listed(tools, archive, limits)
        plan = make_plan(listed, limits)
        if unsafe := next((each for each in plan.left_out if each.reason.startswith("its path")), None):
            raise ArchiveError(f"{unsafe.name!r} in the archive is not safe: {unsafe.reason}; pack it anew.", "unsafe")
        total = sum(each.size for each in listed if each.kind == "file")
        check_cost(len(listed), total, archive.stat().st_size, limits, bytes_free(folder))
        raw.mkdir()
        _run([unpacker, *tool.unpack_arguments(str(archive.absolute()), str(raw.absolute()))], raw, total, ask)
        yield Reader(raw, _what_came(raw, listed))
    finally:
        remove_tree(raw)


def _listed(tools: list[tuple[Tool, str, str]], archive: Path, limits: Limits) -> tuple[Tool, str, list[Entry]]:
    """The first tool that can list the archive: a 7-Zip without rar, say, leaves it to the next one."""
    for number, (tool, lister, unpacker) in enumerate(tools, 1):
        try:
            return tool, unpacker, _list(tool, lister, archive, limits)
        except ArchiveError as error:
            if number == len(tools) or error.code != "bad_archive":
                raise
    raise AssertionError("there is at least one tool")


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
            raise ArchiveError(f"{Path(program).name} gave a list that is not understood.") from error
        finally:
            timer.cancel()
        code = process.wait()
        errors.seek(0)
        said = errors.read(20_000).decode("utf-8", "replace")
    if code != 0:
        raise _failure(program, said, "be read")
    return found


def _failure(program: str, said: str, verb: str) -> ArchiveError:
    if any(word in said.lower() for word in ("password", "encrypted", "passphrase")):
        return ArchiveError("The archive is protected by a password; pack it without one.", "encrypted")
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    words = next((line for line in lines if "error" in line.lower()), lines[0] if lines else "it gave no reason")
    return ArchiveError(f"The archive cannot {verb} by {Path(program).name} ({words[:200]}); pack or download it anew.")


def _run(command: list[str], raw: Path, total: int, ask: Ask) -> None:
    """Unpack, and end the program where it writes more than was listed, hangs, or `ask` raises."""
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
        words = said.read(20_000).decode("utf-8", "replace")
    # Others also say so when they left a link out, which is as it should be: what came is compared with the list.
    if process.returncode != 0 and ("password" in words.lower() or not any(raw.iterdir())):
        raise _failure(command[0], words, "be unpacked")


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
            raise ArchiveError("The program that unpacks this archive hangs, and was ended; pack it anew.")


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
    """Everything below the folder, links not followed, and what was listed and is no file. Raises ArchiveError where a
    listed file is not there whole."""
    came: dict[str, Entry] = {}
    links = {each.name for each in listed if each.kind == "link"}  # 7-Zip leaves an empty file for a link it distrusts
    for parent, folders, names in os.walk(raw):
        for name in [*names, *(each for each in folders if (Path(parent) / each).is_symlink())]:
            path = Path(parent) / name
            status = path.lstat()
            relative = path.relative_to(raw).as_posix()
            kind: EntryKind = "file" if stat.S_ISREG(status.st_mode) else "special"
            if stat.S_ISLNK(status.st_mode) or status.st_nlink > 1 or relative in links:
                kind = "link"
            came[relative] = Entry(relative, status.st_size, kind)
    sizes = sorted(each.size for each in listed if each.kind == "file")
    arrived = sorted(each.size for each in came.values() if each.kind == "file")
    # By sizes and not by names: programs change names that the system does not take.
    if sizes != arrived:
        raise ArchiveError(
            f"Of {len(sizes)} files in the archive {len(arrived)} came out whole; it is damaged, so pack it anew."
        )
    return [*came.values(), *(each for each in listed if each.kind in ("link", "special") and each.name not in came)]
