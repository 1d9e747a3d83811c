"""The run folder: making and opening it, its state, its exports and checkpoints, and requests to it."""

import json
import logging
import os
import re
from pathlib import Path

import pytest

from loratory.errors import UserError
from loratory.files import DiskFull, write_atomic
from loratory.runs import RunFolder, is_whole_checkpoint, keep_last, read_events, read_status, request


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "output", "my dog")


def test_layout(run: RunFolder, tmp_path: Path) -> None:
    root = tmp_path / "output" / "my dog"
    assert sorted(path.name for path in root.iterdir()) == ["checkpoints", "control", "samples", "status.json"]
    paths = {
        run.config_path: "config.yaml",
        run.status_path: "status.json",
        run.events_path: "events.jsonl",
        run.metrics_path: "metrics_my dog.jsonl",
        run.log_path: "log.txt",
        run.lock_path: "lock",
        run.control_path: "control",
        run.export_path(250): "my dog_000000250.safetensors",
        run.final_export_path: "my dog.safetensors",
        run.checkpoint_path(250): "checkpoints/000000250",
        run.sample_path(250, 3, "ab12"): "samples/000000250_03_ab12.png",
    }
    assert {path.relative_to(root).as_posix() for path in paths} == set(paths.values())
    assert all(path == root / name for path, name in paths.items())


def test_moved_and_renamed(run: RunFolder, tmp_path: Path) -> None:
    run.emit("began")
    moved = tmp_path / "elsewhere"
    run.path.rename(moved)
    again = RunFolder.open(moved)
    assert (again.id, again.name) == (run.id, "my dog")
    assert again.export_path(1) == moved / "my dog_000000001.safetensors"
    assert read_events(again.events_path)[0][0].kind == "began"


def test_name_is_taken(run: RunFolder, tmp_path: Path) -> None:
    before = read_status(run.path)
    with pytest.raises(UserError, match="exists already; choose another name"):
        RunFolder.create(tmp_path / "output", "my dog")
    assert read_status(run.path) == before
    (tmp_path / "output" / "a file").touch()
    with pytest.raises(UserError, match="exists already"):
        RunFolder.create(tmp_path / "output", "a file")
    (tmp_path / "output" / "empty").mkdir()
    assert read_status(RunFolder.create(tmp_path / "output", "empty").path).state == "queued"
    assert not [path for path in (tmp_path / "output").iterdir() if path.name.startswith(".")]


def test_places_that_are_no_good(run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be made"):
        RunFolder.create(tmp_path / "file" / "below", "dog")
    for place in (tmp_path, tmp_path / "nothing", tmp_path / "file"):
        with pytest.raises(UserError, match=r"is not a run folder: it has no status.json"):
            RunFolder.open(place)


# State


def test_status(run: RunFolder) -> None:
    queued = read_status(run.path)
    assert (queued.state, queued.id, queued.name, queued.started, queued.step) == (
        "queued",
        run.id,
        "my dog",
        None,
        None,
    )
    with run.lock():
        run.write_status("starting", total_steps=10, message="loading")
        started = read_status(run.path)
        assert (started.message, started.total_steps) == ("loading", 10)
        assert started.started is not None
        run.write_status("training", step=4, epoch=1, eta_seconds=float("inf"), iterations_per_second=2.5)
        training = read_status(run.path)
        assert (training.step, training.total_steps, training.message) == (4, 10, None)
        assert (training.eta_seconds, training.iterations_per_second) == (None, 2.5)
        assert training.started == started.started
        run.write_status("saving", eta_seconds=3.0)
        assert read_status(run.path).eta_seconds == 3.0
        secret = "hf_" + "a1B2" * 8
        run.write_status("failed", error={"kind": "OutOfMemory", "message": f"with {secret}"})
    failed = read_status(run.path)
    assert (failed.state, failed.step, failed.eta_seconds) == ("failed", 4, None)
    assert failed.error == {"kind": "OutOfMemory", "message": "with hf_***"}
    assert failed.created == queued.created
    assert failed.updated >= training.updated >= queued.updated


def test_status_misuse(run: RunFolder) -> None:
    with pytest.raises(RuntimeError, match="needs the run's lock"):
        run.write_status("training")
    with pytest.raises(ValueError, match="is no state"):
        run.write_status("resting")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="stepp"):
        run.write_status("stopped", stepp=1)  # type: ignore[call-arg]
    assert read_status(run.path).state == "queued"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is damaged"),
        (b"[]", "is damaged"),
        (b"{}", "is damaged"),
        (b"\xff", "is damaged"),
        ("newer state", "unknown state"),
    ],
)
def test_damaged_status(content: bytes | str, said: str, run: RunFolder) -> None:
    if isinstance(content, str):
        content = json.dumps({**json.loads(run.status_path.read_text()), "state": "dreaming"}).encode()
    run.status_path.write_bytes(content)
    with pytest.raises(UserError, match=f"{re.escape(str(run.status_path))}.*{said}"):
        read_status(run.path)


