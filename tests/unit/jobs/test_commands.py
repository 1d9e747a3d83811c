"""`loratory jobs`, without a server."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from loratory.cli import app
from loratory.jobs.queue import Queue
from tests.unit.jobs.conftest import Played


@pytest.fixture
def run() -> Callable[..., str]:
    """`run("list")`: what `loratory jobs list` prints; `code` is what it has to end with."""

    def call(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["jobs", *arguments])
        assert result.exit_code == code, (result.output, result.exception)
        return result.output

    return call


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    path = tmp_path / "dog.yaml"
    data = {"name": "dog", "model": {"path": "demo"}, "datasets": [{"path": "pictures"}], "runtime": {"device": "cpu"}}
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


def test_a_job_from_file_to_end(run: Callable[..., str], job_file: Path, played: Played, queue: Queue) -> None:
    assert run("list") == "Nothing runs and nothing waits.\n"
    said = run("add", str(job_file), "--set", "network.rank=4", "--priority", "2", "--at", "2099-01-01T00:00:00")
    assert re.fullmatch(r"\w{8}  dog waits in the queue cpu\. It starts when `loratory serve` runs\.\n", said)
    (job,) = queue.jobs()
    assert (job.priority, job.state) == (2, "waiting")
    frozen = yaml.safe_load((Path(job.folder) / "config.yaml").read_text(encoding="utf-8"))
    assert (frozen["network"]["rank"], frozen["datasets"][0]["path"]) == (4, str(job_file.parent / "pictures"))
    assert "not before 2099" in run("list") or "not before 2098" in run("list")
    queue.change(job.id, not_before=None)
    played.until(job, "running")
    assert " running " in run("list")
    assert run("stop", job.id[-6:].lower()) == "dog is stopped.\n"
    assert played.started[0].wait() == 0
    assert "dog" not in run("list")
    assert "stopped" in run("list", "--all")
    assert "dog waits in the queue cpu." in run("retry", "dog", "--from-step", "0", "--set", "network.rank=8")
    assert run("stop", "dog", "--pause") == "dog is paused.\n"
    assert run("logs", "dog") == "dog has no log yet.\n"
    (Path(job.folder) / "log.txt").write_text("one\ntwo\nthree\n", encoding="utf-8")
    assert run("logs", "dog", "--lines", "2") == "two\nthree\n"
    assert run("reindex") == "0 runs entered, 0 without a folder taken out, 0 unreadable.\n"


def test_what_is_refused(run: Callable[..., str], job_file: Path, tmp_path: Path) -> None:
    run("add", str(job_file))
    assert "for example 'dog_2'" in run("add", str(job_file), code=1)
    assert "dog_2 waits" in run("add", str(job_file), "--numbered")
    assert "There is no job 'cat'" in run("stop", "cat", code=1)
    assert "is waiting and cannot be resumed" in run("retry", "dog", code=1)
    assert "is no queue" in run("add", str(job_file), "--numbered", "--queue", "fridge", code=1)
    assert "There is no job file" in run("add", str(tmp_path / "none.yaml"), code=1)
