"""Every tracker, read back with somebody else's reader; what fails is said and stops nothing."""

from __future__ import annotations

import ast
import csv
import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from loratory.config.runtime import LoggingConfig, WandbConfig
from loratory.errors import UserError
from loratory.runs import RunFolder, read_events, read_metrics
from loratory.training import trackers
from loratory.training.recorder import Recorder, make_recorder
from loratory.training.trackers import check_available
from tests.unit.training.helpers import job

TOKEN = "hf_" + "a1" * 12


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.setenv("LORATORY_HOME", str(tmp_path / "home"))
    return RunFolder.create(tmp_path / "out", "dog")


@pytest.fixture
def picture(run: RunFolder) -> Path:
    path = run.sample_path(2, 0, "abc")
    Image.fromarray(np.full((8, 16, 3), (255, 0, 0), dtype=np.uint8)).save(path)
    return path


def recorder(run: RunFolder, step: int = 0, without: str = "", **logging: Any) -> Recorder:
    config = job(logging=logging, optimizer={"learning_rate": 0.5}, text={}, datasets=[{"path": "/home/me/dog"}])
    return make_recorder(config, run, step, without)


def two_runs(run: RunFolder, picture: Path, **logging: Any) -> None:
    """Three steps, of which the third is lost, and two more after a resume; a number that comes later, one that is
    none, a name, and a sample."""
    first = recorder(run, **logging)
    first.append(1, loss=0.5)
    first.append(2, loss=0.25, late=7.0, phase="first, or so")
    first.samples(2, [picture, run.path / "sample.mp4"])
    first.flush()
    first.append(3, loss=99.0)
    first.close()
    second = recorder(run, 2, **logging)
    second.append(3, loss=float("nan"), late=8.0)
    second.append(4, loss=0.125, later=1.0)
    second.close()


def events(run: RunFolder) -> list[Any]:
    return read_events(run.events_path)[0]


# Read back ---------------------------------------------------------------------------------------------------


def test_csv(run: RunFolder, picture: Path) -> None:
    two_runs(run, picture, csv=True)
    with (run.path / "metrics_dog.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["step"], row["loss"], row["late"], row["later"], row["phase"], row["nonfinite"]) for row in rows] == [
        ("1", "0.5", "", "", "", ""),
        ("2", "0.25", "7.0", "", "first, or so", ""),
        ("3", "", "8.0", "", "", "loss"),
        ("4", "0.125", "", "1.0", "", ""),
    ]
    assert all(None not in row for row in rows), "no row is longer than the first line"


