"""Write files so that a reader sees the old file or the new one, never half of one.

A file is written to a temporary name in the same folder, flushed to the disk and renamed. A folder is filled under
a temporary name and renamed. Every step is a named write point, at which a test can kill the process or fill the disk:
`LORATORY_FAULT=<point>[:n][=kill|enospc]` does it the n-th time (default: the first) that the point is reached.
"""

import difflib
import errno
import json
import logging
import os
import re
import secrets
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

from loratory.errors import UserError

TEMPORARY_PREFIX = ".tmp-"
DELETING_PREFIX = ".deleting-"
REPLACED_PREFIX = ".replaced-"
FAULT_VARIABLE = "LORATORY_FAULT"
HOME_VARIABLE = "LORATORY_HOME"

RENAME_STEPS = ("before_write", "before_rename", "after_rename")
APPEND_STEPS = ("before_append", "torn_append", "after_append")

Result = TypeVar("Result")

_log = logging.getLogger(__name__)

WINDOWS = sys.platform == "win32"
_WINDOWS_RETRY_SECONDS = 5.0
_WINDOWS_DISK_FULL = (39, 112)  # ERROR_HANDLE_DISK_FULL, ERROR_DISK_FULL
_DISK_FULL_ERRNOS = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
# Some network file systems cannot flush a folder and say so with one of these; their files are flushed all the same.
_CANNOT_SYNC_FOLDER = (errno.EINVAL, errno.EBADF, getattr(errno, "ENOTSUP", errno.EINVAL), errno.EACCES)
_FAULT_PATTERN = re.compile(r"(?P<point>[a-z_]+\.[a-z_]+)(?::(?P<count>[1-9][0-9]*))?(?:=(?P<action>kill|enospc))?")


def home() -> Path:
    """The folder that LORATORY_HOME names, else `loratory` in the user's home folder. It may not exist yet."""
    chosen = os.environ.get(HOME_VARIABLE)
    return Path(chosen).expanduser().absolute() if chosen else Path.home() / "loratory"


class DiskFull(UserError):
    """There is no room left for a file. `path` is what could not be written, `bytes_free` what the disk has left;
    `instead` is another way out, in words."""

    code = "disk_full"

    def __init__(self, path: Path, bytes_free: int, instead: str = "") -> None:
        self.path = path
        self.bytes_free = bytes_free
        super().__init__(
            f"The disk is full or your quota is used up: {path} could not be written "
            f"({bytes_free / 1e6:.1f} MB free). Free some space there{instead} and start again; "
            "what was there before is untouched."
        )


# Write points and faults


class _Fault(NamedTuple):
    point: str
    nth: int
    action: str


_points: set[str] = set()
_points_lock = threading.Lock()
_reached: dict[str, int] = {}
_fault_text: str | None = None
_fault: _Fault | None = None


def declare_points(*families: str, steps: Sequence[str] = RENAME_STEPS) -> None:
    """Make `<family>.<step>` known write points. Call it where a module is imported, before anything is written."""
    with _points_lock:
        _points.update(f"{family}.{step}" for family in families for step in steps)


def write_points() -> frozenset[str]:
    """All write points declared by the modules imported so far."""
    with _points_lock:
        return frozenset(_points)


def _parse_fault(text: str) -> _Fault:
    match = _FAULT_PATTERN.fullmatch(text)
    if match is None:
        raise UserError(f"{FAULT_VARIABLE}={text!r} is not of the form <point>[:n][=kill|enospc]; correct or unset it.")
    point = match["point"]
    known = write_points()
    if point not in known:
        near = difflib.get_close_matches(point, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known points: {', '.join(sorted(known))}."
        raise UserError(f"{FAULT_VARIABLE} names {point!r}, which is no write point{hint}")
    return _Fault(point, int(match["count"] or 1), match["action"] or "kill")


def _current_fault() -> _Fault | None:
    global _fault_text, _fault
    text = os.environ.get(FAULT_VARIABLE) or None
    if text != _fault_text:
        fault = _parse_fault(text) if text else None
        with _points_lock:
            _fault_text, _fault = text, fault
            _reached.clear()
    return _fault


def fault_armed(point: str) -> bool:
    """True when `LORATORY_FAULT` names this point, for a step that exists only in order to be interrupted."""
    fault = _current_fault()
    return fault is not None and fault.point == point


def reached(point: str) -> None:
    """Pass the named write point; die or raise OSError here if `LORATORY_FAULT` says so.

    Raises UserError for a fault that names no declared point, and KeyError when `point` itself was not declared.
    """
    if point not in _points:
        raise KeyError(f"write point {point!r} was not declared with declare_points()")
    fault = _current_fault()
    if fault is None or fault.point != point:
        return
    with _points_lock:
        _reached[point] = _reached.get(point, 0) + 1
        due = _reached[point] == fault.nth
    if not due:
        return
    if fault.action == "enospc":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if WINDOWS:
        os._exit(137)
    os.kill(os.getpid(), signal.SIGKILL)


declare_points("file", "folder")
declare_points("folder", steps=("replacing",))
declare_points("delete", steps=("before_remove",))


# Full disks, and files that Windows holds for a moment


def is_disk_full(error: BaseException) -> bool:
    """True for an error that says that the disk or the quota is full, or that was raised while handling such a one.

    safetensors puts the system's number into its message; torch.save raises its own error on top of the OSError.
    """
    codes = (*_DISK_FULL_ERRNOS, *_WINDOWS_DISK_FULL) if WINDOWS else _DISK_FULL_ERRNOS
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OSError):
            if link.errno in _DISK_FULL_ERRNOS or getattr(link, "winerror", None) in _WINDOWS_DISK_FULL:
                return True
        elif type(link).__name__ == "SafetensorError" and any(f"(os error {code})" in str(link) for code in codes):
            return True
        link = link.__cause__ or link.__context__
    return False


