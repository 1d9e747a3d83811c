"""The index of all runs: what it lists, and what it notices."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from loratory.jobs.database import open_database
from loratory.jobs.index import Changes, Index, Query, UnknownRun
from loratory.runs import RunFolder, home_folder
from loratory.runs.notes import read_notes, write_notes


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LORATORY_HOME", str(tmp_path / "home"))
    return home_folder("output")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    engine = open_database(tmp_path / "queue.sqlite")
    yield Index(engine)
    engine.dispose()


def names(index: Index, **query: object) -> list[str]:
    return [facts.name for facts in index.list(Query(**{"sort": "name", "descending": False, **query}))[0]]  # type: ignore[arg-type]


def test_it_mirrors_the_folders(index: Index, home: Path, tmp_path: Path) -> None:
    run = RunFolder.create(home, "dog")
    RunFolder.create(tmp_path / "elsewhere", "cat")
    with run.lock(), run.metrics() as metrics:
        run.write_status("starting")
        run.write_config("model: {path: sd15, architecture: sd1}\nnetwork: {type: loha}\n")
        metrics.append(7, loss=0.25)
        metrics.append(7, validation_loss=0.5)
    run.samples_path.joinpath("000000005_00_0123abcd.png").write_bytes(b"")
    run.samples_path.joinpath("000000007_00_0123abcd.png").write_bytes(b"")
    run.export_path(5).write_bytes(b"x" * 1000)
    run.write_status("failed", step=7, total_steps=9, iterations_per_second=2.5,
                     error={"kind": "OutOfMemory", "message": "The card is full."})  # fmt: skip
    changes = index.refresh()
    assert sorted(facts.name for facts in changes.changed) == ["cat", "dog"] == names(index)
    facts = index.get(run.id)
    assert (facts.state, facts.step, facts.total_steps) == ("failed", 7, 9)
    assert (facts.error, facts.iterations_per_second) == ("The card is full.", 2.5)
    assert (facts.architecture, facts.network, facts.loss) == ("sd1", "loha", 0.25)
    assert (facts.sample, facts.samples, facts.exports) == ("000000007_00_0123abcd.png", 2, 1)
    assert facts.bytes is not None and facts.bytes > 1000
    assert index.refresh() == Changes()


def test_it_notices_what_changes(index: Index, home: Path) -> None:
    dog, cat = RunFolder.create(home, "dog"), RunFolder.create(home, "cat")
    index.refresh()
    dog.write_status("finished", step=1)
    assert [facts.state for facts in index.refresh().changed] == ["finished"]
    write_notes(cat.path, "first\nsecond", ["good", "dog"], read_notes(cat.path).version)
    (facts,) = index.refresh().changed
    assert (facts.notes, facts.tags) == ("first", ["good", "dog"])

    dog.path.rename(home / "renamed")
    assert index.find(dog.id) == home / "renamed"
    assert index.refresh() == Changes()
    new = RunFolder.create(home, "dog")
    assert index.find(new.id) == home / "dog"
    assert index.find(dog.id) == home / "renamed"

    shutil.rmtree(home / "renamed")
    assert index.refresh().gone == [dog.id]
    with pytest.raises(UnknownRun, match=dog.id):
        index.find(dog.id)
    assert names(index) == ["cat", "dog"]


def test_two_runs_that_change_places(index: Index, home: Path) -> None:
    one, two = RunFolder.create(home, "one"), RunFolder.create(home, "two")
    index.refresh()
    one.path.rename(home / "x")
    two.path.rename(home / "one")
    (home / "x").rename(home / "two")
    assert (index.find(one.id), index.find(two.id)) == (home / "two", home / "one")
    assert index.refresh() == Changes()


def test_a_copy_is_the_same_run(index: Index, home: Path) -> None:
    run = RunFolder.create(home, "dog")
    index.refresh()
    shutil.copytree(run.path, home / "a copy")
    run.write_status("finished")
    assert [facts.path for facts in index.refresh().changed] == [str(run.path)]
    shutil.rmtree(run.path)
    assert index.find(run.id) == home / "a copy"


def test_the_death_and_the_life_of_an_engine(index: Index, home: Path) -> None:
    run = RunFolder.create(home, "dog")
    with run.lock():
        run.write_status("training", step=1)
        index.refresh()
        assert index.get(run.id).state == "training"
    assert [facts.state for facts in index.refresh().changed] == ["died"]
    assert index.refresh() == Changes()


def test_a_damaged_run_hides_no_other(index: Index, home: Path, caplog: pytest.LogCaptureFixture) -> None:
    RunFolder.create(home, "dog")
    bad = RunFolder.create(home, "cat")
    bad.status_path.write_text("{")
    for _ in range(3):
        index.refresh()
        assert names(index) == ["dog"]
    assert len([record for record in caplog.records if "damaged" in record.message]) == 1


def test_rebuild(index: Index, home: Path) -> None:
    runs = [RunFolder.create(home, name) for name in ("dog", "cat")]
    assert index.rebuild() == 2
    with index._engine.begin() as connection:
        connection.execute(text("UPDATE runs SET name = 'wrong'"))
    assert index.rebuild() == 2
    assert names(index) == ["cat", "dog"]
    assert index.find(runs[0].id) == runs[0].path


def test_queries(index: Index, home: Path) -> None:
    for number, (name, state, tags, words) in enumerate(
        [
            ("Ähre", "finished", ["best", "a b"], "50% off"),
            ("dog_1", "failed", ["best"], "quote ' here"),
            ("dog_2", "finished", [], ""),
            ("dogX2", "stopped", ["bes"], "under_score"),
        ]
    ):
        run = RunFolder.create(home, name)
        run.write_status(state, step=number or None)  # type: ignore[arg-type]
        write_notes(run.path, words, tags, "none")
    index.refresh()
    assert names(index, search="DOG") == ["dogX2", "dog_1", "dog_2"]
    assert names(index, search="dog_2") == ["dog_2"]
    assert names(index, search="äHRE 50%") == ["Ähre"]
    assert names(index, search="' here") == ["dog_1"]
    assert names(index, tags=["best"]) == ["dog_1", "Ähre"]
    assert names(index, tags=["best", "a b"]) == ["Ähre"]
    assert names(index, states=["finished", "stopped"]) == ["dogX2", "dog_2", "Ähre"]
    assert names(index, states=["'; DROP TABLE runs"]) == []
    assert names(index, sort="step", descending=True) == ["dogX2", "dog_2", "dog_1", "Ähre"]
    assert names(index, offset=1, limit=2) == ["dog_1", "dog_2"]
    assert index.list(Query(limit=1))[1] == 4
    assert index.tags() == {"best": 2, "a b": 1, "bes": 1}
    assert index.states() == {"finished": 2, "failed": 1, "stopped": 1}


def test_a_thousand_runs_are_refreshed_without_reading_them(index: Index, home: Path) -> None:
    first = RunFolder.create(home, "run")
    for number in range(999):
        folder = home / f"run {number}"
        folder.mkdir()
        status = first.status_path.read_text().replace(first.id, f"{first.id[:-4]}{number:04}")
        (folder / "status.json").write_text(status.replace('"run"', f'"run {number}"'))
    assert len(index.refresh().changed) == 1000
    opened: list[object] = []
    reads = Path.read_bytes
    try:
        Path.read_bytes = lambda self: opened.append(self) or reads(self)  # type: ignore[method-assign,func-returns-value]
        began = time.perf_counter()
        assert index.refresh() == Changes()
        seconds = time.perf_counter() - began
    finally:
        Path.read_bytes = reads  # type: ignore[method-assign]
    assert opened == []
    assert seconds < 0.5, "tens of milliseconds on a quiet machine"
    os.utime(home / "run 7" / "status.json")
    assert [facts.name for facts in index.refresh().changed] == ["run 7"]
