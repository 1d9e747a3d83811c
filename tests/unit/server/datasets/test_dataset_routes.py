"""Datasets over HTTP: each route once as it is meant, and what it says when it is not."""

import json

import pytest
from fastapi.testclient import TestClient

from tests.unit.datasets.folders import contents, make_dataset, picture_bytes


def test_a_dataset_from_making_to_the_trash(client: TestClient) -> None:
    made = client.post("/api/datasets", json={"name": "my dogs 🐕"})
    assert made.status_code == 201, made.text
    found = client.get("/api/datasets").json()
    assert [each["name"] for each in found["datasets"]] == ["my dogs 🐕"]
    assert found["datasets"][0]["summary"] == {
        "pictures": 0, "captioned": 0, "problems": 0, "bytes": 0, "changed_ns": 0, "cover": None,
    }  # fmt: skip
    assert (made.json()["files_root"], made.json()["files_path"]) == ("datasets", "my dogs 🐕")
    identifier = made.json()["id"]
    renamed = client.patch(f"/api/datasets/{identifier}", json={"name": "cats"}).json()
    assert renamed["name"] == "cats" and renamed["id"] != identifier
    assert client.get(f"/api/datasets/{identifier}").json()["code"] == "not_there"
    gone = client.delete(f"/api/datasets/{renamed['id']}").json()
    assert gone["bytes"] == 0 and len(gone["id"]) == 26
    assert client.get("/api/datasets").json()["datasets"] == []


@pytest.mark.parametrize(
    ("name", "status", "code", "words"),
    [
        ("con", 422, "invalid", "reserved"),
        ("Dogs", 409, "taken", "'dogs'"),
        ("a/b", 422, "invalid", "contains '/'"),
        ("..", 422, "invalid", "begins with '.'"),
        ("", 422, "invalid", "no name"),
        ("x" * 500, 422, "invalid", "too long"),
        ("\ud800", 422, "invalid_request", "name"),
    ],
)
def test_names_that_cannot_be(client: TestClient, name: str, status: int, code: str, words: str) -> None:
    client.post("/api/datasets", json={"name": "dogs"})
    body = json.dumps({"name": name})
    refused = client.post("/api/datasets", content=body, headers={"content-type": "application/json"})
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert words in refused.json()["detail"]
    assert len(refused.json()["detail"]) < 250


def test_pictures_are_listed_sorted_filtered_and_shown(client: TestClient) -> None:
    dataset = make_dataset("dogs", {"10_dog/b": "dog, grass", "10_dog/a": None, "c": "cat"})
    base = f"/api/datasets/{dataset.id}/pictures"
    found = client.get(base).json()
    assert [each["path"] for each in found["pictures"]] == ["10_dog/a.png", "10_dog/b.png", "c.png"]
    assert [each["repeats"] for each in found["pictures"]] == [10, 10, 1]
    assert client.get(base, params={"query": "untagged"}).json()["total"] == 1
    assert client.get(f"{base}/paths", params={"query": "tag:dog OR tag:cat", "sort": "name", "order": "down"}).json() \
        == ["c.png", "10_dog/b.png"]  # fmt: skip
    wrong = client.get(base, params={"query": "tag:dog (cat"})
    assert wrong.status_code == 422
    assert (wrong.json()["code"], wrong.json()["start"], wrong.json()["end"]) == ("query", 8, 9)
    one = found["pictures"][1]
    small = client.get(f"{base}/thumbnail", params={"item": one["path"], "stamp": one["stamp"], "size": 128})
    assert small.headers["content-type"] == "image/webp"
    assert "immutable" in small.headers["cache-control"]
    again = client.get(f"{base}/thumbnail", params={"item": one["path"], "size": 128},
                       headers={"If-None-Match": small.headers["etag"]})  # fmt: skip
    assert (again.status_code, again.content) == (304, b"")
    assert "no-cache" in again.headers["cache-control"]
    whole = client.get(f"{base}/file", params={"item": one["path"]})
    assert whole.content == (dataset.path / one["path"]).read_bytes()
    assert whole.headers["content-type"] == "image/png" and whole.headers["x-content-type-options"] == "nosniff"
    for path in ("../x.png", "/etc/passwd", "10_dog/b.txt", "nothing.png", "\0"):
        assert client.get(f"{base}/file", params={"item": path}).status_code == 404, path


