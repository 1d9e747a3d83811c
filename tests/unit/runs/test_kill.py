"""Kill the writer, or fill its disk, at every write point there is: the old or the new stays readable."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from loratory.files import DiskFull
from loratory.runs import RunFolder, known_runs, read_events, read_metrics, read_status

# Written out here, so that a family that loses its points is noticed.
RENAMED = ("before_write", "before_rename", "after_rename")
APPENDED = ("before_append", "torn_append", "after_append")
POINTS = sorted(
    [
        f"{family}.{step}"
        for family in ("checkpoint config events export file folder metrics registry request run sample status".split())
        for step in RENAMED
    ]
    + [f"{family}.{step}" for family in ("events", "metrics", "registry") for step in APPENDED]
    + ["checkpoint.replacing", "folder.replacing", "delete.before_remove"]
)


@pytest.fixture(autouse=True)
def no_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushing to the disk takes most of the time here and shows nothing: a kill is no power cut."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def old_run(tmp_path: Path, writer: dict, own_home: Path) -> RunFolder:
    path = tmp_path / "runs" / "first"
    writer["write_old"](path)
    return RunFolder.open(path)


def prepare(run: RunFolder, point: str, home: Path) -> None:
    """Take away what the writer would find, where the point is passed only when a new one begins."""
    family, step = point.split(".")
    if family == "registry":
        (home / "state" / "runs.jsonl").unlink()
    if family == "events" and step in RENAMED:
        run.events_path.unlink()


def leftovers(run: RunFolder) -> list[str]:
    return [path.name for path in run.path.rglob("*") if path.name.startswith((".tmp-", ".deleting-", ".replaced-"))]


def check_readable(run: RunFolder, point: str) -> None:
    """Nothing is half: every file has its old or its new content."""
    assert run.config_path.read_text() in ("old", "new")
    assert (run.path / "notes.txt").read_bytes() in (b"old", b"new")
    assert run.sample_path(1, 0, "ab").read_bytes() in (b"old", b"new")
    assert all(export.path.read_bytes() in (b"old", b"new") for export in run.exports())
    assert run.exports(), "an export was lost"
    assert read_status(run.path).state in ("stopped", "died", "finished")
    events, _ = read_events(run.events_path)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    lines, _ = read_metrics(run.metrics_path)
    assert [(line["step"], line["loss"]) for line in lines] in (
        [(1, 1.0), (2, 1.0), (3, 1.0)],
        [(1, 1.0)],
        [(1, 1.0), (2, 2.0)],
    )
    for checkpoint in run.checkpoints():
        check_filled(checkpoint.path)
    for path in run.control_path.glob("*.json"):
        assert json.loads(path.read_text()) == {"from": "writer"}


def check_filled(folder: Path) -> None:
    text = (folder / "weights.safetensors").read_text()
    assert text in ("old", "new")
    assert (folder / "state" / "optimizer.bin").read_text() == text * 100


def check_finished(run: RunFolder, home: Path) -> None:
    assert read_status(run.path).state == "finished"
    assert [checkpoint.step for checkpoint in run.checkpoints()] == [1, 2]
    for checkpoint in run.checkpoints():
        assert (checkpoint.path / "weights.safetensors").read_text() == "new"
    assert (run.path / "extra" / "weights.safetensors").read_text() == "new"
    assert [export.step for export in run.exports()] == [2]
    assert [line["step"] for line in read_metrics(run.metrics_path)[0]] == [1, 2]
    assert leftovers(run) == []
    assert not list(run.control_path.iterdir())
    assert set(known_runs()) == {run.path.resolve(), run.path.resolve().with_name("second")}


def test_every_point_is_listed(python: Callable) -> None:
    """A fresh process that imports the run folder knows exactly the points that the tests below go through."""
    output, _ = python(str(Path(__file__).with_name("writer.py")), "--points").communicate()
    assert output.split() == POINTS


@pytest.mark.parametrize("point", POINTS)
def test_kill(point: str, old_run: RunFolder, own_home: Path, python: Callable, writer: dict, killed: int) -> None:
    prepare(old_run, point, own_home)
    process = python(str(Path(__file__).with_name("writer.py")), str(old_run.path), LORATORY_FAULT=point)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == killed, errors
    if not point.startswith(("events.before_write", "events.before_rename")):
        assert old_run.events_path.exists()
    check_readable(old_run, point)

    with RunFolder.open(old_run.path).lock():  # free, and it cleans up
        assert [name for name in leftovers(old_run) if name.startswith(".replaced")] == []
        assert old_run.checkpoint_path(1) in [checkpoint.path for checkpoint in old_run.checkpoints()]
    check_readable(old_run, point)
    check_filled(old_run.path / "extra")

    for temporary in old_run.control_path.glob(".tmp-*"):  # another process's: swept only when it is old
        os.utime(temporary, (0, 0))
    writer["write_new"](old_run.path)
    check_finished(old_run, own_home)


@pytest.mark.parametrize("point", POINTS)
def test_disk_full(
    point: str, old_run: RunFolder, own_home: Path, writer: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(old_run, point, own_home)
    monkeypatch.setenv("LORATORY_FAULT", f"{point}=enospc")
    with pytest.raises(DiskFull, match=r"MB free\)") as caught:
        writer["write_new"](old_run.path)
    monkeypatch.delenv("LORATORY_FAULT")
    assert str(caught.value.path) in str(caught.value)
    assert caught.value.bytes_free > 0
    check_readable(old_run, point)
    if not point.startswith("delete."):
        assert [name for name in leftovers(old_run) if name.startswith(".tmp-")] == []

    writer["write_new"](old_run.path)
    check_finished(old_run, own_home)


def test_nth_time(old_run: RunFolder, python: Callable, killed: int) -> None:
    """`:n` counts. The writer writes three states: its start, the queued one of a second run, and its end."""
    script = str(Path(__file__).with_name("writer.py"))
    for count, status, state in ((1, killed, "died"), (3, killed, "finished"), (4, 0, "finished")):
        process = python(script, str(old_run.path), LORATORY_FAULT=f"status.after_rename:{count}=kill")
        process.communicate(timeout=30)
        assert process.returncode == status
        assert read_status(old_run.path).state == state


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("status.before_renam", "did you mean 'status.before_rename'"),
        ("nonsense.anything", "is no write point"),
        ("status.before_rename:0", "not of the form"),
        ("status.before_rename=explode", "not of the form"),
        ("status", "not of the form"),
    ],
)
def test_wrong_fault(fault: str, said: str, old_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORATORY_FAULT", fault)
    with pytest.raises(ValueError, match=said):
        old_run.write_status("stopped")