def test_status_of_a_newer_version(run: RunFolder) -> None:
    values = json.loads(run.status_path.read_text())
    run.status_path.write_text(json.dumps({**values, "mood": "good"}))
    assert read_status(run.path).state == "queued"


def test_log(run: RunFolder) -> None:
    logger = logging.getLogger("loratory.test_log")
    for text in ("hf_" + "a1B2" * 8, "zweite Zeile é"):
        handler = run.log_handler()
        logger.addHandler(handler)
        logger.warning("with %s", text)
        logger.removeHandler(handler)
        handler.close()
    first, second = run.log_path.read_text(encoding="utf-8").splitlines()
    assert first.endswith("WARNING loratory.test_log: with hf_***")
    assert second.endswith("with zweite Zeile é")


# Exports and checkpoints


def fill(run: RunFolder, step: int) -> Path:
    with run.new_checkpoint(step) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "a.bin").write_bytes(bytes(step))
        (folder / "b.json").write_text("{}")
    return run.checkpoint_path(step)


def test_exports(run: RunFolder) -> None:
    for path in (
        run.export_path(10),
        run.final_export_path,
        run.export_path(9),
        run.path / "my dog_best_3.safetensors",
    ):
        path.touch()
    for name in ("my dog_10.safetensors", "other.safetensors", "my dog_000000010.bin", ".my dog.safetensors"):
        (run.path / name).touch()
    run.export_path(77).mkdir()
    assert [(export.step, export.path.name) for export in run.exports()] == [
        (9, "my dog_000000009.safetensors"),
        (10, "my dog_000000010.safetensors"),
        (None, "my dog_best_3.safetensors"),
        (None, "my dog.safetensors"),
    ]


def test_name_is_no_pattern(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "a+(b).[c]")
    run.export_path(5).touch()
    assert [export.step for export in run.exports()] == [5]


def test_checkpoints(run: RunFolder) -> None:
    assert run.checkpoints() == []
    assert run.newest_checkpoint() is None
    for step in (1000, 20, 300):
        fill(run, step)
    (run.checkpoints_path / "000000500").mkdir()
    (run.checkpoints_path / "notes").mkdir()
    assert [(found.step, found.path) for found in run.checkpoints()] == [
        (step, run.checkpoint_path(step)) for step in (20, 300, 1000)
    ]
    newest = run.newest_checkpoint()
    assert newest is not None
    assert newest.step == 1000


@pytest.mark.parametrize("damage", ["short", "missing", "no manifest", "bad manifest", "none"])
def test_torn_copy_of_a_checkpoint(damage: str, run: RunFolder) -> None:
    fill(run, 1)
    folder = fill(run, 2)
    file = folder / "sub" / "a.bin"
    match damage:
        case "short":
            file.write_bytes(b"")
        case "missing":
            file.unlink()
        case "no manifest":
            (folder / "manifest.json").unlink()
        case "bad manifest":
            (folder / "manifest.json").write_text('{"files"')
    whole = damage == "none"
    assert is_whole_checkpoint(folder) is whole
    assert [found.step for found in run.checkpoints()] == ([1, 2] if whole else [1])