def test_two_people_edit_one_caption(client: TestClient) -> None:
    dataset = make_dataset("dogs", {"a": "dog, grass"})
    address = f"/api/datasets/{dataset.id}/captions"
    first = client.get(address, params={"item": "a.png"}).json()
    saved = client.put(address, json={"item": "a.png", "text": "dog, sand", "based_on": first["version"]})
    assert saved.json()["text"] == "dog, sand"
    refused = client.put(address, json={"item": "a.png", "text": "cat", "based_on": first["version"]})
    assert refused.status_code == 409
    problem = refused.json()
    assert problem["code"] == "stale"
    assert problem["differences"][0]["now"] == "dog, sand"
    assert problem["differences"][0]["version"] == saved.json()["version"]
    assert (dataset.path / "a.txt").read_bytes() == b"dog, sand"
    history = client.get(f"{address}/history", params={"item": "a.png"}).json()
    assert [(each["before"], each["after"]) for each in history] == [("dog, grass", "dog, sand")]
    assert [piece for piece in history[0]["pieces"] if piece["kind"] != "same"] == [
        {"kind": "removed", "text": "grass"}, {"kind": "added", "text": "sand"},
    ]  # fmt: skip


def test_a_bulk_edit_is_previewed_carried_out_and_undone(client: TestClient) -> None:
    dataset = make_dataset("dogs", {"a": "dog,  grass", "b": "cat\n", "c": None})
    before = contents(dataset.path)
    base = f"/api/datasets/{dataset.id}/edits"
    plan = client.post(base, json={"operations": [{"op": "trigger", "word": "ohwx"}], "query": "captioned"}).json()
    assert plan["edit"]["count"] == 2
    assert contents(dataset.path) == before
    changes = client.get(f"{base}/{plan['edit']['id']}").json()
    assert [(each["before"], each["after"]) for each in changes["changes"]] == [
        ("dog,  grass", "ohwx, dog,  grass"), ("cat\n", "ohwx, cat\n"),
    ]  # fmt: skip
    done = client.post(f"{base}/{plan['edit']['id']}/apply", json={}).json()
    assert done["edit"]["state"] == "done"
    assert contents(dataset.path) == {"a.txt": b"ohwx, dog,  grass", "b.txt": b"ohwx, cat\n"}
    listed = client.get(f"/api/datasets/{dataset.id}/pictures", params={"query": "tag:ohwx"}).json()
    assert listed["total"] == 2
    (dataset.path / "a.txt").write_bytes(b"changed by hand")
    refused = client.post(f"{base}/{plan['edit']['id']}/undo", json={})
    assert (refused.status_code, refused.json()["count"]) == (409, 1)
    assert contents(dataset.path)["b.txt"] == b"ohwx, cat\n"
    undone = client.post(f"{base}/{plan['edit']['id']}/undo", json={"skip_changed": True}).json()
    assert contents(dataset.path) == {"a.txt": b"changed by hand", "b.txt": b"cat\n"}
    again = client.post(f"{base}/{undone['edit']['id']}/undo", json={}).json()
    assert contents(dataset.path)["b.txt"] == b"ohwx, cat\n"
    assert again["edit"]["title"] == "Done again: Trigger word ohwx first"


def test_numbers_and_checks(client: TestClient) -> None:
    dataset = make_dataset("dogs", {"a": "dog, grass", "b": "grass, dog", "c": None, "d": ""})
    (dataset.path / "copy.png").write_bytes((dataset.path / "a.png").read_bytes())
    (dataset.path / "empty.jpg").write_bytes(b"")
    (dataset.path / "film.mp4").write_bytes(b"x")
    base = f"/api/datasets/{dataset.id}"
    assert client.get(f"{base}/tags").json()["tags"] == [{"tag": "dog", "count": 2}, {"tag": "grass", "count": 2}]
    assert client.get(f"{base}/tags", params={"start": "gr"}).json()["tags"] == [{"tag": "grass", "count": 2}]
    assert client.get(f"{base}/tags/together", params={"tag": "dog"}).json() == [{"tag": "grass", "count": 2}]
    numbers = client.get(f"{base}/statistics").json()
    assert (numbers["pictures"], numbers["captioned"], numbers["types"]) == (5, 2, {"png": 5})
    buckets = client.get(f"{base}/buckets", params={"width": 64, "height": 64, "step": 16, "minimum": 16}).json()
    assert buckets["total"] == 5 and sum(each["pictures"] for each in buckets["buckets"]) == 5
    assert client.post(f"{base}/checks").json()["state"] == "finished"
    report = {each["kind"]: each["files"] for each in client.get(f"{base}/checks").json()["checks"]}
    assert report == {
        "broken": 1, "too_small": 5, "duplicates": 2, "look_alikes": 0, "blurred": report["blurred"], "no_caption": 2,
        "empty_caption": 1, "same_caption": 2, "unreadable_caption": 0, "odd_files": 1,
    }  # fmt: skip
    found = client.get(f"{base}/checks/duplicates").json()
    assert found["findings"][0]["items"] == ["a.png", "copy.png"]


