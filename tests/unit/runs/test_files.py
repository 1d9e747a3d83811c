"""Atomic files and folders, apart from kills and full disks at the write points (test_kill.py)."""

import errno
import json
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from loratory import files
from loratory.files import (
    DiskFull,
    declare_points,
    delete_whole,
    new_folder,
    patiently,
    publish_folder,
    reached,
    sweep_temporaries,
    write_atomic,
    write_json,
    write_points,
    write_text,
)

HALF_WRITTEN = """
import os, signal, sys
from pathlib import Path
from loratory.files import write_atomic

def half(stream):
    stream.write(b"ne")
    stream.flush()
    os.kill(os.getpid(), signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)

write_atomic(Path(sys.argv[1]), half)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_kill_in_the_middle_of_a_write(tmp_path: Path, python: Callable) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    process = python("-c", HALF_WRITTEN, str(path))
    process.communicate(timeout=30)
    assert process.returncode == (signal.SIGTERM if os.name == "nt" else -signal.SIGKILL)
    assert path.read_bytes() == b"old"
    assert len(names(tmp_path)) == 2
    assert len(sweep_temporaries(tmp_path)) == 0, "a young temporary may be in use"
    assert len(sweep_temporaries(tmp_path, older_than_seconds=0)) == 1
    assert names(tmp_path) == ["file"]


def test_order_of_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes are on the disk before the name is theirs, and the name is on the disk in the end."""
    steps: list[str] = []
    path = tmp_path / "file"
    fsync, replace = os.fsync, Path.replace

    def spy_fsync(descriptor: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def spy_replace(self: Path, target: Path) -> Path:
        assert self.read_bytes() == b"new"
        steps.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(Path, "replace", spy_replace)
    write_atomic(path, b"new")
    assert steps == (["file", "rename"] if os.name == "nt" else ["file", "rename", "folder"])
    assert path.read_bytes() == b"new"


def test_texts_and_json(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "é\r\n\n")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa9\r\n\n"
    write_json(tmp_path / "b.json", {"ü": [1, None, 0.5]})
    assert json.loads((tmp_path / "b.json").read_bytes()) == {"ü": [1, None, 0.5]}
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "b.json", {"x": float("nan")})
    assert json.loads((tmp_path / "b.json").read_bytes()) == {"ü": [1, None, 0.5]}
    assert names(tmp_path) == ["a.txt", "b.json"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "full"),
        OSError(errno.EDQUOT, "quota"),
        RuntimeError("PytorchStreamWriter failed"),
        type("SafetensorError", (Exception,), {})("I/O error: No space left on device (os error 28)"),
    ],
    ids=["disk", "quota", "torch", "safetensors"],
)
def test_full_disk_by_any_name(error: Exception, tmp_path: Path) -> None:
    """torch.save raises a RuntimeError while it handles the OSError; safetensors has an error of its own."""
    if isinstance(error, RuntimeError):
        error.__context__ = OSError(errno.ENOSPC, "full")
    path = tmp_path / "weights"
    path.write_bytes(b"old")

    def fail(stream: object) -> None:
        raise error

    with pytest.raises(DiskFull) as caught:
        write_atomic(path, fail)
    assert caught.value.path == path
    assert str(path) in str(caught.value)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["weights"]


@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken"), KeyboardInterrupt(), ValueError("x")])
def test_other_errors_pass_and_leave_nothing(error: BaseException, tmp_path: Path) -> None:
    def fail(stream: object) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        write_atomic(tmp_path / "weights", fail)
    assert caught.value is error
    with pytest.raises(type(error)), new_folder(tmp_path / "folder") as folder:
        (folder / "part").write_text("x")
        raise error
    assert names(tmp_path) == []


def test_folder_appears_whole(tmp_path: Path) -> None:
    final = tmp_path / "final"
    with new_folder(final) as folder:
        (folder / "deep" / "er").mkdir(parents=True)
        (folder / "deep" / "er" / "file").write_text("1")
        assert not final.exists()
        assert folder.parent == final.parent
    assert (final / "deep" / "er" / "file").read_text() == "1"
    assert names(tmp_path) == ["final"]


