"""Numbers as a binary frame: what is in it is what the engine wrote, and thinning keeps the extremes."""

import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loratory.jobs.history import Histories, History, thinned
from loratory.runs import MetricsLog

EVERYTHING = (0, 2**32 - 1)


def decode(frame: bytes) -> tuple[dict[str, object], dict[str, tuple[np.ndarray, np.ndarray]]]:
    """What a client does: by the description in docs/reference/events.md and nothing else."""
    (length,) = struct.unpack("<I", frame[:4])
    header = json.loads(frame[4 : 4 + length])
    assert (4 + length) % 4 == 0
    data, found = frame[4 + length :], {}
    for series in header["series"]:
        count, offset = series["count"], series["offset"]
        steps = np.frombuffer(data, "<u4", count, offset)
        found[series["name"]] = steps, np.frombuffer(data, "<f4", count, offset + 4 * count)
    assert len(data) == sum(8 * series["count"] for series in header["series"])
    return header, found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics_dog.jsonl"


def test_round_trip_against_the_lines(path: Path) -> None:
    rng = np.random.default_rng(0)
    losses = rng.normal(size=300)
    losses[[7, 8, 299]] = [math.inf, math.nan, -math.inf]
    with MetricsLog(path) as log:
        for step, loss in enumerate(losses, 1):
            log.append(
                step, loss=loss, epoch=step // 100, phase="late", big=1e30, **({"ä b/c": 0.1} if step % 10 == 0 else {})
            )
            if step % 100 == 0:
                log.append(step, validation_loss=2.0)
    header, found = decode(History(path).frame([], EVERYTHING, None))
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    assert header["version"] == 1 and header["time_origin"] == lines[0]["time"]
    assert found.keys() == {"time", "loss", "epoch", "big", "ä b/c", "validation_loss"}
    for name, (steps, values) in found.items():
        mine = [line for line in lines if name in line]
        assert steps.tolist() == [line["step"] for line in mine]
        origin = lines[0]["time"] if name == "time" else 0.0
        numbers = [math.nan if line[name] is None else line[name] - origin for line in mine]
        np.testing.assert_array_equal(values, np.array(numbers, np.float32))


def test_choice_of_names_and_steps(path: Path) -> None:
    with MetricsLog(path) as log:
        for step in range(1, 101):
            log.append(step, loss=step, other=-step)
    header, found = decode(History(path).frame(["other", "nothing", "other"], (10, 19), None))
    assert list(found) == ["other", "nothing"]
    assert found["other"][0].tolist() == list(range(10, 20))
    assert found["other"][1].tolist() == [-step for step in range(10, 20)]
    assert [series["total"] for series in header["series"]] == [10, 0]  # type: ignore[attr-defined]


def test_only_what_is_new_is_read_and_a_rewritten_file_is_read_anew(path: Path) -> None:
    log, history = MetricsLog(path), History(path)
    assert decode(history.frame([], EVERYTHING, None))[1] == {}
    for step in range(1, 11):
        log.append(step, loss=step)
    log.flush()
    first, found = decode(history.frame(["loss"], EVERYTHING, None))
    assert found["loss"][0].tolist() == list(range(1, 11))
    log.append(11, loss=0.5)
    log.flush()
    assert decode(history.frame(["loss"], EVERYTHING, None))[1]["loss"][0].tolist() == list(range(1, 12))
    log.truncate_after(4)
    log.append(5, loss=50)
    log.flush()
    second, found = decode(history.frame(["loss"], EVERYTHING, None))
    assert found["loss"][1].tolist() == [1, 2, 3, 4, 50]
    assert first["cursor"] != second["cursor"]
    assert history.names()[1] == {"name": "loss", "count": 5, "first_step": 1, "last_step": 5, "last": 50.0}


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    st.lists(st.floats(width=32), min_size=1, max_size=400),
    st.integers(min_value=2, max_value=100),
)
def test_thinning_keeps_the_lowest_and_the_highest_and_what_is_not_finite(numbers: list[float], points: int) -> None:
    values = np.array(numbers, np.float32)
    kept = thinned(values, points)
    assert kept.tolist() == sorted(set(kept.tolist()))
    assert len(kept) <= max(points, 3)
    if len(values) <= points:
        assert kept.tolist() == list(range(len(values)))
    finite = values[np.isfinite(values)]
    if len(finite):
        assert finite.min() in values[kept] and finite.max() in values[kept]
    if len(finite) < len(values):
        assert not np.isfinite(values[kept]).all()


def test_memory_is_bounded(tmp_path: Path) -> None:
    histories = Histories(kept_values=100)
    kept = []
    for number in range(3):
        path = tmp_path / f"{number}.jsonl"
        with MetricsLog(path) as log:
            for step in range(30):
                log.append(step, loss=step)
        kept.append(histories.of(path))
        kept[-1].names()
    assert histories.of(tmp_path / "2.jsonl") is kept[2]
    assert histories.of(tmp_path / "0.jsonl") is not kept[0]
