"""The queue's operations, one by one; `test_queue_model.py` does them in any order."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import yaml

from loratory import trash
from loratory.errors import UserError
from loratory.jobs import devices
from loratory.jobs.devices import check_queue, queue_of, share_a_device
from loratory.jobs.problems import NameIsTaken, NoSuchJob, WrongState
from loratory.jobs.queue import Again, Place, Queue
from loratory.jobs.reindex import rebuild
from loratory.jobs.tables import Job
from loratory.runs import RunBusy, RunFolder, read_events
from loratory.runs.status import read_status_file
from tests.unit.jobs.conftest import config

Add = Callable[..., Job]
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def names(queue: Queue, *states: str) -> list[str]:
    return [job.name for job in queue.jobs(states)]


def finish(queue: Queue, job: Job, state: str = "finished", steps: tuple[int, ...] = ()) -> RunFolder:
    """As if its engine had worked: `steps` are those of its checkpoints, each with an export and a sample."""
    run = RunFolder.open(Path(job.folder))
    with run.lock():
        run.write_status("starting", total_steps=100)
        for step in steps:
            with run.new_checkpoint(step) as folder:
                (folder / "state.json").write_text("{}", encoding="utf-8")
            run.export_path(step).write_bytes(b"x" * step)
            run.sample_path(step, 0, "0123abcd").write_bytes(b"y")
        if state == "finished":
            run.final_export_path.write_bytes(b"final")
        run.write_status(state, step=steps[-1] if steps else 0)  # type: ignore[arg-type]
    queue.set(job.id, state=state)
    return run


def test_what_enqueue_leaves(add: Add, queue: Queue, own_home: Path) -> None:
    """A run folder that waits, with the whole config in it; the job's id is the run's."""
    job = add("dog")
    run = RunFolder.open(own_home / "output" / "dog")
    assert (job.id, job.folder, job.state, job.queue, job.origin) == (run.id, str(run.path), "waiting", "cpu", "queue")
    assert read_status_file(run.path).state == "queued"
    frozen = yaml.safe_load(run.config_path.read_text(encoding="utf-8"))
    assert (frozen["name"], frozen["network"]["rank"]) == ("dog", 16)
    assert run.config_path.read_text(encoding="utf-8").startswith(f"# The config of run {run.id}")


def test_a_taken_name_offers_another(add: Add, queue: Queue) -> None:
    add("dog")
    with pytest.raises(NameIsTaken, match="take another name, for example 'dog_2'") as caught:
        add("dog")
    assert caught.value.suggestion == "dog_2"
    assert queue.enqueue(config("dog"), numbered=True).name == "dog_2"
    assert queue.enqueue(config("dog_2"), numbered=True).name == "dog_3"
    run = RunFolder.open(Path(queue.jobs()[-1].folder))
    assert yaml.safe_load(run.config_path.read_text(encoding="utf-8"))["name"] == "dog_3"
    assert len(queue.jobs()) == 3


@pytest.mark.parametrize("name", ["../out", "a/b", "CON", "x" * 500, ".", "a\0b"])
def test_a_name_that_is_none(name: str, queue: Queue, own_home: Path) -> None:
    with pytest.raises(UserError):
        queue.enqueue(config(name))
    assert queue.jobs() == []
    assert not list((own_home / "output").glob("*")) if (own_home / "output").exists() else True


def test_a_job_that_breaks_a_rule_does_not_get_in(queue: Queue, own_home: Path) -> None:
    """What is known without the model's files."""
    wrong = config("dog", model={"path": "demo", "architecture": "flux1"}, objective={"flow_shift": -1})
    with pytest.raises(UserError, match="flow_shift: must be above 0"):
        queue.enqueue(wrong)
    assert queue.jobs() == []


@pytest.mark.parametrize(
    ("device", "expected"), [("cpu", "cpu"), ("cuda", "0"), ("cuda:3", "3"), ("mps", "mps"), ("xpu", "xpu")]
)
def test_the_device_decides(device: str, expected: str) -> None:
    assert queue_of(config(runtime={"device": device})) == expected


