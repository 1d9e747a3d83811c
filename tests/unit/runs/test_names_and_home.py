"""Names that every system takes, ids that sort, and the home folder with its list of runs."""

import time
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

import pytest

from loratory.errors import UserError
from loratory.runs import (
    RunFolder,
    check_name,
    home,
    home_folder,
    is_ulid,
    known_runs,
    names,
    new_ulid,
    register_run,
    ulid_time,
)


@pytest.mark.parametrize(
    "name",
    ["dog", "my dog", "a.b", "dog_v1.0", "Köter-7", "犬", "console", "com10", "nul_1", "x" * 100, "[a]{b}", "a'b"],
)
def test_good_names(name: str, tmp_path: Path) -> None:
    assert check_name(name) == name
    assert RunFolder.create(tmp_path, name).path == tmp_path / name


@pytest.mark.parametrize(
    "name",
    [
        *[
            "",
            " ",
            ".",
            "..",
            ".hidden",
            "-rf",
            "a/b",
            "a\\b",
            "a:b",
            "a*",
            "a?",
            'a"',
            "a<b",
            "a>b",
            "a|b",
            "a\n",
            "a\0",
        ],
        *["dog ", " dog", "dog.", "con", "NUL", "Aux.txt", "com1", "LPT9.tar.gz", "com\u00b9", "con .x", "conin$"],
        *["x" * 101, "犬" * 70, "\ud800"],
    ],
)
def test_bad_names(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^The run .*[.:;]"):
        RunFolder.create(tmp_path, name)
    assert [path.name for path in tmp_path.iterdir()] == []


def test_names_are_normalized() -> None:
    assert check_name("Ko\u0308ter") == "K\u00f6ter"


# ULIDs, decoded here by another way than they are made: as a number in base 32


def decode(ulid: str) -> int:
    digits = "0123456789abcdefghijklmnopqrstuv"
    return int("".join(digits["0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(letter)] for letter in ulid), 32)


def test_ulid_holds_the_time() -> None:
    before = int(time.time() * 1000)
    ulid = new_ulid()
    after = int(time.time() * 1000)
    assert len(ulid) == 26
    assert before <= decode(ulid) >> 80 <= after
    assert is_ulid(ulid)
    assert abs((ulid_time(ulid) - datetime.now(UTC)).total_seconds()) < 5
    # The example of the specification's text: 1469918176385 ms.
    assert ulid_time("01ARYZ6S41TSV4RRFFQ69G5FAV") == datetime.fromtimestamp(1469918176.385, UTC)


def test_ulids_grow_and_never_repeat() -> None:
    found: list[list[str]] = []

    def make() -> None:
        found.append([new_ulid() for _ in range(3000)])

    threads = [Thread(target=make) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({ulid for ulids in found for ulid in ulids}) == 9000
    for ulids in found:
        assert ulids == sorted(ulids)


def test_ulids_grow_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    first = new_ulid()
    monkeypatch.setattr(names.time, "time_ns", lambda: 1_000_000_000)
    assert new_ulid() > first


@pytest.mark.parametrize(
    "text", ["", "x" * 26, "01ARZ3NDEKTSV4RRFFQ69G5FA", "01ARZ3NDEKTSV4RRFFQ69G5FAI", "8" + "0" * 25]
)
def test_no_ulid(text: str) -> None:
    assert not is_ulid(text)


# Home


def test_home(own_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert home() == own_home
    assert not own_home.exists()
    assert home_folder("cache") == own_home / "cache"
    assert (own_home / "cache").is_dir()
    monkeypatch.setenv("LORATORY_HOME", "~/elsewhere")
    assert home() == Path.home() / "elsewhere"
    monkeypatch.delenv("LORATORY_HOME")
    assert home() == Path.home() / "loratory"
    (tmp_path / "file").touch()
    monkeypatch.setenv("LORATORY_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match="set LORATORY_HOME to a folder"):
        home_folder("output")


def test_known_runs(own_home: Path, tmp_path: Path) -> None:
    assert known_runs() == []
    inside = RunFolder.create(home_folder("output"), "inside")
    (own_home / "output" / "no run").mkdir()
    deeper = RunFolder.create(own_home / "output" / "project", "deeper")
    outside = RunFolder.create(tmp_path / "out", "outside")
    assert known_runs() == [run.path.resolve() for run in (inside, deeper, outside)]
    register_run(outside.path, outside.id)
    with outside.lock():
        pass
    registry = own_home / "state" / "runs.jsonl"
    assert registry.read_text().count("outside") == 1
    outside.path.rename(tmp_path / "out" / "moved")
    assert known_runs() == [run.path.resolve() for run in (inside, deeper)]
    with RunFolder.open(tmp_path / "out" / "moved").lock():
        pass
    assert known_runs()[-1] == (tmp_path / "out" / "moved").resolve()
    with registry.open("ab") as stream:
        stream.write(b'{"path": "/x')
    RunFolder.create(tmp_path / "out", "third")
    assert len(known_runs()) == 4


def test_home_may_not_be_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LORATORY_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match="set LORATORY_HOME to a folder"):
        RunFolder.create(tmp_path / "out", "dog")
    assert not (tmp_path / "out" / "dog").exists()