def test_checkpoint_that_fails(run: RunFolder) -> None:
    fill(run, 1)
    with pytest.raises(DiskFull), run.new_checkpoint(1) as folder:
        write_atomic(folder / "x", b"")
        raise OSError(28, "No space left on device")
    assert (run.checkpoint_path(1) / "sub" / "a.bin").stat().st_size == 1
    assert [path.name for path in run.checkpoints_path.iterdir()] == ["000000001"]


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_keep_last_files(count: int, run: RunFolder) -> None:
    paths = [run.export_path(step) for step in (1, 2, 3)]
    for path in paths:
        path.write_text("weights")
    deleted = keep_last(paths, count)
    left = max(0, 3 - count)
    assert deleted == paths[:left]
    assert [path.exists() for path in paths] == [False] * left + [True] * (3 - left)
    assert not [path for path in run.path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(("broken", "stay"), [([], [4]), ([4], [3, 4]), ([3, 4], [2, 3, 4]), ([1, 2, 3, 4], [4])])
def test_keep_last_spares_the_only_whole_one(broken: list[int], stay: list[int], run: RunFolder) -> None:
    paths = [fill(run, step) for step in (1, 2, 3, 4)]
    for step in broken:
        (run.checkpoint_path(step) / "manifest.json").unlink()
    keep_last(paths, 1)
    left = sorted(int(path.name) for path in run.checkpoints_path.iterdir())
    assert left == ([4] if len(broken) in (0, 4) else [max(set(range(1, 5)) - set(broken)), 4])
    assert set(left) <= set(stay)


def test_keep_last_needs_a_count(run: RunFolder) -> None:
    run.export_path(1).touch()
    with pytest.raises(ValueError, match="at least 1"):
        keep_last([run.export_path(1)], 0)
    assert run.export_path(1).exists()
    assert keep_last([], 1) == []


# Requests


def test_requests(run: RunFolder) -> None:
    assert run.pending_requests() == []
    ids = [request(run.path, "sample"), request(run.path, "prompts", {"prompts": ["ein é"]}), request(run.path, "stop")]
    first, second, third = run.pending_requests()
    assert [first.id, second.id, third.id] == ids
    assert [first.kind, second.kind, third.kind] == ["sample", "prompts", "stop"]
    assert second.payload == {"prompts": ["ein é"]}
    assert first.time <= third.time
    run.answer(first)
    run.answer(second, ok=False, message="too many")
    assert run.pending_requests() == [third]
    assert [event.data for event in read_events(run.events_path)[0]] == [
        {"request": ids[0], "request_kind": "sample", "ok": True},
        {"request": ids[1], "request_kind": "prompts", "ok": False, "message": "too many"},
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV-stop.json", b"{"),
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV-stop.json", b"[]"),
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV-stop.json", b"\xff"),
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV-stop.json", b"[" * 100_000),
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV-stop.json", b'"' + b"x" * 3_000_000 + b'"'),
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV-explode.json", b"{}"),
        ("stop.json", b"{}"),
        ("81ARZ3NDEKTSV4RRFFQ69G5FAV-stop.json", b"{}"),
    ],
)
def test_broken_request(name: str, content: bytes, run: RunFolder) -> None:
    (run.control_path / name).write_bytes(content)
    asked = request(run.path, "save")
    assert [pending.id for pending in run.pending_requests()] == [asked]
    (event,), _ = read_events(run.events_path)
    assert event.kind == "request_answered"
    assert (event.data["ok"], event.data["request"]) == (False, name)
    assert name in event.data["message"]
    assert [pending.id for pending in run.pending_requests()] == [asked]
    assert len(read_events(run.events_path)[0]) == 1, "answered once"


def test_what_is_no_request_is_left_alone(run: RunFolder) -> None:
    (run.control_path / ".tmp-1-abc").touch()
    (run.control_path / "Thumbs.db").touch()
    (run.control_path / "folder.json").mkdir()
    assert run.pending_requests() == []
    assert len(list(run.control_path.iterdir())) == 3
    for path in run.control_path.iterdir():
        path.rmdir() if path.is_dir() else path.unlink()
    run.control_path.rmdir()
    assert run.pending_requests() == []
    request(run.path, "stop")
    assert len(run.pending_requests()) == 1


def test_wrong_requests(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="understands stop, save, sample, prompts"):
        request(run.path, "explode")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="is not a run folder"):
        request(tmp_path, "stop")
    with pytest.raises(UserError, match="make it shorter"):
        request(run.path, "prompts", {"prompts": "x" * 2_000_000})
    assert list(run.control_path.iterdir()) == []


def test_pending_is_cheap(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two steps the empty folder is listed once; no file is opened or looked at."""
    calls: list[object] = []
    scandir = os.scandir

    def spy(path: object) -> object:
        calls.append(path)
        return scandir(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", spy)
    monkeypatch.setattr(os, "stat", pytest.fail)
    monkeypatch.setattr(os, "open", pytest.fail)
    assert run.pending_requests() == []
    assert calls == [run.control_path]
