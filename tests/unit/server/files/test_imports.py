"""From an upload to a dataset, over HTTP."""

from __future__ import annotations

import base64
import io
import zipfile

import pytest

TUS = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}


def packed(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def upload(client, data: bytes, name: str = "set.zip"):
    pairs = {"filename": name, "purpose": "archive"}
    metadata = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs.items())
    headers = {**TUS, "Upload-Length": str(len(data)), "Upload-Metadata": metadata}
    return client.post("/api/uploads", headers=headers, content=data)


def bring(client, source: dict, **more):
    answer = client.post("/api/imports", json={"source": source, "dataset": "dogs", **more})
    if answer.status_code != 202:
        return answer.json()
    assert client.app.state.context.tasks.get(answer.json()["id"]).wait(20)
    return client.get(f"/api/tasks/{answer.json()['id']}").json()


def test_an_uploaded_archive_becomes_a_dataset_and_is_gone(client, loratory_home):
    answer = upload(client, packed({"a.png": b"1", "a.txt": b"2", "../evil.png": b"3"}))
    assert answer.status_code == 201, answer.text
    identifier = answer.headers["location"].rpartition("/")[2]
    done = bring(client, {"kind": "upload", "upload_id": identifier})
    assert done["state"] == "finished", done
    assert (done["result"]["files"], done["result"]["left_out_count"]) == (2, 1)
    assert (loratory_home / "datasets" / "dogs" / "a.txt").read_bytes() == b"2"
    assert list((loratory_home / "state" / "uploads").glob("*.part")) == []
    assert bring(client, {"kind": "upload", "upload_id": identifier})["code"] == "no_upload"


@pytest.mark.parametrize(
    ("name", "data", "status", "code"),
    [
        ("set.zip", b"no zip", 422, "not_an_archive"),
        ("set.7z", packed({"a": b"1"}), 422, "not_an_archive"),
        ("set.png", b"x", 415, "wrong_type"),
        ("set.zip", b"", 422, "empty_file"),
    ],
)
def test_what_is_no_archive(client, name, data, status, code):
    answer = upload(client, data, name)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_folder_of_the_server_and_replacing_through_the_trash(client, loratory_home):
    source = loratory_home / "output" / "pictures"
    source.mkdir(parents=True)
    (source / "a.png").write_bytes(b"new")
    old = loratory_home / "datasets" / "dogs"
    (old / "sub").mkdir(parents=True)
    (old / "a.png").write_bytes(b"old")
    wanted = {"kind": "folder", "root": "output", "path": "pictures", "how": "link"}
    assert bring(client, wanted)["error"]["code"] == "exists"
    assert bring(client, wanted, clash="replace")["result"]["replaced"] == 1
    assert (old / "a.png").read_bytes() == b"new"
    (old / "a.png").unlink()
    trashed = client.get("/api/trash").json()["entries"][0]
    assert trashed["kind"] == "replaced"
    assert client.post(f"/api/trash/{trashed['id']}/restore").status_code == 200
    assert (old / "a.png").read_bytes() == b"old"
    assert bring(client, {**wanted, "path": "../state"})["code"] == "bad_path"


def test_a_bad_archive_fails_with_a_code(client, loratory_home):
    (loratory_home / "datasets").mkdir(exist_ok=True)
    (loratory_home / "datasets" / "set.zip").write_bytes(packed({"a.png": b"1"})[:-10])
    done = bring(client, {"kind": "archive", "root": "datasets", "path": "set.zip"})
    assert (done["state"], done["error"]["code"]) == ("failed", "bad_archive")
    assert not (loratory_home / "datasets" / "dogs").exists()