@pytest.mark.parametrize("there", ["nothing", "empty", "full", "file"])
@pytest.mark.parametrize("replace", [False, True])
def test_existing_folder(there: str, replace: bool, tmp_path: Path) -> None:
    final, fresh = tmp_path / "final", tmp_path / "fresh"
    if there == "file":
        final.write_text("old")
    elif there != "nothing":
        final.mkdir()
    if there == "full":
        (final / "old").touch()
    fresh.mkdir()
    (fresh / "new").touch()
    if there in ("full", "file") and not replace:
        with pytest.raises(FileExistsError):
            publish_folder(fresh, final)
        assert names(fresh) == ["new"]
        assert final.is_file() or names(final) == ["old"]
    else:
        publish_folder(fresh, final, replace=replace)
        assert names(final) == ["new"]
        assert names(tmp_path) == ["final"]


def test_sweep(tmp_path: Path) -> None:
    """Old temporaries and half-done deletions go, young ones and everything else stay, what was set aside returns."""
    for name in ("file", ".hidden", ".tmp-1-young", ".tmp-1-old", ".deleting-1"):
        (tmp_path / name).write_text(name)
    for name in (".tmp-2-old", ".deleting-2", ".replaced-back", ".replaced-file", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "inside").touch()
    for name in (".tmp-1-old", ".tmp-2-old"):
        os.utime(tmp_path / name, (1, 1))
    removed = sweep_temporaries(tmp_path, older_than_seconds=60)
    assert [path.name for path in removed] == [
        ".deleting-1",
        ".deleting-2",
        ".replaced-file",
        ".tmp-1-old",
        ".tmp-2-old",
    ]
    assert names(tmp_path) == [".hidden", ".tmp-1-young", "back", "file", "other"]
    assert names(tmp_path / "back") == ["inside"]


def test_delete_whole(tmp_path: Path) -> None:
    (tmp_path / "folder" / "sub").mkdir(parents=True)
    (tmp_path / "folder" / "sub" / "file").touch()
    (tmp_path / "file").touch()
    delete_whole(tmp_path / "folder")
    delete_whole(tmp_path / "file")
    assert names(tmp_path) == []
    with pytest.raises(FileNotFoundError):
        delete_whole(tmp_path / "file")


def test_points_must_be_declared(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="declare_points"):
        reached("undeclared.point")
    with pytest.raises(KeyError, match="declare_points"):
        write_atomic(tmp_path / "file", b"", point="undeclared")
    assert names(tmp_path) == []
    declare_points("test_files_only")
    assert "test_files_only.before_rename" in write_points()
    write_atomic(tmp_path / "file", b"", point="test_files_only")
    assert names(tmp_path) == ["file"]


# Windows


def failing(times: int) -> Callable[[], str]:
    left = [times]

    def action() -> str:
        if left[0]:
            left[0] -= 1
            raise PermissionError(errno.EACCES, "another process has the file open")
        return "done"

    return action


@pytest.mark.parametrize(("windows", "times", "succeeds"), [(True, 3, True), (False, 1, False), (False, 0, True)])
def test_patience(windows: bool, times: int, succeeds: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "WINDOWS", windows)
    if succeeds:
        assert patiently(failing(times)) == "done"
    else:
        with pytest.raises(PermissionError):
            patiently(failing(times))


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "WINDOWS", True)
    monkeypatch.setattr(files, "_WINDOWS_RETRY_SECONDS", 0.05)
    with pytest.raises(PermissionError):
        patiently(failing(10**9))


def test_fault_on_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no SIGKILL; the process ends at once with the status 137. Folders are not flushed."""

    class Ended(BaseException):
        pass

    def end(status: int) -> None:
        raise Ended(status)

    monkeypatch.setattr(files, "WINDOWS", True)
    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setenv("LORATORY_FAULT", "file.after_rename")
    with pytest.raises(Ended, match="137"):
        write_atomic(tmp_path / "file", b"new")
    monkeypatch.delenv("LORATORY_FAULT")
    really = os.open

    def no_folder(path: str, flags: int, mode: int = 0o777) -> int:
        assert not Path(path).is_dir()
        return really(path, flags, mode)

    monkeypatch.setattr(os, "open", no_folder)
    write_atomic(tmp_path / "file", b"newer")
    assert (tmp_path / "file").read_bytes() == b"newer"


def test_full_disk_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    error = OSError(errno.EINVAL, "ERROR_HANDLE_DISK_FULL")
    assert not files.is_disk_full(error)
    error.winerror = 39  # type: ignore[misc]
    assert files.is_disk_full(error)