def test_csv_gets_new_columns_between_flushes(run: RunFolder) -> None:
    written = recorder(run, csv=True)
    for step in range(1, 6):
        written.append(step, **{f"new{step}": float(step)})
        written.flush()
    written.close()
    with (run.path / "metrics_dog.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row[f"new{step}"] for step, row in enumerate(rows, 1)] == ["1.0", "2.0", "3.0", "4.0", "5.0"]
    assert [row["new3"] for row in rows] == ["", "", "3.0", "", ""]


@pytest.mark.slow
def test_tensorboard(run: RunFolder, picture: Path) -> None:
    """With TensorBoard's own reader: the lost step is gone, and the sample is a picture."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    two_runs(run, picture, tensorboard=True)
    read = EventAccumulator(str(run.path / "tensorboard"))
    read.Reload()
    assert [(event.step, event.value) for event in read.Scalars("loss")] == [(1, 0.5), (2, 0.25), (4, 0.125)]
    assert [(event.step, event.value) for event in read.Scalars("late")] == [(2, 7.0), (3, 8.0)]
    assert "phase" not in read.Tags()["scalars"] and "step" not in read.Tags()["scalars"]
    (image,) = read.Images("samples/00")
    assert (image.step, image.width, image.height) == (2, 16, 8)
    config = read.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "optimizer.learning_rate | 0.5" in config and "/home/me" not in config


def records_of_wandb(file: Path) -> list[Any]:
    """All records of one of its files. Its own process writes them, and ends a moment after `finish` returns."""
    from wandb.proto import wandb_internal_pb2
    from wandb.sdk.internal.datastore import DataStore

    for _ in range(100):
        store, records = DataStore(), []
        store.open_for_scan(str(file))
        while (data := store.scan_data()) is not None:
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            records.append(record)
        if any(record.WhichOneof("record_type") == "exit" for record in records):
            return records
        time.sleep(0.1)
    raise AssertionError(f"{file} was never finished")


@pytest.mark.slow
def test_wandb_offline(run: RunFolder, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the reader of its own files: id, settings, numbers over our steps, and no secret and no path of ours."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    wandb = {"mode": "offline", "project": "pets", "entity": "us", "run_name": "first", "tags": ["a", TOKEN]}
    two_runs(run, picture, wandb=wandb)
    files = sorted((run.path / "wandb").glob("offline-run-*/run-*.wandb"))
    assert files and all(run.id in file.name for file in files), "a resume goes on with the same run"
    records = []
    for file in files:
        records += records_of_wandb(file)
        assert TOKEN.encode() not in file.read_bytes(), "a secret was sent"
        assert b"/home/me" not in file.read_bytes()
    begun = [record.run for record in records if record.WhichOneof("record_type") == "run"]
    assert {(each.run_id, each.project, each.entity, each.display_name) for each in begun} == {
        (run.id, "pets", "us", "first")
    }
    assert {update.key or ".".join(update.nested_key) for update in begun[0].config.update} >= {
        "optimizer.learning_rate"
    }
    lines = [
        {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
        for record in records
        if record.WhichOneof("record_type") == "history"
    ]
    losses = [(int(line["step"]), float(line["loss"])) for line in lines if "loss" in line]
    assert losses == [(1, 0.5), (2, 0.25), (3, 99.0), (4, 0.125)]
    assert any(key.startswith("samples/00") for line in lines for key in line)


# What fails --------------------------------------------------------------------------------------------------


class Broken:
    NAME = name = "broken"
    PACKAGE = ""

    def __init__(self, fails: str) -> None:
        self.fails, self.called = fails, list[str]()

    def is_wanted(self, config: LoggingConfig) -> bool:
        return True

    def check(self, config: LoggingConfig) -> None:
        pass

    def start(self, config: LoggingConfig, beginning: Any) -> Broken:
        self._call("start")
        return self

    def _call(self, name: str) -> None:
        self.called.append(name)
        if name == self.fails:
            raise ConnectionError(f"no network; the key was {TOKEN}")

    def write(self, line: Any) -> None:
        self._call("write")

    def pictures(self, step: int, files: Any) -> None:
        self._call("pictures")

    def flush(self) -> None:
        self._call("flush")

    def close(self) -> None:
        self._call("close")


@pytest.mark.parametrize("fails", ["start", "write", "pictures", "flush", "close", "never"])
def test_a_tracker_that_fails_is_said_once_and_left_behind(
    fails: str, run: RunFolder, picture: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Broken(fails)
    monkeypatch.setattr(trackers, "TRACKERS", (broken, *trackers.TRACKERS))
    written = recorder(run, csv=True)
    for step in (1, 2):
        written.append(step, loss=0.5)
        written.samples(step, [picture])
        written.flush()
    written.close()
    order = ["start", "write", "pictures", "flush", "write", "pictures", "flush", "close"]
    assert broken.called == order[: order.index(fails) + 1] if fails != "never" else order
    said = [event.data for event in events(run) if event.kind == "tracker_failed"]
    warned = [record for record in caplog.records if "is left out from now on" in record.message]
    assert len(said) == len(warned) == (fails != "never")
    if said:
        assert said[0]["tracker"] == "broken" and TOKEN not in str(said)
    assert len(read_metrics(run.metrics_path)[0]) == 2
    assert len((run.path / "metrics_dog.csv").read_text(encoding="utf-8").splitlines()) == 3, "the others go on"


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_missing_package_is_said_before_anything_is_loaded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(trackers, "find_spec", lambda wanted: None if wanted == name else real(wanted))
    config = job(logging={"tensorboard": True, "wandb": {"mode": "offline"}}).logging
    with pytest.raises(UserError, match=rf"logging\.{name} needs the package {name}.*loratory\[trackers\]"):
        check_available(config)
    check_available(job().logging)


def test_wandb_without_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would ask on the terminal, in the middle of a run."""
    config = job(logging={"wandb": {"mode": "online"}}).logging
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    with pytest.raises(UserError, match=r"WANDB_API_KEY.*wandb login.*offline"):
        check_available(config)
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    check_available(config)
    monkeypatch.delenv("WANDB_API_KEY")
    kept = tmp_path / ".netrc"
    kept.write_text("machine api.wandb.ai\n  login user\n  password " + "x" * 40 + "\n", encoding="utf-8")
    kept.chmod(0o600)
    check_available(config)
    check_available(job(logging={"wandb": {"mode": "offline"}}).logging)


@pytest.mark.parametrize("module", trackers.TRACKERS, ids=lambda module: module.NAME)
def test_a_library_is_imported_only_where_it_is_used(module: ModuleType) -> None:
    assert module.__file__
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    imported = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} & {"wandb", "tensorboard", "torch"} == set()


