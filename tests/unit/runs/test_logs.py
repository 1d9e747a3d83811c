"""Events, metrics, and the cursors of those who read them while they grow."""

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from loratory.runs import MetricsLog, RunFolder, iterate_metrics, jsonl, read_events, read_metrics

APPENDER = """
import sys
from pathlib import Path
from loratory.runs import RunFolder

run = RunFolder.open(Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    run.emit("number", value=number, text="é" * (number % 300))
run.emit("end")
"""


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path, "dog")


def test_events(run: RunFolder) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    run.emit("began", steps=3, nested={"a": [1, None]})
    run.emit("said", text="zwei\nZeilen\u2028é")
    events, cursor = read_events(run.events_path)
    assert [(event.seq, event.kind, event.data) for event in events] == [
        (1, "began", {"steps": 3, "nested": {"a": [1, None]}}),
        (2, "said", {"text": "zwei\nZeilen\u2028é"}),
    ]
    for event in events:
        assert event.time.endswith("Z")
        assert before <= datetime.fromisoformat(event.time) <= datetime.now(UTC)
    assert read_events(run.events_path, cursor) == ([], cursor)
    RunFolder.open(run.path).emit("resumed")
    (event,), _ = read_events(run.events_path, cursor)
    assert (event.seq, event.kind) == (3, "resumed")
    with pytest.raises(ValueError, match="JSON"):
        run.emit("bad", value=float("nan"))
    assert read_events(run.events_path)[0][-1].kind == "resumed"


def test_secrets_do_not_reach_the_log(run: RunFolder) -> None:
    token = "hf_" + "a1B2" * 8
    run.emit("failed", message=f"401 for {token}", headers=[{"Authorization": f"Bearer {token}"}], api_key="12345678")
    assert token not in run.events_path.read_text()
    (event,), _ = read_events(run.events_path)
    assert event.data == {"message": "401 for hf_***", "headers": [{"Authorization": "***"}], "api_key": "***"}


def test_torn_line(run: RunFolder) -> None:
    """What a kill left of a line is not read, is closed by the next append, and is never taken for an event."""
    run.emit("one")
    _, cursor = read_events(run.events_path)
    whole = run.events_path.read_bytes()
    with run.events_path.open("ab") as stream:
        stream.write(b'{"seq":2,"time":"x","kind":"to')
    assert read_events(run.events_path, cursor) == ([], cursor)
    RunFolder.open(run.path).emit("two")
    events, _ = read_events(run.events_path, cursor)
    assert [(event.seq, event.kind) for event in events] == [(2, "two")]
    assert [event.kind for event in read_events(run.events_path)[0]] == ["one", "two"]
    assert run.events_path.read_bytes().startswith(whole), "an event log is only appended to"


def test_reading_while_another_process_appends(run: RunFolder, python: Callable) -> None:
    count = 1500
    process = python("-c", APPENDER, str(run.path), str(count))
    cursor, numbers, polls, ended = None, [], 0, False
    while not ended:
        events, cursor = read_events(run.events_path, cursor, block_bytes=3000)
        polls += bool(events)
        numbers += [event.seq for event in events]
        ended = any(event.kind == "end" for event in events)
        assert process.poll() in (None, 0), process.communicate()
    assert numbers == list(range(1, count + 2)), "every event once and in order"
    assert polls > 10


@pytest.mark.parametrize(
    "cursor", [None, "", "x", "-:0", "0123456789abcdef:5", "{id}:99999", "{id}:-1", "{id}:", "é:1"]
)
def test_wrong_cursor_begins_again(cursor: str | None, run: RunFolder) -> None:
    run.emit("one")
    _, right = read_events(run.events_path)
    file_id = right.split(":")[0]
    events, after = read_events(run.events_path, cursor and cursor.replace("{id}", file_id))
    assert [event.kind for event in events] == ["one"]
    assert after == right


def test_changed_file_begins_again_and_a_copy_goes_on(run: RunFolder, tmp_path: Path) -> None:
    run.emit("one")
    _, cursor = read_events(run.events_path)
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(run.events_path.read_bytes())
    assert read_events(copy, cursor) == ([], cursor)
    run.events_path.unlink()
    assert read_events(run.events_path, cursor)[0] == []
    for kind in ("a", "b", "c"):
        run.emit(kind)
    assert [event.kind for event in read_events(run.events_path, cursor)[0]] == ["a", "b", "c"]


def test_foreign_lines_are_skipped(run: RunFolder) -> None:
    run.emit("one")
    with run.events_path.open("ab") as stream:
        stream.write(b'[1]\n"x"\n\xff\xfe\n\n{"seq":9}\n' + b"x" * 300_000 + b"\n")
    for block_bytes in (1, 100, 1 << 20):
        cursor, kinds = None, []
        for _ in range(9):
            events, cursor = read_events(run.events_path, cursor, block_bytes=block_bytes)
            kinds += [event.kind for event in events]
        assert kinds == ["one"]
    RunFolder.open(run.path).emit("two")
    assert read_events(run.events_path)[0][-1].seq == 10


