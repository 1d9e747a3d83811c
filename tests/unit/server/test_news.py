"""What the server tells by itself, so that nobody has to ask again and again; datasets into which something came."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from loratory.datasets import shelf
from loratory.server import arrivals
from loratory.server import tasks as tasks_module
from tests.server_routes import Client
from tests.unit.datasets.folders import make_dataset, picture_bytes
from tests.unit.server.uploads import tus


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "SECONDS", 0.01)


@pytest.fixture
def news(client: Client) -> Iterator[Any]:
    """`news(kind)`: what was told of this kind since the last call; waits for the first."""
    cursors: dict[str, str] = {}

    def told(kind: str) -> list[dict[str, Any]]:
        after = cursors.get(kind, f"{client.app.state.context.instance}-0")
        page = client.get("/api/events", params={"after": after, "kinds": kind, "wait": 5}).json()
        cursors[kind] = page["cursor"]
        return [event["data"] for event in page["events"]]

    yield told


def total(client: Client, dataset: Any) -> int:
    found = client.get(f"/api/datasets/{dataset.id}/pictures").json()["total"]
    assert isinstance(found, int)
    return found


def send(client: Client, data: bytes, **metadata: str) -> Any:
    metadata.setdefault("root", "datasets")
    if "dataset" in metadata:
        del metadata["root"]
    headers = {**tus.BODY, "Upload-Length": str(len(data)), **tus.metadata(**metadata)}
    return client.post(tus.URL, headers=headers, content=data)


@pytest.mark.parametrize("root", ["home", "itself", "many"])
def test_an_upload_may_name_a_dataset_and_is_in_its_list_at_once(
    client: Client, news: Any, tmp_path: Path, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of a large dataset, or on a slow machine, the list of before is shown meanwhile; here everybody waits.
    monkeypatch.setattr(shelf, "_PATIENCE_SECONDS", 30.0)
    dataset = make_dataset("dogs", {"a": "dog"})
    if root != "home":
        (tmp_path / "extra").mkdir()
        folder = dataset.path.rename(tmp_path / "extra" / "dogs")
        settings = client.get("/api/settings").json()
        settings["settings"]["paths"]["datasets"] = [str(folder if root == "itself" else folder.parent)]
        assert client.put("/api/settings", json=settings).status_code == 200
        here = client.app.state.context
        dataset = next(each for each in here.datasets.library.all() if each.path == folder)
    assert total(client, dataset) == 1
    answer = send(client, picture_bytes(seed=5), dataset=dataset.id, relativePath="10_dog/b.png")
    assert answer.status_code == 201, answer.text
    assert (dataset.path / "10_dog" / "b.png").is_file()
    assert total(client, dataset) == 2
    assert {"id": dataset.id} in news("dataset")


def test_a_dataset_that_is_not_there_or_a_second_place_is_refused(client: Client) -> None:
    answer = send(client, b"x", dataset="0123456789ab", filename="a.png")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_there")
    dataset = make_dataset("dogs", {})
    headers = {**tus.BODY, "Upload-Length": "1", **tus.metadata(dataset=dataset.id, root="models", filename="a.png")}
    assert client.post(tus.URL, headers=headers, content=b"x").json()["code"] == "bad_metadata"
    for body in ({"dataset": "x", "dataset_id": dataset.id}, {}):
        source = {"kind": "folder", "root": "output", "path": "x"}
        assert client.post("/api/imports", json={"source": source, **body}).json()["code"] == "invalid_request"


def test_an_import_may_name_a_dataset_and_its_pictures_are_there(client: Client, news: Any) -> None:
    dataset = make_dataset("dogs", {"a": "dog"})
    assert total(client, dataset) == 1
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("b.png", picture_bytes(seed=5))
    upload = send(client, stream.getvalue(), filename="a.zip", purpose="archive").headers["location"].rpartition("/")[2]
    body = {"source": {"kind": "upload", "upload_id": upload}, "dataset_id": dataset.id}
    task = client.post("/api/imports", json=body).json()
    assert (task["dataset"], task["kind"]) == (dataset.id, "import")
    assert client.app.state.context.tasks.get(task["id"]).wait(10)
    assert total(client, dataset) == 2
    assert {"id": dataset.id} in news("dataset")
    (known,) = client.get(f"/api/datasets/{dataset.id}/tasks").json()["tasks"]
    assert (known["id"], known["result"]["files"]) == (task["id"], 1)


def test_many_files_cost_few_looks(client: Client, news: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "SECONDS", 0.2)
    here = client.app.state.context
    here.arrivals = arrivals.Arrivals(here.datasets, here.tell_dataset)
    dataset = make_dataset("dogs", {})
    looks = []
    here.datasets.open = lambda identifier, **more: looks.append(identifier)
    for number in range(50):
        here.arrivals.came(dataset.path / f"{number}.png")
    assert news("dataset") == [{"id": dataset.id}]
    assert looks == [dataset.id]
    here.arrivals.close()


def test_what_was_changed_is_told(client: Client, news: Any) -> None:
    dataset = make_dataset("dogs", {"a": "dog", "b": "dog"})
    base = f"/api/datasets/{dataset.id}"
    caption = client.get(f"{base}/captions", params={"item": "a.png"}).json()
    client.put(f"{base}/captions", json={"item": "a.png", "text": "cat", "based_on": caption["version"]})
    assert news("dataset") == [{"id": dataset.id}]
    plan = client.post(f"{base}/edits", json={"operations": [{"op": "set", "text": "x"}]}).json()["edit"]["id"]
    client.post(f"{base}/edits/{plan}/apply", json={})
    assert news("dataset") == [{"id": dataset.id}], "a preview changes nothing"
    client.post(f"{base}/pictures/trash", json={"items": ["a.png"]})
    assert news("dataset") == [{"id": dataset.id}]
    place = {"root": "datasets", "path": "dogs/b.png"}
    client.post("/api/files/rename", json={**place, "name": "c.png"})
    assert news("dataset") == [{"id": dataset.id}]
    assert [each["path"] for each in client.get(f"{base}/pictures").json()["pictures"]] == ["c.png"]
    client.delete(base)
    assert news("dataset") == [{"id": dataset.id}]
    states = [(each["kind"], each["state"]) for each in news("task")]
    assert states == [(kind, state) for kind in ("preview", "edit") for state in ("waiting", "running", "finished")]


def test_settings_are_told(client: Client, news: Any) -> None:
    settings = client.get("/api/settings").json()
    settings["settings"]["access"]["ask_on_this_machine"] = False
    answer = client.put("/api/settings", json=settings).json()
    assert news("settings") == [{"version": answer["version"]}]


def test_a_task_tells_now_and_then_how_far_it_is(client: Client, news: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing(BaseModel):
        pass

    def work(task: tasks_module.Task) -> Nothing:
        for number in range(100):
            task.progress(number, 100)
            time.sleep(0.001)
        return Nothing()

    monkeypatch.setattr(tasks_module, "SECONDS_BETWEEN_NEWS", 0.02)
    task = client.app.state.context.tasks.start("count", work)
    assert task.wait(10)
    told = news("task")
    assert {each["id"] for each in told} == {task.id}
    between = [each["done"] for each in told if each["state"] == "running"]
    assert 2 <= len(between) <= 20
    assert between == sorted(between)
