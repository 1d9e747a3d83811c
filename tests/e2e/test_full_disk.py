"""The disk is full at one write after the other: one sentence each time, nothing is lost, and the run goes on later."""

import errno
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from loratory import files
from loratory.runs import RunFolder, jsonl, read_status
from tests.e2e.conftest import Said
from tests.e2e.jobs import BUSY, Data, changed, contents, differences, leftovers, train
from tests.write_points import points_of_a_training

pytestmark = pytest.mark.slow

# In the order in which one run that is tried again and again passes them.
FULL_AT = (
    "file.before_write",
    "registry.before_append",
    "run.before_rename",
    "config.before_rename",
    "events.before_append",
    "status.before_write:2",
    "cache.before_rename",
    "metrics.before_append",
    "checkpoint_file.before_write:5",
    "checkpoint.before_rename",
    "events.torn_append:4",
    "export.before_rename",
    "sample.before_write",
    "metrics.torn_append:2",
    "delete.before_remove",
    "export.after_rename:3",
    "status.before_rename:3",
)


# A checkpoint is replaced only when a finished run is trained again.
ELSEWHERE = "checkpoint.replacing"


@pytest.fixture
def undisturbed(make_job: Callable) -> Data:
    keep = {"saving.keep_last_exports": None, "saving.keep_last_checkpoints": 100}
    return contents(train(make_job("sd15", BUSY | keep, output="undisturbed")))


@pytest.mark.parametrize(
    "points", [pytest.param(FULL_AT, id="one of each"), pytest.param(None, id="all", marks=pytest.mark.full)]
)
def test_disk_is_full(
    points: tuple[str, ...] | None, undisturbed: Data, make_job: Callable, job_file: Callable, loratory: Callable,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    number, steps = 0, []
    path, run_path = Path(), Path()

    def begin_anew() -> None:
        """A new run, and a home where nothing is cached."""
        nonlocal number, path, run_path
        number += 1
        monkeypatch.setenv("LORATORY_HOME", str(tmp_path / f"home{number}"))
        path, run_path = job_file(make_job("sd15", BUSY, output=f"out{number}")), tmp_path / f"out{number}" / "run"
        steps.clear()

    def train_with(fault: str) -> Said:
        monkeypatch.setenv("LORATORY_FAULT", f"{fault}=enospc")
        said = loratory("train", path)
        monkeypatch.delenv("LORATORY_FAULT")
        return said

    begin_anew()
    for fault in points or sorted(points_of_a_training() - {ELSEWHERE}):
        said = train_with(fault)
        if said.code == 0:  # what was left of the run did not pass this point
            begin_anew()
            said = train_with(fault)
        assert said.code == 1, (fault, said.text)
        assert said.error.startswith("Error: The disk is full or your quota is used up: "), fault
        assert "MB free). Free some space there and start again; what was there before is untouched." in said.error
        if not run_path.exists():
            continue
        run = RunFolder.open(run_path)
        assert differences(contents(run), undisturbed) == [], fault
        assert leftovers(run) == [] or fault.startswith("delete."), fault
        steps.append(run.checkpoints()[-1].step if run.checkpoints() else 0)
        assert steps == sorted(steps), f"{fault}: a checkpoint was lost"
        if not fault.startswith(("file.", "registry.", "run.")):  # before the run begins
            assert read_status(run_path).state == "failed", fault
    assert loratory("train", path).code == 0
    found = contents(RunFolder.open(run_path))
    assert differences(found, undisturbed) == []
    assert list(found["metrics"]) == list(range(1, 11))
    assert "run.safetensors" in found["exports"]


def test_disk_is_full_from_now_on(
    make_job: Callable, job_file: Callable, loratory: Callable, at_step: Callable, monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    """Not even the failure can be written down then. What the person reads is still the first thing that failed."""
    full = False

    def reached(point: str) -> None:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "reached", reached)
    monkeypatch.setattr(jsonl, "reached", reached)

    def fill(_training: object) -> None:
        nonlocal full
        full = True

    at_step(3, fill)
    path = job_file(make_job("sd15", {"saving.checkpoint_every_n_steps": 2}))
    said = loratory("train", path)
    assert said.code == 1
    assert re.search(r"(metrics_run\.jsonl|status\.json) could not be written", said.error)
    assert said.text.count("The disk is full") >= 2, "the others are told of too"
    full = False
    at_step(0, fill)
    assert [each.step for each in RunFolder.open(tmp_path / "out" / "run").checkpoints()] == [2]
    assert loratory("train", path).code == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="platform: has no /dev/full")
def test_log_on_a_full_disk(make_job: Callable, job_file: Callable, loratory: Callable) -> None:
    """A log that cannot be written stops no training and floods nothing."""
    said = loratory("train", job_file(make_job("sd15", {"duration.steps": 2})), "--log", "/dev/full")
    assert said.code == 0, said.text[:2000]
    assert "Finished 2 steps" in said.text
    assert len(said.text) < 5000, said.text[:5000]


def test_output_elsewhere_after_a_full_disk(
    make_job: Callable, job_file: Callable, loratory: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run can be moved to a larger disk as a folder and goes on there."""
    monkeypatch.setenv("LORATORY_FAULT", "checkpoint.before_write:2=enospc")
    assert loratory("train", job_file(make_job("sd15", {"saving.checkpoint_every_n_steps": 2}))).code == 1
    monkeypatch.delenv("LORATORY_FAULT")
    larger = tmp_path / "larger" / "run"
    larger.parent.mkdir()
    (tmp_path / "out" / "run").rename(larger)
    said = loratory("train", larger)
    assert said.code == 0, said.text
    assert RunFolder.open(larger).final_export_path.exists()
    assert not (tmp_path / "out" / "run").exists()
    plain = train(changed(make_job("sd15", output="plain"), {}))
    assert contents(RunFolder.open(larger))["metrics"] == contents(plain)["metrics"]
