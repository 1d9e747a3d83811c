"""The command as a process of its own: Ctrl+C from outside, and a second process on the same run."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from loratory.runs import RunFolder, read_status
from tests.e2e.jobs import events, losses

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


def wait_for(what: Callable[[], bool], process: subprocess.Popen, seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert process.poll() is None, f"it ended with {process.returncode}"
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows sends Ctrl+C to all processes of a console")
def test_ctrl_c_and_a_second_process(
    make_job: Callable, job_file: Callable, loratory: Callable, tmp_path: Path
) -> None:
    path = job_file(make_job("sd15", {"duration.steps": 100_000, "logging.every_n_steps": 1}))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    run_path = tmp_path / "out" / "run"
    with (tmp_path / "printed").open("w+") as printed:
        process = subprocess.Popen(
            [sys.executable, "-m", "loratory.cli", "train", str(path)], stdout=printed, stderr=printed, env=environment
        )
        try:
            wait_for(lambda: (run_path / "status.json").exists() and read_status(run_path).state == "training", process)
            said = loratory("train", path)
            assert said.code == 1
            assert f"is being worked on by process {process.pid} on " in said.error

            process.send_signal(signal.SIGINT)
            assert process.wait(120) == 130
        finally:
            process.kill()
            process.wait()
        printed.seek(0)
        text = printed.read()
    run = RunFolder.open(run_path)
    (last,) = run.checkpoints()
    assert "Finishing this step and saving. Ctrl+C again leaves at once." in text
    assert (
        f"Stopped after step {last.step} of 100000 (Ctrl+C); everything is saved. To go on: loratory train {run_path}"
        in text
    )
    assert "Traceback" not in text
    assert "Loading weights" not in text, "what libraries print goes to the log file"
    assert len(losses(run)) == last.step
    assert [event.kind for event in events(run)][-2:] == ["checkpoint", "stopped"]
