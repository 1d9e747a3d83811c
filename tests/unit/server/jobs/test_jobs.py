"""Jobs over HTTP: every operation, and what is refused. Nothing runs here: queues are paused, or the jobs held."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import text

from loratory.runs import RunFolder
from loratory.runs.control import read_request, request_files
from tests.photos import write_photos

Data = dict[str, Any]
CONFIG: Data = {"model": {"path": "demo"}, "datasets": [{"path": "datasets/dog"}], "runtime": {"device": "cpu"}}


@pytest.fixture(autouse=True)
def pictures(client: TestClient, loratory_home: Path) -> None:
    write_photos(loratory_home / "datasets" / "dog", 2)


@pytest.fixture
def add(client: TestClient) -> Any:
    """`add(name, …)`: a job that is held, unless said otherwise."""

    def put(name: str = "dog", **more: Any) -> Data:
        answer = client.post("/api/jobs", json={"config": {**CONFIG, "name": name}, "hold": True, **more})
        assert answer.status_code == 201, answer.text
        found: Data = answer.json()
        return found

    return put


def test_a_job_comes_and_goes(client: TestClient, add: Any, tmp_path: Path) -> None:
    job = add("dog", priority=2, not_before="2099-01-01T01:00:00+01:00")
    assert (job["state"], job["queue"], job["not_before"]) == ("held", "cpu", "2099-01-01T00:00:00.000Z")
    assert client.get("/api/jobs").json() == [job]
    found = client.get(f"/api/jobs/{job['id']}").json()
    folder = tmp_path / "home" / "output" / "dog"
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert (found["bytes"], found["checkpoints"], found["actions"]) == (size, [], [])
    assert f"path: {tmp_path / 'home' / 'datasets' / 'dog'}" in (folder / "config.yaml").read_text(encoding="utf-8")
    deleted = client.delete(f"/api/jobs/{job['id']}").json()
    assert deleted["bytes"] >= size and deleted["kind"] == "run"
    assert (tmp_path / "home" / "trash" / deleted["id"]).is_dir()
    assert client.get("/api/jobs").json() == []
    assert client.get(f"/api/jobs/{job['id']}").json()["code"] == "no_job"


def test_a_job_that_comes_back_from_the_trash_is_held(client: TestClient, add: Any) -> None:
    """It is in the queue again, and begins only when somebody says so."""
    client.post("/api/queues/cpu/pause").raise_for_status()
    job = add("dog", hold=False)
    deleted = client.delete(f"/api/jobs/{job['id']}").json()
    client.post(f"/api/trash/{deleted['id']}/restore").raise_for_status()
    (back,) = client.get("/api/jobs").json()
    assert (back["id"], back["state"], back["origin"], back["queue"]) == (job["id"], "held", "queue", "cpu")
    client.post(f"/api/jobs/{job['id']}/release").raise_for_status()


@pytest.mark.parametrize("noun", ["jobs", "runs"])
@pytest.mark.parametrize("place", ["queue", "moved", "gone", "no job", "works"])
def test_deleting_a_job_and_deleting_its_run_are_one(
    client: TestClient, add: Any, tmp_path: Path, noun: str, place: str
) -> None:
    job = add("dog")
    here, folder = client.app.state.context, tmp_path / "home" / "output" / "dog"  # type: ignore[attr-defined]
    if place == "moved":
        folder = folder.rename(folder.with_name("dog, moved"))
    elif place == "gone":
        shutil.rmtree(folder)
    elif place == "no job":
        with here.database.begin() as connection:
            connection.execute(text("DELETE FROM jobs"))
    elif place == "works":
        here.queue.set(job["id"], state="running")
        with RunFolder.open(folder).lock():  # or the worker would see that nobody has it
            answer = client.delete(f"/api/{noun}/{job['id']}")
        assert (answer.status_code, answer.json()["code"]) == (409, "busy")
        assert folder.is_dir() and len(client.get("/api/jobs").json()) == 1
        return
    answer = client.delete(f"/api/{noun}/{job['id']}")
    assert answer.status_code == 200, answer.text
    assert (answer.json() is None) == (place == "gone")
    assert not folder.exists()
    assert client.get("/api/jobs").json() == client.get("/api/runs").json()["runs"] == []
    if place != "gone":
        assert answer.json()["bytes"] > 0
        assert [each["id"] for each in client.get("/api/trash").json()["entries"]] == [answer.json()["id"]]
    assert client.delete(f"/api/{noun}/{job['id']}").json()["code"] == "unknown_run"


def test_order_and_changes(client: TestClient, add: Any) -> None:
    ids = [add(name)["id"] for name in ("a", "b", "c")]

    def order() -> str:
        return "".join(job["name"] for job in client.get("/api/jobs?queue=cpu").json())

    client.post(f"/api/jobs/{ids[2]}/move", json={})
    assert order() == "cab"
    client.post(f"/api/jobs/{ids[2]}/move", json={"after": ids[1]})
    assert order() == "abc"
    client.post(f"/api/jobs/{ids[1]}/move", json={"before": ids[0]})
    assert order() == "bac"
    changed = client.patch(f"/api/jobs/{ids[2]}", json={"priority": 7, "queue": "1,0"}).json()
    assert (changed["priority"], changed["queue"]) == (7, "0,1")
    assert client.get("/api/queues").json() == [{"name": "0,1", "paused": False}, {"name": "cpu", "paused": False}]
    assert client.get("/api/jobs?state=finished,held&queue=0,1").json() == [changed]


def test_queues(client: TestClient, add: Any) -> None:
    assert client.post("/api/queues/cpu/pause").json() == [{"name": "cpu", "paused": True}]
    job = add(hold=False)
    assert client.get(f"/api/jobs/{job['id']}").json()["state"] == "waiting"
    client.post(f"/api/jobs/{job['id']}/hold")
    assert client.post("/api/queues/cpu/start").json() == [{"name": "cpu", "paused": False}]
    assert client.post("/api/queues/fridge/start").status_code == 422


def test_stop_resume_copy(client: TestClient, add: Any) -> None:
    client.post("/api/queues/cpu/pause")
    job = add()
    path = f"/api/jobs/{job['id']}"
    assert client.post(f"{path}/stop").json()["state"] == "stopped"
    again = client.post(f"{path}/resume", json={"changes": {"network.rank": 4, "memory.low_vram": True}})
    assert again.json()["state"] == "waiting", again.text
    assert client.post(f"{path}/pause").json()["state"] == "paused"
    copied = client.post(f"{path}/copy", json={"changes": {"seed": 7}, "hold": True}).json()
    assert (copied["name"], copied["state"]) == ("dog_2", "held")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("post", "/stop", None, 409, "wrong_state"),
        ("post", "/resume", {"changes": {"network.rnk": 4}}, 422, "invalid"),
        ("post", "/resume", {"changes": {"": 4}}, 422, "invalid"),
        ("post", "/resume", {"from_step": 5}, 422, "no_checkpoint"),
        ("post", "/resume", {"from_step": -5}, 422, "invalid_request"),
        ("post", "/resume", {"command": "rm"}, 422, "invalid_request"),
        ("post", "/save", None, 409, "wrong_state"),
        ("post", "/prompts", {"prompts": "x"}, 422, "invalid_request"),
        ("post", "/move", {}, 409, "wrong_state"),
        ("post", "/move", {"before": "a", "after": "b"}, 422, "invalid_request"),
        ("post", "/copy", {"name": "../x"}, 422, "invalid"),
        ("post", "/copy", {"name": "dog"}, 409, "name_taken"),
        ("post", "/copy", {"queue": "fridge"}, 422, "no_queue"),
        ("patch", "", {"priority": None}, 422, "invalid_request"),
        ("patch", "", {"priority": 1}, 409, "wrong_state"),
        ("patch", "", {"priority": 10**9}, 422, "invalid_request"),
    ],
)
def test_what_is_refused(
    client: TestClient, add: Any, method: str, path: str, body: Data | None, status: int, code: str
) -> None:  # fmt: skip
    """Of a job that is stopped."""
    job = add()
    client.post(f"/api/jobs/{job['id']}/stop")
    answer = client.request(method, f"/api/jobs/{job['id']}{path}", json=body)
    problem = answer.json()
    assert (answer.status_code, problem.get("code")) == (status, code), problem
    assert client.get("/api/jobs").json()[0]["state"] == "stopped"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"config": {}}, 422, "draft_has_mistakes"),
        ({"config": {**CONFIG, "name": "x" * 500}}, 422, "draft_has_mistakes"),
        ({"config": {**CONFIG, "name": "a"}, "queue": "fridge"}, 422, "no_queue"),
        ({"config": {**CONFIG, "name": "a", "job": "shell"}}, 422, "draft_has_mistakes"),
        ({"config": {**CONFIG, "name": "a"}, "kind": "shell"}, 422, "invalid_request"),
        ({"config": {**CONFIG, "name": "a"}, "not_before": "2026-01-01T00:00:00"}, 422, "invalid"),
        ({"config": {**CONFIG, "name": "a", "datasets": [{"path": "datasets/cat"}]}}, 422, "job_has_errors"),
        (
            {"config": {**CONFIG, "name": "a", "datasets": [{"path": "dataset:0123456789ab"}]}},
            422,
            "draft_has_mistakes",
        ),
        ({"config": {**CONFIG, "name": "a", "model": {"path": "./${HF_TOKEN}"}}}, 422, "draft_has_mistakes"),
    ],
)
def test_jobs_that_do_not_get_in(client: TestClient, tmp_path: Path, body: Data, status: int, code: str) -> None:
    answer = client.post("/api/jobs", json=body)
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    assert client.get("/api/jobs").json() == []
    assert not list(tmp_path.glob("home/output/*"))


def test_pictures_may_come_later_and_have_an_id(client: TestClient, add: Any, tmp_path: Path) -> None:
    (dataset,) = client.get("/api/datasets").json()["datasets"]
    config = {**CONFIG, "datasets": [{"path": f"dataset:{dataset['id']}"}]}
    assert add("by id", config={**config, "name": "by id"})["state"] == "held"
    frozen = (tmp_path / "home" / "output" / "by id" / "config.yaml").read_text(encoding="utf-8")
    assert f"path: {tmp_path / 'home' / 'datasets' / 'dog'}" in frozen
    later = {**CONFIG, "datasets": [{"path": "datasets/cat"}], "name": "later"}
    assert add("later", config=later, anyway=True)["state"] == "held"


def test_a_taken_name_comes_with_a_free_one(client: TestClient, add: Any) -> None:
    add("😀")
    answer = client.post("/api/jobs", json={"config": {**CONFIG, "name": "😀"}})
    assert (answer.status_code, answer.json()["code"], answer.json()["suggestion"]) == (409, "name_taken", "😀_2")
    assert add("😀", numbered=True)["name"] == "😀_2"


def test_requests_to_a_run_that_works(client: TestClient, add: Any) -> None:
    """They are files in its folder; the lock is held here, as by an engine of somebody else."""
    job = add()
    queue = client.app.state.context.queue  # type: ignore[attr-defined]
    run = RunFolder.open(Path(queue.job(job["id"]).folder))
    with run.lock():
        run.write_status("training", step=3, total_steps=9)
        queue.set(job["id"], state="running")
        shown = client.get("/api/jobs").json()[0]
        assert (shown["phase"], shown["step"], shown["total_steps"]) == ("training", 3, 9)
        for name, body in (("save", None), ("sample", None), ("prompts", {"prompts": ["a dog"]})):
            asked = client.post(f"/api/jobs/{job['id']}/{name}", json=body)
            assert asked.status_code == 202
            found = read_request(request_files(run.control_path)[-1])
            assert (found.id, found.kind, found.payload) == (asked.json()["request"], name, body or {})
        assert client.delete(f"/api/jobs/{job['id']}").status_code == 409
        run.write_status("stopped")


def test_a_failed_job_says_how_to_go_on(client: TestClient, add: Any) -> None:
    job = add()
    queue = client.app.state.context.queue  # type: ignore[attr-defined]
    queue.set(job["id"], state="failed", cause={"code": "out_of_memory", "message": "CUDA out of memory."})
    found = client.get(f"/api/jobs/{job['id']}").json()
    assert found["cause"] == {"code": "out_of_memory", "message": "CUDA out of memory."}
    first = found["actions"][0]
    assert (first["do"], first["changes"]["memory.gradient_checkpointing"]) == ("resume", "on")
    client.post("/api/queues/cpu/pause")
    assert client.post(f"/api/jobs/{job['id']}/resume", json={"changes": first["changes"]}).status_code == 200


@pytest.mark.parametrize("path", ["/api/jobs", "/api/queues", "/api/jobs/01ARZ3NDEKTSV4RRFFQ69G5FAV"])
def test_looking_changes_nothing(client: TestClient, add: Any, tmp_path: Path, path: str) -> None:
    """Not one file of a run is written."""
    job = add()

    def written() -> dict[str, int]:
        output = tmp_path / "home" / "output"
        return {str(each): each.stat().st_mtime_ns for each in output.rglob("*") if each.is_file()}

    before = written(), client.get("/api/jobs").json()
    client.get(path)
    client.get(f"/api/jobs/{job['id']}")
    assert (written(), client.get("/api/jobs").json()) == before


def test_a_job_names_a_dataset_by_its_id(client: TestClient, tmp_path: Path) -> None:
    dataset = client.post("/api/datasets", json={"name": "cat"}).json()
    Image.new("RGB", (64, 64)).save(tmp_path / "home" / "datasets" / "cat" / "a.png")
    config = {**CONFIG, "name": "cat", "datasets": [{"path": f"dataset:{dataset['id']}"}]}
    answer = client.post("/api/jobs", json={"config": config, "hold": True})
    assert answer.status_code == 201, answer.text
    text = (tmp_path / "home" / "output" / "cat" / "config.yaml").read_text(encoding="utf-8")
    assert f"path: {tmp_path / 'home' / 'datasets' / 'cat'}" in text
    config["datasets"] = [{"path": "dataset:0"}]
    refused = client.post("/api/jobs", json={"config": config, "hold": True})
    assert refused.status_code == 422
    assert "there is no dataset 0 here" in refused.json()["detail"]
