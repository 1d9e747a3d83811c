"""Runs that the queue made ready: begun by their folder, from an older checkpoint; and why one could not begin."""

from collections.abc import Callable
from pathlib import Path

import pytest

from loratory.config.load import dump
from loratory.runs import RunFolder, read_status
from tests.e2e.jobs import BUSY, config_of, contents, differences, events, kinds, raising, train

pytestmark = pytest.mark.slow


def test_a_waiting_run_begins_and_goes_on_from_an_older_step(
    make_job: Callable, job_file: Callable, loratory: Callable, tmp_path: Path
) -> None:  # fmt: skip
    """By its folder alone; and from an older checkpoint it does bit for bit what it did before."""
    data = make_job("sd15", BUSY | {"saving.keep_last_exports": None, "saving.keep_last_checkpoints": 100})
    config = config_of(data)
    run = RunFolder.create(tmp_path / "out", "run", dump(config))
    said = loratory("train", run.path)
    assert said.code == 0, said.text
    assert "exists; it goes on" not in said.text
    assert kinds(run)[0] == "started"
    assert "resumed" not in kinds(run)
    before = contents(run)

    said = loratory("train", run.path, "--from-step", 5)
    assert "no checkpoint of step 5: it has 2, 4, 6, 8, 10 (0 is the beginning)" in said.error
    assert contents(run) == before
    said = loratory("train", run.path, "--from-step", 4)
    assert said.code == 0, said.text
    assert [event.data["step"] for event in events(run) if event.kind in ("rewound", "resumed")][-2:] == [4, 4]
    after = contents(run)
    assert differences(after, before) == []
    assert {kind: list(things) for kind, things in after.items()} == {
        kind: list(things) for kind, things in before.items()
    }

    said = loratory("train", run.path, "--from-step", 0)
    assert said.code == 0, said.text
    assert differences(contents(run), before) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"model.path": "/nowhere/model.safetensors"}, "missing_model"),
        ({"datasets": [{"path": "/nowhere"}]}, "broken_dataset"),
        ({"memory.precision": "fp16"}, "invalid"),
    ],
)
def test_why_a_waiting_run_cannot_begin(
    changes: dict, code: str, make_job: Callable, loratory: Callable, tmp_path: Path
) -> None:  # fmt: skip
    """It stands in its folder, for nobody may be at the terminal."""
    run = RunFolder.create(tmp_path / "out", "run", dump(config_of(make_job("sd15", changes))))
    said = loratory("train", run.path)
    assert said.code == 1
    status = read_status(run.path)
    assert (status.state, status.error["code"]) == ("failed", code)
    assert status.message is not None
    assert status.message in said.error
    assert kinds(run) == ["failed"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), "out_of_memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "out_of_ram"),
        (MemoryError(), "out_of_ram"),
        (OSError(28, "No space left on device"), "disk_full"),
        (KeyError("x"), "unknown"),
    ],
)
def test_what_kind_of_failure(
    error: Exception, code: str, make_job: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr("loratory.training.run.assembled", raising(error))
    with pytest.raises(type(error)):
        train(make_job("sd15"))
    assert read_status(tmp_path / "out" / "run").error["code"] == code  # type: ignore[index]