def test_last_finds_a_record_behind_much_garbage(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert jsonl.last(path) is None
    path.write_bytes(b'{"log_id":"x"}\n')
    assert jsonl.last(path) is None
    long = json.dumps({"seq": 5, "text": "é" * 100_000}).encode()
    path.write_bytes(b'{"log_id":"x"}\n{"seq":4}\n' + long + b"\n" + b"garbage\n" * 20_000 + b'{"to')
    record = jsonl.last(path)
    assert record is not None
    assert (record["seq"], len(record["text"])) == (5, 100_000)


# Metrics


def test_metrics_round_trip(run: RunFolder) -> None:
    with run.metrics() as metrics:
        metrics.append(1, loss=0.25, rate=np.float32(0.5), images=3)
        metrics.append(2, loss=float("nan"), rate=math.inf, images=np.int64(4))
    raw = [json.loads(line, parse_constant=pytest.fail) for line in run.metrics_path.read_text().splitlines()]
    assert "log_id" in raw[0]
    lines, cursor = read_metrics(run.metrics_path)
    assert lines == raw[1:]
    assert [{key: value for key, value in line.items() if not key.startswith("time")} for line in lines] == [
        {"step": 1, "loss": 0.25, "rate": 0.5, "images": 3},
        {"step": 2, "loss": None, "rate": None, "images": 4, "nonfinite": ["loss", "rate"]},
    ]
    assert read_metrics(run.metrics_path, cursor)[0] == []
    assert list(iterate_metrics(run.metrics_path)) == lines
    with pytest.raises(ValueError, match="time"):
        run.metrics().append(3, time=1.0)


def test_metrics_are_buffered(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    metrics = MetricsLog(path, flush_seconds=3600, flush_lines=3)
    metrics.append(1, loss=1)
    metrics.append(2, loss=1)
    assert not path.exists()
    metrics.append(3, loss=1)
    assert len(list(iterate_metrics(path))) == 3
    metrics.append(4, loss=1)
    metrics.flush()
    assert len(list(iterate_metrics(path))) == 4
    eager = MetricsLog(path, flush_seconds=-1)
    eager.append(5, loss=1)
    assert len(list(iterate_metrics(path))) == 5


def test_truncate_after(run: RunFolder) -> None:
    """A resumed run continues the lines of its checkpoint; a reader notices that the file is another one."""
    metrics = run.metrics()
    metrics.truncate_after(5)
    for step in range(1, 11):
        metrics.append(step, loss=step)
    metrics.flush()
    _, cursor = read_metrics(run.metrics_path)
    untouched = run.metrics_path.read_bytes()
    metrics.truncate_after(10)
    assert run.metrics_path.read_bytes() == untouched
    with run.metrics_path.open("ab") as stream:
        stream.write(b'{"step":11,"lo')

    resumed = RunFolder.open(run.path).metrics()
    resumed.truncate_after(6)
    for step in range(7, 13):
        resumed.append(step, loss=step * 10)
    resumed.close()
    lines, _ = read_metrics(run.metrics_path, cursor)
    assert [(line["step"], line["loss"]) for line in lines] == [
        *((step, step) for step in range(1, 7)),
        *((step, step * 10) for step in range(7, 13)),
    ]


def test_failed_append_leaves_nothing(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a full disk the same lines are written again: none twice, none lost, and cursors stay good."""
    metrics = run.metrics()
    metrics.append(1, loss=1)
    metrics.flush()
    metrics.append(2, loss=2)
    size = run.metrics_path.stat().st_size
    monkeypatch.setenv("LORATORY_FAULT", "metrics.torn_append=enospc")
    with pytest.raises(ValueError, match="disk is full"):
        metrics.flush()
    monkeypatch.delenv("LORATORY_FAULT")
    assert run.metrics_path.stat().st_size == size
    metrics.append(3, loss=3)
    metrics.close()
    assert [line["step"] for line in iterate_metrics(run.metrics_path)] == [1, 2, 3]


def test_a_line_that_lacks_only_its_end_does_not_come_back(tmp_path: Path) -> None:
    """A kill can end an append right before the last newline; the run that goes on logs that step again."""
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path) as log:
        log.append(1, loss=0.5)
        log.append(2, loss=0.25)
    path.write_bytes(path.read_bytes()[:-1])
    with MetricsLog(path) as log:
        log.truncate_after(1)
        log.append(2, loss=0.25)
    assert [line["step"] for line in iterate_metrics(path)] == [1, 2]