def bytes_free(path: Path) -> int:
    """Free bytes on the disk that holds `path`, which need not exist yet."""
    for folder in (path, *path.absolute().parents):
        if folder.is_dir():
            return shutil.disk_usage(folder).free
    raise FileNotFoundError(path)


@contextmanager
def naming_full_disk(path: Path) -> Iterator[None]:
    """Turn an error for a full disk or quota into DiskFull, which names `path`."""
    try:
        yield
    except Exception as error:
        if is_disk_full(error):
            raise DiskFull(path, bytes_free(path)) from error
        raise


def patiently(action: Callable[[], Result]) -> Result:
    """Do `action`; on Windows try again for a few seconds while another process holds the file.

    Windows refuses to open, rename or delete a file at the instant in which another process has it open.
    """
    deadline = time.monotonic() + _WINDOWS_RETRY_SECONDS
    pause = 0.002
    while True:
        try:
            return action()
        except PermissionError:
            if not WINDOWS or time.monotonic() > deadline:
                raise
        time.sleep(pause)
        pause = min(2 * pause, 0.1)


# Files


def temporary_for(final: Path) -> Path:
    """A fresh name beside `final` to write to before it is published; recognisable, so that leftovers are swept."""
    return final.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(6)}")


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, where the system and the file system can."""
    if WINDOWS:
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC_FOLDER:
            raise
    finally:
        os.close(descriptor)


def write_atomic(
    path: Path,
    data: bytes | Callable[[BinaryIO], object],
    *,
    point: str = "file",
    mode: int = 0o666,
    sync: bool = True,
) -> None:
    """Write a whole file or leave the old one as it is.

    `data` is the content, or a function that writes it to the binary stream it is given. `point` is the family of
    write points, `mode` the rights of the new file before the user's mask. Without `sync` nothing is flushed: for
    what can be made again, and for many files, whose writer flushes once at the end. Raises DiskFull when there is no
    room; the temporary file is removed on any error.
    """
    temporary = temporary_for(path)
    with naming_full_disk(path):
        try:
            reached(f"{point}.before_write")
            with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as stream:
                if callable(data):
                    data(stream)
                else:
                    stream.write(data)
                if sync:
                    stream.flush()
                    os.fsync(stream.fileno())
            reached(f"{point}.before_rename")
            patiently(lambda: temporary.replace(path))
            reached(f"{point}.after_rename")
            if sync:
                sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, point: str = "file") -> None:
    """Write a UTF-8 text file atomically, with the line ends that `text` has."""
    write_atomic(path, text.encode("utf-8"), point=point)


def write_private(path: Path, text: str, point: str = "file") -> None:
    """Write a UTF-8 text file atomically that nobody but its owner may read, at no instant."""
    write_atomic(path, text.encode("utf-8"), point=point, mode=0o600)


def write_json(path: Path, value: Any, *, point: str = "file") -> None:
    """Write a readable JSON file atomically. Raises ValueError for NaN and infinity, which JSON does not have."""
    write_text(path, json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2) + "\n", point=point)


class LogFile(logging.FileHandler):
    """Appends to a UTF-8 log. A full disk is said once and stops nothing: the work is worth more than its log.

    Without this each record would print a traceback, which is captured and logged, which would print a traceback.
    """

    def __init__(self, path: Path) -> None:
        self._was_full = False
        super().__init__(path, encoding="utf-8")

    def handleError(self, record: logging.LogRecord) -> None:
        """What logging calls when a record could not be written."""
        error = sys.exc_info()[1]
        if error is None or not is_disk_full(error):
            super().handleError(record)
        elif not self._was_full:
            self._was_full = True
            _log.warning("The disk is full: the log %s ends here, the work goes on.", self.baseFilename)

    def close(self) -> None:
        """Close the file, with or without the records that found no room."""
        try:
            super().close()
        except OSError as error:
            if not is_disk_full(error):
                raise


# Folders


def _sync_contents(folder: Path) -> None:
    for parent, _, names in os.walk(folder):
        for name in names:
            with Path(parent, name).open("r+b") as stream:  # Windows flushes only what is open for writing
                os.fsync(stream.fileno())
        sync_folder(Path(parent))


def publish_folder(temporary: Path, final: Path, *, replace: bool = False, point: str = "folder") -> None:
    """Make a filled temporary folder appear whole under its final name, in the same parent folder.

    With `replace` an existing final folder is set aside first and removed afterwards; `sweep_temporaries` puts it back
    if the process died between the two. Raises FileExistsError when it exists and may not be replaced (an empty
    folder may always be), DiskFull when there is no room; the temporary folder stays on an error: its owner removes it.
    """
    replaced: Path | None = None
    with naming_full_disk(final):
        _sync_contents(temporary)
        reached(f"{point}.before_rename")
        if final.is_dir() and not any(final.iterdir()):
            final.rmdir()
        if final.exists():
            if not replace:
                raise FileExistsError(errno.EEXIST, "The folder exists already", str(final))
            replaced = final.with_name(f"{REPLACED_PREFIX}{final.name}")
            remove_tree(replaced)
            patiently(lambda: final.rename(replaced))
            reached(f"{point}.replacing")
        patiently(lambda: temporary.rename(final))
        reached(f"{point}.after_rename")
        sync_folder(final.parent)
    if replaced is not None:
        remove_tree(replaced)


@contextmanager
def new_folder(final: Path, *, replace: bool = False, point: str = "folder") -> Iterator[Path]:
    """Give a temporary folder to fill; it appears whole as `final` when the block ends and vanishes when it raises.

    Raises as `publish_folder` does; a full disk inside the block becomes DiskFull too.
    """
    temporary = temporary_for(final)
    with naming_full_disk(final):
        reached(f"{point}.before_write")
        try:
            temporary.mkdir()
            yield temporary
            publish_folder(temporary, final, replace=replace, point=point)
        finally:
            remove_tree(temporary)


def remove_tree(path: Path) -> None:
    """Remove a file or a folder with all that is in it; nothing happens when it does not exist."""
    if path.is_dir() and not path.is_symlink():
        patiently(lambda: shutil.rmtree(path))
    else:
        patiently(lambda: path.unlink(missing_ok=True))


def delete_whole(path: Path) -> None:
    """Delete a file or folder so that no half-deleted one is ever seen under its name.

    It is renamed to a `.deleting-` name first; `sweep_temporaries` finishes what was interrupted.
    """
    doomed = path.with_name(f"{DELETING_PREFIX}{secrets.token_hex(6)}")
    with naming_full_disk(path):  # some file systems need room in order to delete
        patiently(lambda: path.rename(doomed))
        reached("delete.before_remove")
        remove_tree(doomed)


def _age_seconds(path: Path) -> float:
    """Seconds since the last change; 0 for what its writer has renamed or removed in the meantime."""
    try:
        return time.time() - path.lstat().st_mtime
    except FileNotFoundError:
        return 0.0


def sweep_temporaries(folder: Path, *, older_than_seconds: float = 86400.0) -> list[Path]:
    """Remove what killed processes left in `folder` (not below it) and return it; put back a folder set aside.

    Temporaries younger than `older_than_seconds` may still be in use and stay; whoever holds the folder's lock
    passes 0. A half-finished deletion is finished, whatever its age.
    """
    removed = []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(REPLACED_PREFIX):
            final = entry.with_name(entry.name.removeprefix(REPLACED_PREFIX))
            if not final.exists():
                entry.rename(final)
                continue
        elif entry.name.startswith(TEMPORARY_PREFIX):
            if older_than_seconds > 0 and _age_seconds(entry) < older_than_seconds:
                continue
        elif not entry.name.startswith(DELETING_PREFIX):
            continue
        remove_tree(entry)
        removed.append(entry)
    return removed
