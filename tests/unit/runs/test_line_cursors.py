"""Places in logs: their end, reading up to one, reading backwards, and finding the first line of a time."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loratory.runs import jsonl


def make(path: Path, records: list[jsonl.Record]) -> None:
    path.write_bytes(jsonl.header() + b"".join(jsonl.encode(record) for record in records))


def test_the_end_is_behind_the_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert jsonl.end(path) == jsonl.NO_FILE
    path.write_bytes(b'{"log_id"')
    assert jsonl.end(path) == jsonl.NO_FILE
    make(path, [{"n": 1}])
    end, size = jsonl.end(path), path.stat().st_size
    assert end == jsonl.read(path)[1] and jsonl.place(end)[1] == size
    with path.open("ab") as stream:
        stream.write(b'{"n": 2, "long": "' + b"x" * 200_000)
    assert jsonl.end(path) == end
    with path.open("ab") as stream:
        stream.write(b'"}\n')
    assert jsonl.read(path, end) == ([{"n": 2, "long": "x" * 200_000}], jsonl.end(path))


def test_a_cursor_that_cannot_be_honoured_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert jsonl.read_lines(path) == jsonl.Lines([], jsonl.NO_FILE, False)
    assert jsonl.read_lines(path, "0123456789abcdef:5").began_again
    make(path, [{"n": 1}])
    end = jsonl.end(path)
    assert not jsonl.read_lines(path, end).began_again
    assert not jsonl.read_lines(path, jsonl.NO_FILE).began_again
    file_id, offset = jsonl.place(end)
    for cursor in (f"{file_id}:{offset + 1}", "0123456789abcdef:5", "x"):
        again = jsonl.read_lines(path, cursor)
        assert again.began_again and len(again.lines) == 2
    make(path, [{"n": 1}])
    assert jsonl.read_lines(path, end).began_again
    for bad in ("x", "0123456789abcdef:", ":5", "0123456789ABCDEF:5"):
        with pytest.raises(ValueError, match=bad):
            jsonl.place(bad)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.lists(st.integers(0, 3000), max_size=40), st.integers(1, 4000), st.data())
def test_reading_up_to_a_place_in_blocks_of_any_size(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], block: int, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    lines = [b"%d " % number + b"x" * size for number, size in enumerate(sizes)]
    path.write_bytes(b"".join(line + b"\n" for line in [b"first", *lines]) + b"torn")
    everything = [b"first", *lines]
    count = data.draw(st.integers(1, len(everything)))
    until = sum(len(line) + 1 for line in everything[:count])
    found: list[bytes] = []
    cursor: str | None = None
    while (some := jsonl.read_lines(path, cursor, block_bytes=block, until=until)).lines:
        found += some.lines
        cursor = some.cursor
    assert found == everything[:count]
    assert jsonl.place(some.cursor)[1] == until


def test_backwards(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert list(jsonl.backwards(path)) == []
    records = [{"n": number, "text": "é" * (number * 37 % 3000)} for number in range(200)]
    make(path, records)
    with path.open("ab") as stream:
        stream.write(b'nonsense\n{"n": "torn')
    assert list(jsonl.backwards(path)) == records[::-1]
    assert jsonl.last(path) == records[-1]


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.lists(st.integers(0, 500), max_size=300), st.integers(-10, 520), st.booleans())
def test_the_first_line_since(
    tmp_path_factory: pytest.TempPathFactory, times: list[int], value: int, long: bool
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    times.sort()
    make(path, [record for time in times for record in ({"time": time, "x": "x" * (3000 * long)}, {"other": 1})])
    found = jsonl.first_since(path, "time", value)
    expected = next((time for time in times if time >= value), None)
    assert (None if found is None else found["time"]) == expected
