"""The file tree over HTTP: every operation, every refusal, and no way out of the roots."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest

from loratory.runs import RunFolder
from loratory.server import tree

OUTSIDE = [
    "../secret.txt", "..", "a/../../secret.txt", "/etc/passwd", "\\etc\\passwd", "..\\secret.txt", "C:\\x", "C:/x",
    "c:x",
    "a\0b", "\u202e/../..", "....", "a/.../b", " ", "a/ /b", "link/x", "link", "con", "a/nul.txt", "x" * 300,
    "a/" * 3000, "~/x", "file:///etc/passwd", "%2e%2e/secret.txt", "..%2fsecret.txt", "a\nb", "\ud800", "//x", "./..",
]  # fmt: skip


@pytest.fixture
def models(loratory_home: Path) -> Path:
    folder = loratory_home / "models"
    folder.mkdir()
    (folder / "a").mkdir()
    (folder / "a" / "dog10.txt").write_text("ten")
    (folder / "a" / "dog2.txt").write_text("two")
    (folder / "b.safetensors").write_bytes(bytes(range(256)) * 100)
    (loratory_home / "secret.txt").write_text("secret")
    (folder / "link").symlink_to(loratory_home)
    return folder


def names(answer) -> list[str]:
    return [each["path"] for each in answer.json()["entries"]]


def snapshot(folder: Path) -> dict[str, bytes]:
    """All files but the server's own."""
    return {
        str(path): path.read_bytes() for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and path.relative_to(folder).parts[0] != "state"
    }  # fmt: skip


@pytest.mark.parametrize("path", OUTSIDE)
def test_no_path_leads_out(client, loratory_home, models, path):
    before = snapshot(loratory_home)
    place = {"root": "models", "path": path}
    to = {"root": "models", "paths": [path], "to_root": "models", "to_folder": "a"}
    out = {"root": "models", "paths": ["b.safetensors"], "to_root": "models", "to_folder": path}
    answers = [
        client.get(f"/api/files/{what}", params=place) for what in ("stat", "text", "content", "zip")
        if path.isprintable() or path.isascii()
    ]  # fmt: skip
    for method, url, body in [
        ("PUT", "text", {**place, "text": "x", "version": None}), ("POST", "mkdir", {**place, "path": f"{path}/new"}),
        ("POST", "move", out), ("POST", "copy", out), ("POST", "copy", to),
        ("POST", "rename", {"root": "models", "path": "b.safetensors", "name": path}),
    ]:  # fmt: skip
        content = json.dumps(body)
        answers.append(
            client.request(method, f"/api/files/{url}", content=content, headers={"content-type": "application/json"})
        )
    literal = path in ("~/x", "%2e%2e/secret.txt", "..%2fsecret.txt")  # names as any other
    for answer in answers:
        assert answer.status_code in ((400, 403, 404, 409) if not literal else (200, 201, 202, 400, 404, 409)), (
            answer.text
        )
        assert "secret" not in answer.text.replace(json.dumps(path)[1:-1], "").replace("secret.txt", "")
    after = snapshot(loratory_home)
    assert set(before.values()) <= set(after.values()), "nothing is lost"
    outside = {key for key in after if not key.startswith(str(models))}
    assert outside == {str(loratory_home / "secret.txt")}


def test_a_folder_in_pages(client, models):
    page = client.get("/api/files", params={"root": "models", "limit": 2})
    assert page.json()["total"] == 3
    assert names(page) == ["a", "b.safetensors"]
    assert page.json()["entries"][1]["size_bytes"] == 25_600
    assert names(client.get("/api/files", params={"root": "models", "start": 2})) == ["link"]
    assert names(client.get("/api/files", params={"root": "models", "path": "a"})) == ["a/dog2.txt", "a/dog10.txt"]
    down = client.get("/api/files", params={"root": "models", "path": "a", "sort": "time", "descending": True})
    assert set(names(down)) == {"a/dog2.txt", "a/dog10.txt"}
    assert client.get("/api/files", params={"root": "models", "path": "b.safetensors"}).status_code == 409
    assert client.get("/api/files", params={"root": "none"}).json()["code"] == "no_root"
    roots = {each["id"]: each["path"] for each in client.get("/api/files/roots").json()["roots"]}
    assert set(roots) == {"datasets", "output", "models"}
    assert roots["models"].endswith("models")