@pytest.mark.parametrize(
    ("queue", "device", "first", "told"),
    [
        ("0", "auto", "0", None), ("1", "cuda", "0", None), ("1", "cuda:0", "0", "cuda"), ("0", "cpu", "0", "cuda"),
        ("cpu", "auto", "0", "cpu"), ("cpu", "auto", "cpu", None), ("cpu", "cuda:1", "0", "cpu"),
        ("cpu", "cpu", "0", None), ("light", "auto", "0", "cpu"), ("light", "cpu", "cpu", None),
        ("mps", "auto", "mps", None), ("mps", "mps", "mps", None), ("cpu", "auto", "mps", "cpu"),
        ("xpu", "xpu:1", "0", None), ("xpu", "auto", "0", "xpu"),
    ],
)  # fmt: skip
def test_the_queue_decides_where_it_was_chosen(
    queue: str, device: str, first: str, told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job with `auto` in the queue `cpu` must not take the GPU on which another one works."""
    monkeypatch.setattr(devices, "_first_device", lambda: first)
    assert devices.device_in(queue, device) == told


@pytest.mark.parametrize(("given", "expected"), [("1, 0,1", "0,1"), ("CPU", "cpu"), ("07", "7"), ("light", "light")])
def test_names_of_queues(given: str, expected: str) -> None:
    assert check_queue(given) == expected


@pytest.mark.parametrize("given", ["", "gpu", "-1", "0;1", "0,", "9999", "a" * 99])
def test_no_queue(given: str) -> None:
    with pytest.raises(UserError, match="is no queue"):
        check_queue(given)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("0", "1", False), ("0", "0,1", True), ("1,2", "0,2", True), ("cpu", "0", False), ("cpu", "cpu", True)],
)
def test_queues_that_share_a_device(one: str, other: str, expected: bool) -> None:
    assert share_a_device(one, other) is share_a_device(other, one) is expected


def test_order(add: Add, queue: Queue) -> None:
    a, b, c = add("a"), add("b"), add("c")
    add("urgent", priority=5)
    add("first", top=True)
    assert names(queue) == ["urgent", "first", "a", "b", "c"]
    queue.move(c.id, before=a.id)
    assert names(queue) == ["urgent", "first", "c", "a", "b"]
    queue.move(c.id, after=b.id)
    assert names(queue) == ["urgent", "first", "a", "b", "c"]
    assert queue.move(b.id).priority == 5, "at the top it has the top's priority"
    assert names(queue) == ["b", "urgent", "first", "a", "c"]
    queue.change(a.id, priority=9)
    assert names(queue) == ["a", "b", "urgent", "first", "c"]
    with pytest.raises(NoSuchJob):
        queue.move(a.id, before="01ARZ3NDEKTSV4RRFFQ69G5FAV")
    with pytest.raises(NoSuchJob):
        queue.move(a.id, before=a.id)


def test_claims(add: Add, queue: Queue) -> None:
    """One for each device; those that are held, later or of a paused queue wait."""
    add("held", hold=True)
    add("later", not_before=NOW + timedelta(hours=1))
    first, second, gpu = add("first"), add("second"), add("gpu", queue="0")
    queue.pause_queue("0", paused=True)
    assert [job.name for job in queue.claim(NOW)] == ["first"]
    assert queue.claim(NOW) == []
    queue.pause_queue("0", paused=False)
    assert [job.id for job in queue.claim(NOW)] == [gpu.id]
    queue.set(first.id, state="finished")
    assert [job.id for job in queue.claim(NOW)] == [second.id]
    queue.set(second.id, state="finished")
    assert queue.claim(NOW + timedelta(minutes=59)) == []
    assert [job.name for job in queue.claim(NOW + timedelta(hours=1))] == ["later"]
    assert names(queue, "held") == ["held"]


def test_who_wants_all_gpus_is_not_passed_for_ever(add: Add, queue: Queue) -> None:
    one = add("one", queue="0")
    queue.claim(NOW)
    wide, small = add("wide", queue="0,1"), add("small", queue="1")
    assert queue.claim(NOW) == []
    queue.set(one.id, state="finished")
    assert [job.id for job in queue.claim(NOW)] == [wide.id]
    assert queue.job(small.id).state == "waiting"


def test_slots_for_light_jobs(add: Add, queue: Queue) -> None:
    for name in "abc":
        add(name, queue="light")
    assert [job.name for job in queue.claim(NOW)] == ["a", "b"]


def test_times_have_a_zone(add: Add, queue: Queue) -> None:
    job = add("dog", not_before=datetime(2026, 3, 1, 14, 30, tzinfo=timezone(timedelta(hours=2))))
    assert job.not_before == "2026-03-01T12:30:00.000Z"
    assert queue.change(job.id, not_before=None).not_before is None
    with pytest.raises(UserError, match="has no zone"):
        queue.change(job.id, not_before=datetime(2026, 3, 1))


def test_holding(add: Add, queue: Queue) -> None:
    job = add()
    assert queue.hold(job.id).state == queue.hold(job.id).state == "held"
    assert queue.claim(NOW) == []
    assert queue.release(job.id).state == "waiting"
    queue.claim(NOW)
    with pytest.raises(WrongState, match=r"'dog' is starting and cannot be held; that needs one that is held, waiting"):
        queue.hold(job.id)


def test_stopping_what_waits(add: Add, queue: Queue) -> None:
    """Nothing has to end; its folder knows."""
    job = add()
    assert queue.stop(job.id).state == "stopped"
    assert read_status_file(Path(job.folder)).state == "stopped"
    with pytest.raises(WrongState):
        queue.stop(job.id)
    assert queue.resume(job.id).state == "waiting"
    assert read_status_file(Path(job.folder)).state == "queued"
    assert queue.stop(job.id, pause=True).state == "paused"
    assert queue.stop(job.id).state == "stopped"


def test_resume_from_an_older_checkpoint(add: Add, queue: Queue) -> None:
    """What is later goes to the trash, from which it can be taken back."""
    job = add()
    run = finish(queue, job, steps=(10, 20, 30))
    assert queue.resume(job.id, Again(from_step=20, weights_only=True)).weights_only
    assert [each.step for each in run.checkpoints()] == [10, 20]
    assert [each.step for each in run.exports()] == [10, 20]
    assert list(run.samples()) == [10, 20]
    assert read_status_file(run.path).step == 20
    rewound = read_events(run.events_path)[0][-1]
    assert (rewound.kind, rewound.data["step"]) == ("rewound", 20)
    for entry in rewound.data["trash"]:
        trash.restore(entry)
    assert [each.step for each in run.checkpoints()] == [10, 20, 30]
    assert run.final_export_path.read_bytes() == b"final"


def test_resume_from_the_beginning_and_from_nowhere(add: Add, queue: Queue) -> None:
    job = add()
    run = finish(queue, job, "stopped", steps=(10,))
    with pytest.raises(UserError, match=r"has no checkpoint of step 11: it has 10 \(0 is the beginning\)") as caught:
        queue.resume(job.id, Again(from_step=11))
    assert caught.value.code == "no_checkpoint"
    assert queue.job(job.id).state == "stopped"
    queue.resume(job.id, Again(from_step=0))
    assert (run.checkpoints(), run.exports(), run.samples()) == ([], [], {})


def test_a_change_of_the_device_changes_the_queue(add: Add, queue: Queue) -> None:
    """The way on after "this machine has no cuda"; another change leaves a job where somebody put it."""
    job = add("dog", queue="1")
    queue.set(job.id, state="failed")
    assert queue.resume(job.id, Again(("memory.low_vram=true",))).queue == "1"
    queue.set(job.id, state="failed")
    assert queue.resume(job.id, Again(("runtime.device=cpu",))).queue == "cpu"
    queue.set(job.id, state="failed")
    assert queue.resume(job.id, Again(("runtime={device: 'cuda:2'}",))).queue == "2"
    queue.set(job.id, state="failed")
    before = (Path(job.folder) / "config.yaml").read_bytes()
    with pytest.raises(UserError, match="'x' is no queue"):
        queue.resume(job.id, Again(("runtime.device=cuda:x",)))
    assert (Path(job.folder) / "config.yaml").read_bytes() == before


def test_changes_on_resume(add: Add, queue: Queue) -> None:
    """What a run cannot change is refused before anything is touched; without weights all may change."""
    job = add()
    run = finish(queue, job, "failed", steps=(10,))
    with pytest.raises(UserError, match=r"network.rank was 16 and is now 4.*as a new run") as caught:
        queue.resume(job.id, Again(("network.rank=4",)))
    assert caught.value.code == "other_run"
    with pytest.raises(UserError, match="keeps its name"):
        queue.resume(job.id, Again(("name=cat",)))
    with pytest.raises(UserError, match=r"network\.rnk"):
        queue.resume(job.id, Again(("network.rnk=4",)))
    assert [each.step for each in run.checkpoints()] == [10]
    queue.resume(job.id, Again(("memory.low_vram=true", "optimizer.learning_rate=0.5")))
    frozen = yaml.safe_load(run.config_path.read_text(encoding="utf-8"))
    assert (frozen["memory"]["low_vram"], frozen["optimizer"]["learning_rate"]) == (True, 0.5)
    event = read_events(run.events_path)[0][-1]
    assert event.data["changed"] == ["optimizer.learning_rate was 0.0001 and is now 0.5"]
    queue.stop(job.id)
    queue.resume(job.id, Again(("network.rank=4",), from_step=0))
    assert yaml.safe_load(run.config_path.read_text(encoding="utf-8"))["network"]["rank"] == 4


def test_run_again_with_changes(add: Add, queue: Queue) -> None:
    job = add()
    again = queue.copy(job.id, ["network.rank=4"], Place(priority=3))
    assert (again.name, again.priority) == ("dog_2", 3)
    frozen = yaml.safe_load((Path(again.folder) / "config.yaml").read_text(encoding="utf-8"))
    assert (frozen["name"], frozen["network"]["rank"]) == ("dog_2", 4)
    with pytest.raises(NameIsTaken):
        queue.copy(job.id, [], name="dog")
    assert queue.copy(job.id, [], name="cat").name == "cat"


def test_delete(add: Add, queue: Queue) -> None:
    job = add()
    run = finish(queue, job, steps=(10,))
    size = sum(path.stat().st_size for path in run.path.rglob("*") if path.is_file())
    with run.lock(), pytest.raises(RunBusy):
        queue.delete(job.id)
    assert queue.job(job.id).state == "finished"
    trashed = queue.delete(job.id)
    assert trashed is not None
    assert (trashed.bytes, trashed.kind, run.path.exists()) == (size, "run", False)
    with pytest.raises(NoSuchJob):
        queue.job(job.id)
    assert trash.restore(trashed.id) == run.path
    gone = add("gone")
    queue.claim(NOW)
    with pytest.raises(WrongState, match="cannot be deleted"):
        queue.delete(gone.id)


def test_a_folder_that_is_gone_can_be_deleted_and_its_name_used_again(add: Add, queue: Queue) -> None:
    import shutil

    job = add()
    shutil.rmtree(job.folder)
    again = add("dog") if queue.delete(job.id) is None else None
    assert again is not None
    assert names(queue) == ["dog"]


def test_a_run_that_the_queue_never_saw_can_go_on_in_it(queue: Queue, tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "elsewhere", "theirs", "")
    add_config(run)
    with run.lock():
        run.write_status("stopped", step=3)
    assert queue.jobs() == []
    assert queue.resume(run.id).state == "waiting"
    assert queue.job(run.id).folder == str(run.path)


def add_config(run: RunFolder) -> None:
    from loratory.config.load import dump

    run.write_config(dump(config(run.name)))


def test_reindex(add: Add, queue: Queue, own_home: Path) -> None:
    """Everything comes back from the folders, and what waited is held."""
    jobs = {name: add(name) for name in ("waiting", "done", "failed", "stopped")}
    finish(queue, jobs["done"])
    finish(queue, jobs["stopped"], "stopped")
    run = RunFolder.open(Path(jobs["failed"].folder))
    run.write_status("failed", error={"kind": "NotFinite", "code": "not_a_number", "message": "The loss is …"})
    (own_home / "output" / "no-run").mkdir()
    with queue.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM jobs")
    assert rebuild(queue).entered == 4
    found = {job.name: job for job in queue.jobs()}
    assert {name: job.state for name, job in found.items()} == {
        "waiting": "held", "done": "finished", "failed": "failed", "stopped": "stopped",
    }  # fmt: skip
    assert {name: job.id for name, job in found.items()} == {name: job.id for name, job in jobs.items()}
    assert found["failed"].cause == {"code": "not_a_number", "message": "The loss is …"}
    before = queue.jobs()
    done = rebuild(queue)
    assert (done.entered, done.removed, queue.jobs()) == (0, 0, before)


def test_two_hundred_jobs(queue: Queue, own_home: Path) -> None:
    """The order stays, and every operation is quick. (Folders are made only for two of them.)"""
    from sqlalchemy import insert

    from loratory.jobs.tables import jobs as table

    rows = [
        {"id": f"{number:026d}", "kind": "train", "name": f"j{number}", "folder": f"/f/{number}", "queue": "cpu",
         "origin": "queue", "state": "waiting", "priority": 0, "position": number, "weights_only": False,
         "created": "", "changed": ""} for number in range(200)
    ]  # fmt: skip
    with queue.engine.begin() as connection:
        connection.execute(insert(table), rows)
    expected = [row["id"] for row in rows]
    began, moves = time.monotonic(), 0
    for number in range(0, 200, 10):
        target = (number * 7 + 3) % 200
        if target == number:
            continue
        moved, other = f"{number:026d}", f"{target:026d}"
        queue.move(moved, before=other)
        expected.remove(moved)
        expected.insert(expected.index(other), moved)
        assert [job.id for job in queue.jobs()] == expected
        moves += 1
    assert (time.monotonic() - began) / moves < 0.2


def test_two_processes_at_once(add: Add, queue: Queue) -> None:
    """Another one that changes the same database is waited for; nothing is lost and nothing is claimed twice."""
    import subprocess
    import sys

    code = (
        "import sys; from tests.unit.jobs.conftest import config\n"
        "from loratory.jobs.database import database_path, open_database\n"
        "from loratory.jobs.queue import Place, Queue\n"
        "queue = Queue(open_database(database_path()))\n"
        "[queue.enqueue(config(f'{sys.argv[1]}{n}'), Place(queue=str(n))) for n in range(10)]\n"
        "from datetime import UTC, datetime\n"
        "import json; print(json.dumps([job.id for job in queue.claim(datetime.now(UTC))]))"
    )
    started = [subprocess.Popen([sys.executable, "-c", code, name], stdout=subprocess.PIPE, text=True) for name in "ab"]
    claimed = [each for process in started for each in json.loads(process.communicate(timeout=60)[0])]
    assert len(claimed) == len(set(claimed)) == 10
    assert len(queue.jobs()) == 20