def test_pictures_go_to_the_trash_with_what_belongs_to_them(client: TestClient) -> None:
    dataset = make_dataset("dogs", {"a": "dog", "b": "cat"})
    (dataset.path / "a-masklabel.png").write_bytes(picture_bytes())
    base = f"/api/datasets/{dataset.id}/pictures"
    assert client.get(base).json()["pictures"][0]["mask"] == "a-masklabel.png"
    assert client.get(base).json()["total"] == 2
    gone = client.post(f"{base}/trash", json={"items": ["a.png"]}).json()
    assert len(gone) == 1
    assert sorted(path.name for path in dataset.path.iterdir()) == ["b.png", "b.txt"]
    from loratory.trash import restore

    restore(gone[0]["id"])
    assert sorted(path.name for path in dataset.path.iterdir()) == [
        "a-masklabel.png", "a.png", "a.txt", "b.png", "b.txt",
    ]  # fmt: skip


def test_a_changed_copy_is_a_new_dataset(client: TestClient) -> None:
    from PIL import Image

    dataset = make_dataset("dogs", {"10_dog/a": "dog", "b": "cat"})
    before = contents(dataset.path, "*.*")
    asked = {"copy_plan": {"name": "turned", "steps": [{"op": "rotate", "degrees": 90}], "format": "jpg",
                           "boxes": {"b.png": [0, 0, 10, 20]}}}  # fmt: skip
    done = client.post(f"/api/datasets/{dataset.id}/pictures/copy", json=asked)
    assert done.json()["state"] == "finished", done.text
    assert client.get(f"/api/datasets/{done.json()['result']['dataset']}").json()["name"] == "turned"
    made = dataset.path.with_name("turned")
    assert sorted(path.relative_to(made).as_posix() for path in made.rglob("*.*")) == [
        "10_dog/a.jpg", "10_dog/a.txt", "b.jpg", "b.txt",
    ]  # fmt: skip
    assert Image.open(made / "10_dog/a.jpg").size == (48, 64)
    assert Image.open(made / "b.jpg").size == (20, 10)
    assert contents(dataset.path, "*.*") == before
    again = client.post(f"/api/datasets/{dataset.id}/pictures/copy", json=asked)
    assert (again.status_code, again.json()["code"]) == (409, "taken")


def test_a_folder_without_rights_is_said(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make_dataset("dogs", {"a": "dog", "b": "dog"})
    step = client.post(f"/api/datasets/{dataset.id}/edits", json={"operations": [{"op": "set", "text": "x"}]}).json()

    def refuse(path: object, data: bytes, **more: object) -> None:
        raise PermissionError(13, "Permission denied", "/somewhere/a.txt")

    monkeypatch.setattr("loratory.datasets.edits.write_atomic", refuse)
    refused = client.post(f"/api/datasets/{dataset.id}/edits/{step['edit']['id']}/apply", json={})
    assert (refused.status_code, refused.json()["code"]) == (403, "no_rights")
    assert refused.json()["detail"].startswith("a.txt cannot be written")
    assert contents(dataset.path) == {"a.txt": b"dog", "b.txt": b"dog"}


def test_work_in_the_background_can_be_asked_for(client: TestClient) -> None:
    dataset = make_dataset("dogs", {"a": "dog"})
    task = client.post(f"/api/datasets/{dataset.id}/checks").json()
    other = make_dataset("cats", {"a": "cat"})
    client.post(f"/api/datasets/{other.id}/checks")
    own = client.get(f"/api/datasets/{dataset.id}/tasks").json()["tasks"]
    assert [(each["id"], each["dataset"], each["kind"]) for each in own] == [(task["id"], dataset.id, "examine")]
    everything = client.get("/api/tasks").json()["tasks"]
    assert [each["dataset"] for each in everything] == [other.id, dataset.id]
    assert client.post(f"/api/tasks/{task['id']}/cancel").json()["state"] == "finished"


def test_settings_of_a_dataset(client: TestClient) -> None:
    dataset = make_dataset("dogs", {"a": "by txt"})
    (dataset.path / "a.caption").write_text("by caption")
    address = f"/api/datasets/{dataset.id}"
    assert client.patch(address, json={"cover": "none.png"}).json()["code"] == "not_there"
    changed = client.patch(address, json={"cover": "a.png", "caption_extension": ".caption", "style": "prose"}).json()
    assert changed["settings"] == {"cover": "a.png", "caption_extension": ".caption", "style": "prose"}
    assert changed["caption_style"] == "prose"
    assert client.get(f"{address}/captions", params={"item": "a.png"}).json()["text"] == "by caption"
    assert client.patch(address, json={"colour": 1}).status_code == 422


@pytest.mark.parametrize(
    ("caption", "style"), [("dog, red, grass", "tags"), ("a red dog runs over the grass of a park", "prose")]
)
def test_what_captions_are_is_found_out(client: TestClient, caption: str, style: str) -> None:
    dataset = make_dataset("dogs", {"a": caption, "b": caption, "c": ""})
    assert client.get(f"/api/datasets/{dataset.id}").json()["settings"]["style"] == "auto"
    client.post(f"/api/datasets/{dataset.id}/scan")
    assert client.get(f"/api/datasets/{dataset.id}").json()["caption_style"] == style
