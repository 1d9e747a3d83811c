"""Runs over HTTP: the list, one of them, notes, config, samples, files, the log, deleting."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from loratory.runs import RunFolder
from tests.made_runs import lora_file, make_run


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file with its time and size."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in folder.rglob("*") if path.is_file()
    }  # fmt: skip


def get(client: TestClient, path: str, status: int = 200, **query: Any) -> Any:
    response = client.get(f"/api/runs{path}", params=query)
    assert response.status_code == status, response.text
    return response.json()


def test_list_and_detail(client: TestClient, run: RunFolder, loratory_home: Path) -> None:
    make_run(loratory_home / "output", "cat")
    found = get(client, "", sort="name", descending="false")
    assert [each["name"] for each in found["runs"]] == ["cat", "dog"]
    assert (found["total"], found["states"], found["tags"]) == (2, {"finished": 2}, {})
    assert get(client, "", search="DOG", state="finished")["total"] == 1
    assert get(client, "", state="training")["total"] == 0
    detail = get(client, f"/{run.id}")
    assert detail["facts"]["samples"] == 4
    assert (detail["status"]["state"], detail["status"]["loss"]) == ("finished", 0.1)
    assert client.get(f"/api/jobs/{run.id}/events", params={"after": detail["cursor"]}).json()["events"] == []
    assert get(client, "/01M804PBATDF5DQZN9SY08KNK5", 404)["code"] == "unknown_run"
    for bad in ({"sort": "path"}, {"limit": 0}, {"offset": -1}):
        assert get(client, "", 422, **bad)["code"] == "invalid_request"


def test_reading_changes_nothing(client: TestClient, run: RunFolder) -> None:
    before = contents(run.path)
    paths = [
        "", "/config", "/size", "/metrics", "/metrics/names", "/samples", "/checkpoints", "/exports", "/lora", "/log",
        "/log/search?text=x", "/files", "/files/status.json", f"/diff/{run.id}",
        "/samples/000000005_00_0123abcd.png?size=128",
    ]  # fmt: skip
    for path in paths:
        assert client.get(f"/api/runs/{run.id}{path}").status_code == 200, path
    assert contents(run.path) == before


def test_notes(client: TestClient, run: RunFolder) -> None:
    def put(version: str, status: int = 200, **values: Any) -> Any:
        body = {"notes": "", "tags": [], "version": version, **values}
        response = client.put(f"/api/runs/{run.id}/notes", json=body)
        assert response.status_code == status, response.text
        return response.json()

    first = get(client, f"/{run.id}")["notes"]
    assert (first["notes"], first["tags"]) == ("", [])
    second = put(first["version"], notes="good\nhands", tags=[" best ", "best", "a\u0308"])
    assert (second["notes"], second["tags"]) == ("good\nhands", ["best", "ä"])
    refused = put(first["version"], 409, notes="other")
    assert (refused["code"], refused["now"]) == ("stale", second)
    assert get(client, f"/{run.id}")["notes"] == second
    assert get(client, "", tag="best")["runs"][0]["notes"] == "good"
    third = put(second["version"])
    assert third["version"] != second["version"]
    for bad in ({"tags": [""]}, {"tags": ["x" * 61]}, {"tags": ["a\nb"]}, {"notes": "x" * 100_001}, {"more": 1}):
        put(third["version"], 422, **bad)
    assert json.loads((run.path / "notes.json").read_text()) == {"notes": "", "tags": []}
    body = json.dumps({"notes": "\ud800", "tags": [], "version": third["version"]})
    response = client.put(f"/api/runs/{run.id}/notes", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 422


def test_config_and_differences(client: TestClient, run: RunFolder, loratory_home: Path) -> None:
    other = make_run(loratory_home / "output", "cat", rank=8)
    config = get(client, f"/{run.id}/config")
    assert config["config"]["network"]["rank"] == 4
    assert config["text"] == run.config_path.read_text()
    found = {each["path"]: each for each in get(client, f"/{run.id}/diff/{other.id}")}
    assert found["network.rank"] == {"path": "network.rank", "a": 4, "b": 8}
    assert found.keys() == {"name", "network.rank"}
    bare = RunFolder.create(loratory_home / "output", "bare")
    assert get(client, f"/{bare.id}/config", 404)["code"] == "no_config"
    assert get(client, f"/{run.id}/diff/{bare.id}", 409)["code"] == "no_config"
    assert get(client, f"/{run.id}/diff/nothing", 404)["code"] == "unknown_run"


def test_samples(client: TestClient, run: RunFolder) -> None:
    found = get(client, f"/{run.id}/samples")
    assert found["steps"] == [5, 10]
    assert found["prompts"] == [
        {"key": "00_0123abcd", "index": 0, "text": "a dog, on: a mat", "negative": "cat, blurry",
         "settings": {"Steps": "20", "Sampler": "the model's own", "Size": "64x64", "Training step": "5"}},
        {"key": "01_9999abcd", "index": 1, "text": None, "negative": None, "settings": {}},
    ]  # fmt: skip
    assert [(each["step"], each["prompt"]) for each in found["samples"]] == [
        (5, "00_0123abcd"), (5, "01_9999abcd"), (10, "00_0123abcd"), (10, "01_9999abcd"),
    ]  # fmt: skip
    picture = f"/api/runs/{run.id}/samples/000000005_00_0123abcd.png"
    whole = client.get(picture)
    assert whole.headers["content-type"] == "image/png"
    assert client.get(picture, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
    small = Image.open(io.BytesIO(client.get(picture, params={"size": 128}).content))
    assert (small.format, small.size) == ("WEBP", (64, 48))
    assert client.get(picture, params={"size": 127}).status_code == 422
    for name in ("000000006_00_0123abcd.png", "..%2Fstatus.json", "status.json"):
        assert client.get(f"/api/runs/{run.id}/samples/{name}").status_code == 404
    (run.samples_path / "000000010_00_0123abcd.png").write_bytes(b"broken")
    assert client.get(f"/api/runs/{run.id}/samples/000000010_00_0123abcd.png?size=128").status_code == 422
    assert get(client, f"/{run.id}/samples")["steps"] == [5, 10]


def test_checkpoints_and_exports(client: TestClient, run: RunFolder) -> None:
    (run.checkpoints_path / "000000010" / "network.safetensors").write_bytes(b"torn")
    found = get(client, f"/{run.id}/checkpoints")
    assert [(each["step"], each["is_whole"], each["can_be_deleted"]) for each in found] == [
        (5, True, True), (10, False, True),
    ]  # fmt: skip
    exports = get(client, f"/{run.id}/exports")
    assert [(each["file"], each["kind"], each["step"]) for each in exports] == [
        ("dog_000000005.safetensors", "step", 5), ("dog.safetensors", "final", None),
    ]  # fmt: skip
    assert exports[0]["metadata"] == {"rank": "4", "steps": "5", "tensors": "1", "dtype": "F16"}
    lora = client.get(f"/api/runs/{run.id}/lora")
    assert lora.content == lora_file(ss_network_dim="4", ss_steps="10")
    assert lora.headers["content-disposition"] == "attachment; filename*=utf-8''dog.safetensors"

    run.export_path(5).write_bytes(b"no header")
    run.export_path(5).with_name("dog_000000005_alpha_scheduler.json").write_text("{}")
    assert "safetensors" in get(client, f"/{run.id}/exports")[0]["problem"]
    trashed = client.delete(f"/api/runs/{run.id}/exports/dog_000000005.safetensors").json()
    assert trashed["bytes"] == len(b"no header{}")
    assert client.delete(f"/api/runs/{run.id}/exports/status.json").status_code == 404
    assert client.delete(f"/api/runs/{run.id}/checkpoints/5").status_code == 200
    assert client.delete(f"/api/runs/{run.id}/checkpoints/5").status_code == 404
    assert [each["step"] for each in get(client, f"/{run.id}/checkpoints")] == [10]
    names = {path.name for path in run.path.iterdir()}
    assert not {name for name in names if name.startswith("dog_")}


def test_a_run_that_works_keeps_what_it_needs(client: TestClient, run: RunFolder) -> None:
    with run.lock():
        run.write_status("training")
        assert client.delete(f"/api/runs/{run.id}").json()["code"] == "busy"
        assert client.delete(f"/api/runs/{run.id}/checkpoints/10").json()["code"] == "busy"
        assert client.delete(f"/api/runs/{run.id}/checkpoints/5").status_code == 200
    assert client.delete(f"/api/runs/{run.id}/checkpoints/10").status_code == 200


def test_delete(client: TestClient, run: RunFolder, loratory_home: Path) -> None:
    size = get(client, f"/{run.id}/size")
    assert size["files"] == len(contents(run.path))
    assert size["bytes"] == sum(each[1] for each in contents(run.path).values())
    trashed = client.delete(f"/api/runs/{run.id}").json()
    assert (trashed["bytes"], trashed["kind"]) == (size["bytes"], "run")
    assert not run.path.exists()
    assert get(client, f"/{run.id}", 404)["code"] == "unknown_run"
    assert get(client, "")["total"] == 0
    assert (loratory_home / "trash" / trashed["id"] / "content" / "dog" / "status.json").is_file()


def test_log(client: TestClient, run: RunFolder) -> None:
    lines = run.log_path.read_text().splitlines()
    page = get(client, f"/{run.id}/log", lines=10)
    assert page["lines"] == lines[-10:]
    above = get(client, f"/{run.id}/log", lines=20, before=page["before"])
    assert above["lines"] == lines[-30:-10]
    assert get(client, f"/{run.id}/log", lines=30, after=above["before"])["lines"] == lines[-30:]
    assert get(client, f"/{run.id}/log", after=page["after"])["lines"] == []
    with run.log_path.open("a") as stream:
        stream.write("new\nnot yet whole")
    assert get(client, f"/{run.id}/log", after=page["after"])["lines"] == ["new"]
    everything = get(client, f"/{run.id}/log", lines=5000)
    assert (len(everything["lines"]), everything["before"]) == (1001, None)
    forward: list[str] = []
    cursor = "-:0"
    while (page := get(client, f"/{run.id}/log", lines=300, after=cursor))["lines"]:
        forward += page["lines"]
        cursor = page["after"]
    assert forward == everything["lines"]
    for bad in ("x", "0123456789abcdef:7", cursor.split(":")[0] + ":99999999"):
        assert get(client, f"/{run.id}/log", 409, after=bad)["code"] == "stale_cursor"
    assert get(client, f"/{run.id}/log", 422, after=cursor, before=cursor)["code"] == "two_cursors"


def test_search_in_the_log(client: TestClient, run: RunFolder) -> None:
    found = get(client, f"/{run.id}/log/search", text="LINE 99", most=2)
    assert [each["line"] for each in found["found"]] == ["line 99 of the log, with ä", "line 990 of the log, with ä"]
    around = get(client, f"/{run.id}/log", lines=1, after=found["found"][0]["cursor"])
    assert around["lines"] == ["line 99 of the log, with ä"]
    rest = get(client, f"/{run.id}/log/search", text="line 99", after=found["after"])
    assert [each["line"][:8] for each in rest["found"]] == [f"line {number}" for number in range(991, 1000)]
    assert rest["after"] is None
    assert get(client, f"/{run.id}/log/search", text="nowhere") == {"found": [], "after": None}


def test_files(client: TestClient, run: RunFolder, tmp_path: Path) -> None:
    found = {each["name"]: each for each in get(client, f"/{run.id}/files")}
    assert found["samples"]["is_folder"] and found["samples"]["bytes"] > 0
    assert found["dog.safetensors"]["bytes"] == run.final_export_path.stat().st_size
    assert "lock" not in found
    inside = get(client, f"/{run.id}/files", folder="checkpoints/000000005")
    assert [each["name"] for each in inside] == ["manifest.json", "network.safetensors"]
    for bad, status in (("..", 400), ("/etc", 400), ("nothing", 404), ("status.json", 404), ("x" * 300, 400)):
        get(client, f"/{run.id}/files", status, folder=bad)

    (run.path / "evil.svg").write_text("<svg/>")
    (run.path / "evil.html").write_text("<script/>")
    for name in ("evil.svg", "evil.html", "dog.safetensors"):
        headers = client.get(f"/api/runs/{run.id}/files/{name}").headers
        assert headers["content-type"] == "application/octet-stream"
        assert headers["content-disposition"].startswith("attachment;")
        assert headers["x-content-type-options"] == "nosniff"
    headers = client.get(f"/api/runs/{run.id}/files/config.yaml").headers
    assert (headers["content-type"], headers["content-disposition"][:6]) == ("text/plain; charset=utf-8", "inline")
    saved = client.get(f"/api/runs/{run.id}/files/config.yaml?save=true").headers
    assert saved["content-disposition"].startswith("attachment;")

    (tmp_path / "secret").write_text("secret")
    (run.path / "link").symlink_to(tmp_path / "secret")
    for path, status in (
        ("link", 403), ("..%2F..%2Fsecret", 400), ("%2Fetc%2Fpasswd", 400), ("samples", 404), ("nothing", 404),
        ("a" * 300, 400), ("a%00b", 400),
    ):  # fmt: skip
        response = client.get(f"/api/runs/{run.id}/files/{path}")
        assert response.status_code == status, path
        assert response.headers["content-type"] == "application/problem+json"


WHOLE = bytes(range(100))


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        ("bytes=0-9", 206, WHOLE[:10]),
        ("bytes=90-", 206, WHOLE[90:]),
        ("bytes=-10", 206, WHOLE[-10:]),
        ("bytes=-1000", 206, WHOLE),
        ("bytes=99-99", 206, WHOLE[99:]),
        ("bytes=50-1000", 206, WHOLE[50:]),
        ("BYTES = 1-2", 206, WHOLE[1:3]),
        ("bytes=0-1,5-6", 200, WHOLE),
        ("items=0-1", 200, WHOLE),
        ("nonsense", 200, WHOLE),
        ("bytes=100-", 416, None),
        ("bytes=100-200", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=5-4", 416, None),
        ("bytes=-", 416, None),
        ("bytes=", 416, None),
        ("bytes=a-b", 416, None),
        ("bytes=0-1,x", 416, None),
        ("bytes=--5", 416, None),
        ("bytes=0-9 9", 416, None),
        ("bytes=" + "9" * 30 + "-", 416, None),
    ],
)
def test_ranges(client: TestClient, run: RunFolder, asked: str, status: int, expected: bytes | None) -> None:
    (run.path / "file.bin").write_bytes(WHOLE)
    url = f"/api/runs/{run.id}/files/file.bin"
    response = client.get(url, headers={"Range": asked})
    assert response.status_code == status
    if expected is None:
        assert response.json()["code"] == "bad_range"
        assert response.headers["content-range"] == "bytes */100"
        return
    assert response.content == expected
    assert response.headers["content-length"] == str(len(expected))
    if status == 206:
        first = WHOLE.index(expected)
        assert response.headers["content-range"] == f"bytes {first}-{first + len(expected) - 1}/100"
    head = client.head(url, headers={"Range": asked})
    assert (head.status_code, head.headers["content-length"], head.content) == (status, str(len(expected)), b"")


def test_a_range_of_a_file_that_changed_is_the_whole_file(client: TestClient, run: RunFolder) -> None:
    url = f"/api/runs/{run.id}/files/status.json"
    etag = client.get(url).headers["etag"]
    assert client.get(url, headers={"Range": "bytes=0-4", "If-Range": etag}).status_code == 206
    run.write_status("finished", step=9)
    response = client.get(url, headers={"Range": "bytes=0-4", "If-Range": etag, "If-None-Match": etag})
    assert (response.status_code, response.content) == (200, run.status_path.read_bytes())
    (run.path / "empty").write_bytes(b"")
    assert client.get(f"/api/runs/{run.id}/files/empty").content == b""
    assert client.get(f"/api/runs/{run.id}/files/empty", headers={"Range": "bytes=0-"}).status_code == 416