# Every field does something ----------------------------------------------------------------------------------


def wandb_call(monkeypatch: pytest.MonkeyPatch, run: RunFolder, wandb: dict[str, Any]) -> dict[str, Any]:
    """What wandb is asked for."""
    asked: dict[str, Any] = {}

    def init(**arguments: Any) -> Any:
        asked.update(arguments)
        return SimpleNamespace(define_metric=lambda *_, **__: None, log=lambda line: None, finish=lambda: None)

    fake = SimpleNamespace(init=init, Settings=lambda **settings: settings)
    monkeypatch.setitem(sys.modules, "wandb", fake)  # type: ignore[arg-type]
    recorder(run, wandb=wandb).close()
    return asked


# field -> another value, and what wandb calls it
WANDB_WALK = {
    "mode": ("offline", "mode"),
    "project": ("pets", "project"),
    "entity": ("us", "entity"),
    "run_name": ("first", "name"),
    "tags": (["x"], "tags"),
}


@pytest.mark.parametrize("field", WandbConfig.model_fields)
def test_every_field_of_wandb_reaches_it(field: str, run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    value, argument = WANDB_WALK[field]
    usual = wandb_call(monkeypatch, run, {"mode": "online"})
    changed = wandb_call(monkeypatch, run, {"mode": "online"} | {field: value})
    assert changed[argument] == value != usual[argument]
    others = {"resume"} if field == "mode" else set()  # which means nothing without a network
    assert {name for name in usual if usual[name] != changed[name]} == {argument} | others
    assert (usual["id"], usual["resume"], usual["name"]) == (run.id, "allow", "dog")


WALK: dict[str, Callable[[RunFolder], bool]] = {
    "tensorboard": lambda run: (run.path / "tensorboard").is_dir(),
    "csv": lambda run: (run.path / "metrics_dog.csv").is_file(),
}
ELSEWHERE = {
    "every_n_steps": "e2e/test_stop_and_resume.test_logged_seldom",
    "level": "e2e/test_validation.test_what_is_recorded_and_shown",
    "wandb": "test_every_field_of_wandb_reaches_it",
}


def test_the_walk_knows_every_field() -> None:
    assert WALK.keys() | ELSEWHERE.keys() == LoggingConfig.model_fields.keys()


@pytest.mark.parametrize("field", WALK)
def test_every_switch_switches(field: str, run: RunFolder) -> None:
    recorder(run).close()
    assert not WALK[field](run)
    recorder(run, **{field: True}).close()
    assert WALK[field](run)
