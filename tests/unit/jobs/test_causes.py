"""Why a run failed, and what to do: every code has ways on that the queue accepts."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from loratory.errors import UserError
from loratory.jobs import endings
from loratory.jobs.causes import CODES, Case, actions
from loratory.jobs.endings import Evidence, silent_end
from loratory.jobs.folders import config_of
from loratory.jobs.pulse import LONGEST_CALL, Pulse
from loratory.jobs.queue import Again, Queue
from loratory.jobs.tables import Job
from loratory.runs import RunFolder
from loratory.runs.processes import this_process
from tests.unit.jobs.conftest import config

GATED = "The model 'black-forest-labs/FLUX.1-dev' is gated: accept its licence at https://…"


@pytest.mark.parametrize("steps", [(), (10, 20)])
@pytest.mark.parametrize("code", [*CODES, "of a later version"])
def test_what_is_offered_is_accepted(code: str, steps: tuple[int, ...], queue: Queue) -> None:
    """Each action is done on a run of its own: the values fit the config, and a run with weights may have them."""
    case = Case(GATED, config(batching={"size": 4}, memory={"precision": "fp16"}), steps)
    for number, action in enumerate(actions(code, case)):
        job = queue.enqueue(config(f"r{number}", batching={"size": 4}, memory={"precision": "fp16"}))
        run = RunFolder.open(Path(job.folder))
        with run.lock():
            run.write_status("starting")
            for step in steps:
                with run.new_checkpoint(step):
                    pass
            run.write_status("failed")
        queue.set(job.id, state="failed")
        changes = tuple(f"{path}={str(value).lower()}" for path, value in action.changes.items())
        if action.do == "resume":
            queue.resume(job.id, Again(changes, action.from_step))
            found = config_of(Path(job.folder)).model_dump(mode="json")
        else:
            found = queue.copy(job.id, changes) and config_of(Path(queue.jobs()[0].folder)).model_dump(mode="json")
        if action.do in ("resume", "copy"):
            for path, value in action.changes.items():
                place = config_of(Path(queue.jobs(("waiting",))[-1].folder)).model_dump(mode="json")
                for part in path.split("."):
                    place = place[part]
                assert place == value, (action.title, found)
        assert action.title


def test_out_of_memory_offers_what_is_not_done_yet() -> None:
    """By hand: batches of 4 with 3 accumulated are 12 pictures in a step, and so are batches of 2 with 6."""
    job = config(batching={"size": 4, "gradient_accumulation_steps": 3})
    first, packed, smaller, last = actions("out_of_memory", Case("", job, (10,)))
    cheap = {"memory.gradient_checkpointing": "on", "memory.low_vram": True}
    assert first.changes == cheap
    assert packed.changes == {**cheap, "memory.denoiser_weights": "int8"}
    assert smaller.do == "copy"
    assert smaller.changes == {**cheap, "batching.size": 2, "batching.gradient_accumulation_steps": 6}
    assert last.changes == {}
    saving = {"gradient_checkpointing": "on", "low_vram": True, "denoiser_weights": "int8"}
    assert [each.changes for each in actions("out_of_memory", Case("", config(memory=saving), ()))] == [{}]


def test_not_a_number_goes_back_two_checkpoints_with_a_third_of_the_rate() -> None:
    job = config(optimizer={"type": "adamw", "learning_rate": 3e-4})
    found = actions("not_a_number", Case("", job, (10, 20, 30)))[0]
    assert (found.changes, found.from_step) == ({"optimizer.learning_rate": 1e-4}, 20)


def test_a_gated_model_has_its_page() -> None:
    found = actions("gated_model", Case(GATED, None, ()))
    assert (found[0].do, found[0].url) == ("open_page", "https://huggingface.co/black-forest-labs/FLUX.1-dev")
    assert found[1].fields == ("HF_TOKEN",)


@pytest.mark.parametrize(
    ("evidence", "output", "code", "words"),
    [
        (Evidence(-signal.SIGKILL), "", "killed", "ended from outside; it begins again."),
        (Evidence(-signal.SIGTERM), "Error: old", "killed", "ended from outside"),
        (Evidence(None), "", "killed", "ended from outside"),
        (Evidence(None, ran_out=True), "", "out_of_ram", "memory was used up"),
        (Evidence(-signal.SIGKILL, ran_out=True), "", "out_of_ram", "memory was used up"),
        (Evidence(-signal.SIGSEGV, ran_out=True), "", "crashed", "SIGSEGV"),
        (Evidence(-signal.SIGBUS), "", "crashed", "SIGBUS"),
        (Evidence(1), "12:00 a\nError: first\nmore\nError: the last\nThe whole story", "invalid", "the last"),
        (Evidence(None, rebooted=True, ran_out=True), "Error: x", "restarted", "restarted while"),
        (Evidence(1), "Traceback\nImportError: no torch\n", "unknown", "code 1 (ImportError: no torch)"),
        (Evidence(1), "", "unknown", "it printed nothing"),
    ],
)
def test_a_silent_end(evidence: Evidence, output: str, code: str, words: str) -> None:
    found = silent_end(evidence, output, "it begins again")
    assert found["code"] == code
    assert words in found["message"]


def test_no_secret_in_a_cause() -> None:
    token = "hf_" + "abcdefghijklmnopqrstuvwxyz01234567"
    assert token not in silent_end(Evidence(1), f"Error: the token {token} is wrong", "")["message"]


def test_the_kernels_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """memory.events of a control group; a file that is not there is passed over."""
    events = tmp_path / "memory.events"
    events.write_text("low 0\noom 3\noom_kill 2\n", encoding="ascii")
    monkeypatch.setattr(endings, "_group_files", lambda: [(tmp_path / "none", "oom_kill"), (events, "oom_kill")])
    assert endings.oom_kills() == 2


def test_pulse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A beat counts; without one work does, for a while; without both it is unresponsive after the given time."""
    from loratory.jobs import pulse

    now, work, halted = 0.0, 1.0, False
    monkeypatch.setattr(pulse, "work_done", lambda pid: work)
    monkeypatch.setattr(pulse, "is_stopped", lambda pid: halted)
    lock, process = tmp_path / "lock", this_process()
    lock.touch()
    watch = Pulse(lock, silent_seconds=20, clock=lambda: now)
    assert watch.look(process)
    now = 10.0
    assert watch.look(process)
    now = 31.0  # its work was last seen to change at 10
    assert not watch.look(process)
    work = 2.0
    assert watch.look(process)
    halted = True
    assert not watch.look(process)
    halted = False
    now = LONGEST_CALL + 30
    work = 3.0
    assert not watch.look(process), "too long without a beat, whatever it does"
    lock.touch()
    import os

    os.utime(lock, (5, 5))
    assert watch.look(process)
    assert Pulse(tmp_path / "none", clock=lambda: now).look(None)


def test_unknown_folder_is_refused(queue: Queue, add: Callable[..., Job]) -> None:
    job = add()
    (Path(job.folder) / "config.yaml").unlink()
    with pytest.raises(UserError, match="never began"):
        queue.copy(job.id, [])