def test_make_move_rename_delete_and_take_back(client, models):
    assert client.post("/api/files/mkdir", json={"root": "models", "path": "c/d"}).json()["path"] == "c/d"
    assert client.post("/api/files/mkdir", json={"root": "models", "path": "c/d"}).status_code == 409
    assert client.post("/api/files/mkdir", json={"root": "models", "path": "c/con"}).status_code == 400
    moved = client.post(
        "/api/files/move", json={"root": "models", "paths": ["b.safetensors"], "to_root": "models", "to_folder": "c/d"}
    )
    assert moved.json()["paths"] == ["c/d/b.safetensors"]
    into = {"root": "models", "paths": ["c"], "to_root": "models", "to_folder": "c/d"}
    assert client.post("/api/files/move", json=into).json()["code"] == "into_itself"
    renamed = client.post("/api/files/rename", json={"root": "models", "path": "a/dog2.txt", "name": "Dog2.txt"})
    assert renamed.json()["path"] == "a/Dog2.txt"
    taken = {"root": "models", "path": "a/Dog2.txt", "name": "dog10.txt"}
    assert client.post("/api/files/rename", json=taken).json()["code"] == "exists"
    deleted = client.post("/api/files/delete", json={"root": "models", "paths": ["c", "link"]}).json()
    assert deleted["bytes"] >= 25_600
    assert not (models / "c").exists()
    assert (models.parent / "secret.txt").exists(), "a link goes, and not what it leads to"
    listed = client.get("/api/trash").json()
    assert (listed["total"], listed["total_bytes"]) == (2, deleted["bytes"])
    assert client.post(f"/api/trash/{deleted['ids'][0]}/restore").status_code == 200
    assert (models / "c" / "d" / "b.safetensors").stat().st_size == 25_600
    assert client.post(f"/api/trash/{deleted['ids'][0]}/restore").status_code == 404
    assert client.post("/api/trash/empty", json={}).status_code == 200
    assert client.get("/api/trash").json()["total"] == 0
    assert client.post("/api/files/delete", json={"root": "models", "paths": [""]}).status_code == 400


def test_copies_are_tasks(client, models):
    (models / "a" / "way").symlink_to("/etc")
    wanted = {"root": "models", "paths": ["a", "b.safetensors"], "to_root": "models", "clash": "number"}
    started = client.post("/api/files/copy", json=wanted)
    assert started.status_code == 202
    assert client.app.state.context.tasks.get(started.json()["id"]).wait(10)
    done = client.get(f"/api/tasks/{started.json()['id']}").json()
    assert done["result"]["paths"] == ["a (2)", "b (2).safetensors"], done
    assert sorted(path.name for path in (models / "a (2)").iterdir()) == ["dog10.txt", "dog2.txt"]


def test_texts_are_saved_only_over_what_was_read(client, models):
    read = client.get("/api/files/text", params={"root": "models", "path": "a/dog2.txt"}).json()
    body = {"root": "models", "path": "a/dog2.txt", "text": "mine", "version": read["version"]}
    (models / "a" / "dog2.txt").write_text("theirs")
    stale = client.put("/api/files/text", json=body)
    assert (stale.status_code, stale.json()["code"], stale.json()["text"]) == (409, "stale", "theirs")
    assert (models / "a" / "dog2.txt").read_text() == "theirs"
    assert client.put("/api/files/text", json={**body, "version": stale.json()["version"]}).status_code == 200
    assert (models / "a" / "dog2.txt").read_text() == "mine"
    assert client.put("/api/files/text", json={**body, "path": "a/new.txt", "version": None}).status_code == 200
    assert client.put("/api/files/text", json={**body, "path": "a/gone.txt"}).json()["code"] == "stale"
    assert client.get("/api/files/text", params={"root": "models", "path": "b.safetensors"}).status_code == 415


def test_downloads_have_ranges_and_foreign_pages_are_never_shown(client, models):
    place = {"root": "models", "path": "b.safetensors"}
    part = client.get("/api/files/content", params=place, headers={"Range": "bytes=256-511"})
    assert (part.status_code, part.content) == (206, bytes(range(256)))
    for name in ("x.svg", "x.html"):
        (models / name).write_text("<script>alert(1)</script>")
        answer = client.get("/api/files/content", params={"root": "models", "path": name})
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get("/api/files/content", params={"root": "models", "path": "a"}).status_code == 409


def test_a_zip_of_a_selection(client, models):
    answer = client.get("/api/files/zip", params={"root": "models", "path": ["a", "b.safetensors"]})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.read("b.safetensors") == (models / "b.safetensors").read_bytes()
        assert sorted(archive.namelist()) == ["a/dog10.txt", "a/dog2.txt", "b.safetensors"]


def test_a_zip_of_large_files_takes_little_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(tree, "_ZIP64_FROM", 1000)
    with (tmp_path / "large.bin").open("wb") as stream:
        stream.truncate(64 << 20)
    largest = total = 0
    for piece in tree.zip_stream([tmp_path / "large.bin"]):
        largest, total = max(largest, len(piece)), total + len(piece)
    assert total > 64 << 20
    assert largest < 2 << 20


def test_a_run_at_work_keeps_its_files(client, loratory_home):
    run = RunFolder.create(loratory_home / "output", "dog")
    run.write_config("config")
    bodies = {
        "delete": {"root": "output", "paths": ["dog/config.yaml"]},
        "rename": {"root": "output", "path": "dog", "name": "cat"},
        "move": {"root": "output", "paths": ["dog"], "to_root": "models"},
        "mkdir": {"root": "output", "path": "dog/control/x"},
    }
    with run.lock():
        for what, body in bodies.items():
            answer = client.post(f"/api/files/{what}", json=body)
            assert (answer.status_code, answer.json()["code"]) == (409, "run_active"), what
    assert client.post("/api/files/rename", json=bodies["rename"]).status_code == 200
