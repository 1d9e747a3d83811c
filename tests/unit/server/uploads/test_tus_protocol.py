"""tus 1.0.0, line by line: https://tus.io/protocols/resumable-upload."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
import time
from email.utils import parsedate_to_datetime
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from loratory.server import uploads

_spec = importlib.util.spec_from_file_location("tus", Path(__file__).with_name("tus.py"))
assert _spec and _spec.loader
tus = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tus)


def picture() -> bytes:
    stream = BytesIO()
    Image.new("RGB", (8, 8), (200, 20, 20)).save(stream, format="PNG")
    return stream.getvalue()


def models(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (home / "models").iterdir()}


def parts(home: Path) -> list[str]:
    return sorted(path.name.partition(".")[2] for path in (home / "state" / "uploads").iterdir() if path.is_file())


def test_options_tells_what_is_spoken(client):
    answer = client.options(tus.URL)
    assert answer.status_code == 204
    assert answer.headers["tus-version"] == "1.0.0"
    assert set(answer.headers["tus-extension"].split(",")) == {
        "creation", "creation-with-upload", "termination", "checksum", "expiration",
    }  # fmt: skip
    assert set(answer.headers["tus-checksum-algorithm"].split(",")) == {"sha1", "sha256"}
    assert int(answer.headers["tus-max-size"]) > 10**11


@pytest.mark.parametrize("method", ["post", "head", "patch", "delete"])
def test_another_version_of_tus_is_refused_with_ours(client, method):
    url = tus.URL if method == "post" else tus.begin(client, 3, filename="a.bin")
    for headers in ({}, {"Tus-Resumable": "0.2.2"}):
        answer = client.request(method, url, headers=headers)
        assert answer.status_code == 412
        assert answer.headers["tus-version"] == "1.0.0"


@pytest.mark.parametrize("slash", ["", "/"])
def test_location_is_relative_so_that_it_holds_below_any_path(client, slash):
    answer = client.post(
        tus.URL + slash, headers={**tus.VERSION, "Upload-Length": "3", **tus.metadata(root="models", filename="a.bin")}
    )
    location = answer.headers["location"]
    assert not location.startswith(("/", "http"))
    assert client.head(answer.url.join(location).path, headers=tus.VERSION).headers["upload-length"] == "3"


def test_a_file_in_pieces(client, loratory_home):
    data = os.urandom(100_000)
    url = tus.begin(client, len(data), filename="lora.safetensors")
    assert tus.offset(client, url) == 0
    for start in range(0, len(data), 30_000):
        answer = tus.patch(client, url, start, data[start : start + 30_000])
        assert answer.status_code == 204
        assert int(answer.headers["upload-offset"]) == min(len(data), start + 30_000)
    assert answer.headers["upload-path"] == "lora.safetensors"
    assert models(loratory_home) == {"lora.safetensors": data}
    assert parts(loratory_home) == []
    assert tus.offset(client, url) == len(data), "a client that lost the last answer must see that all is there"
    assert client.get(url).json()["path"] == "lora.safetensors"
    assert client.head(url, headers=tus.VERSION).headers["cache-control"] == "no-store"


def test_the_beginning_may_come_with_the_creation(client, loratory_home):
    headers = {**tus.BODY, "Upload-Length": "6", **tus.metadata(root="models", filename="a.bin")}
    answer = client.post(tus.URL, headers=headers, content=b"abc")
    assert (answer.status_code, answer.headers["upload-offset"]) == (201, "3")
    answer = tus.patch(client, str(answer.url.join(answer.headers["location"]).path), 3, b"def")
    assert models(loratory_home) == {"a.bin": b"abcdef"}


def test_an_empty_file_is_there_at_once(client, loratory_home):
    assert tus.create(client, 0, filename="empty.txt").status_code == 201
    assert models(loratory_home) == {"empty.txt": b""}


@pytest.mark.parametrize("offset", [0, 2, 4, 9])
def test_a_wrong_offset_is_a_conflict(client, offset):
    url = tus.begin(client, 10, filename="a.bin")
    tus.patch(client, url, 0, b"abc")
    answer = tus.patch(client, url, offset, b"x")
    assert (answer.status_code, answer.json()["code"], answer.json()["offset"]) == (409, "wrong_offset", 3)
    assert tus.offset(client, url) == 3


def test_more_than_announced_is_refused_and_taken_back(client):
    url = tus.begin(client, 5, filename="a.bin")
    tus.patch(client, url, 0, b"abc")
    assert tus.patch(client, url, 3, b"defg").status_code == 413
    assert tus.patch(client, url, 3, iter([b"d", b"e", b"f"])).status_code == 413, "without a Content-Length"
    assert tus.offset(client, url) == 3
    assert tus.patch(client, url, 3, b"de").status_code == 204


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json"}, 415),
        ({"Upload-Offset": "-1"}, 400),
        ({"Upload-Offset": "x"}, 400),
        ({"Upload-Checksum": "md5 YWJj"}, 400),
        ({"Upload-Checksum": "sha1 ???"}, 400),
    ],
)
def test_patches_that_are_not_understood(client, headers, status):
    url = tus.begin(client, 5, filename="a.bin")
    assert (
        client.patch(url, headers={**tus.BODY, "Upload-Offset": "0", **headers}, content=b"abc").status_code == status
    )
    assert tus.offset(client, url) == 0


@pytest.mark.parametrize("headers", [
    {}, {"Upload-Length": "x"}, {"Upload-Length": "-1"}, {"Upload-Length": "9" * 30}, {"Upload-Defer-Length": "1"},
    {"Upload-Length": "1", "Upload-Metadata": "filename ###"},
    {"Upload-Length": "1", "Upload-Metadata": "filename /w=="},
])  # fmt: skip
def test_creations_that_are_not_understood(client, headers):
    assert client.post(tus.URL, headers={**tus.VERSION, **headers}).status_code == 400


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_a_checksum_is_compared_and_a_wrong_piece_is_taken_back(client, loratory_home, algorithm):
    data = os.urandom(1000)
    url = tus.begin(client, len(data), filename="a.bin")

    def check(piece: bytes) -> dict[str, str]:
        return {"Upload-Checksum": f"{algorithm} {base64.b64encode(hashlib.new(algorithm, piece).digest()).decode()}"}

    assert tus.patch(client, url, 0, data[:500], **check(data[:500])).status_code == 204
    answer = tus.patch(client, url, 500, data[500:], **check(b"other"))
    assert (answer.status_code, answer.json()["code"]) == (460, "wrong_checksum")
    assert tus.offset(client, url) == 500
    assert tus.patch(client, url, 500, data[500:], **check(data[500:])).status_code == 204
    assert models(loratory_home) == {"a.bin": data}


def test_what_was_never_compared_with_its_checksum_does_not_count(client, loratory_home):
    """As after a kill of the server in the middle of a piece with a checksum."""
    from loratory.server import uploads

    url = tus.begin(client, 10, filename="a.bin")
    tus.patch(client, url, 0, b"abc")
    upload = uploads.load(url.rpartition("/")[2])
    uploads.mark_unproved(upload, 3)
    with uploads.part_path(upload.id).open("ab") as part:
        part.write(b"XY")
    assert tus.offset(client, url) == 3
    assert tus.patch(client, url, 3, b"defghij").status_code == 204
    assert models(loratory_home) == {"a.bin": b"abcdefghij"}


def test_termination_forgets_what_arrived(client, loratory_home):
    url = tus.begin(client, 10, filename="a.bin")
    tus.patch(client, url, 0, b"abc")
    assert client.delete(url, headers=tus.VERSION).status_code == 204
    assert client.head(url, headers=tus.VERSION).status_code == 404
    assert parts(loratory_home) == []


def test_termination_of_a_finished_upload_leaves_the_file(client, loratory_home):
    url = tus.begin(client, 3, filename="a.bin")
    tus.patch(client, url, 0, b"abc")
    assert client.delete(url, headers=tus.VERSION).status_code == 204
    assert models(loratory_home) == {"a.bin": b"abc"}


def test_expiration_is_told_and_old_parts_are_swept(client, loratory_home):
    from loratory.server import uploads

    answer = tus.create(client, 10, filename="a.bin")
    expires = parsedate_to_datetime(answer.headers["upload-expires"]).timestamp()
    assert abs(expires - time.time() - 7 * 86400) < 60
    done = tus.begin(client, 3, filename="b.bin")
    tus.patch(client, done, 0, b"abc")
    assert uploads.sweep() == 0
    assert uploads.sweep(expires + 60) == 3
    assert parts(loratory_home) == []
    assert models(loratory_home) == {"b.bin": b"abc"}


def test_methods_may_be_overridden(client, loratory_home):
    url = tus.begin(client, 3, filename="a.bin")
    headers = {**tus.BODY, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    assert client.post(url, headers=headers, content=b"abc").status_code == 204
    assert models(loratory_home) == {"a.bin": b"abc"}
    assert client.post(url, headers={**tus.VERSION, "X-HTTP-Method-Override": "DELETE"}).status_code == 204
    assert client.post(url, headers=tus.VERSION).status_code in (404, 405)


@pytest.mark.parametrize("identifier", ["none", "0" * 32, "..%2f..%2fetc", "A" * 32])
def test_an_unknown_upload_is_a_404(client, identifier):
    url = f"{tus.URL}/{identifier}"
    assert client.get(url).status_code == 404
    assert client.head(url, headers=tus.VERSION).status_code == 404
    assert tus.patch(client, url, 0, b"x").status_code == 404
    assert client.delete(url, headers=tus.VERSION).status_code == 404


def test_a_browser_finds_its_unfinished_uploads_again(client, loratory_home):
    urls = [tus.begin(client, 10, filename=f"{number}.bin") for number in range(3)]
    tus.patch(client, urls[1], 0, b"abcd")
    tus.patch(client, urls[2], 0, b"0123456789")
    found = client.get(tus.URL).json()
    assert found["total"] == 2
    assert [(each["name"], each["offset_bytes"], each["state"]) for each in found["uploads"]] == [
        ("0.bin", 0, "receiving"), ("1.bin", 4, "receiving"),
    ]  # fmt: skip


# What comes in


@pytest.mark.parametrize(
    ("name", "size", "status", "code"),
    [
        ("virus.exe", 10, 415, "wrong_type"),
        ("page.html", 10, 415, "wrong_type"),
        ("photo.heic", 10, 415, "wrong_type"),
        ("dog.png", 0, 422, "empty_file"),
        ("x" * 500 + ".png", 10, 400, "name_too_long"),
        ("CON.png", 10, 400, "bad_name"),
        ("a?.png", 10, 400, "bad_name"),
        ("a\0.png", 10, 400, "bad_name"),
        (" a.png ", 10, 400, "bad_name"),
        ("", 10, 400, "bad_name"),
        ("../../evil.png", 10, 400, "bad_path"),
        ("dog.png", 2**50, 413, "too_large"),
        ("dog.png", 2**39, 507, "disk_full"),
    ],
)
def test_files_that_a_dataset_cannot_use_are_refused_before_a_byte_is_sent(
    client, loratory_home, name, size, status, code
):
    answer = tus.create(client, size, root="datasets", folder="dogs", filename=name)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert len(answer.json()["detail"]) < 500
    assert parts(loratory_home) == []


@pytest.mark.parametrize("name", ["🐕 dog.png", "собака.png", "犬.PNG", "dog.v2.jpeg"])
def test_emoji_and_every_script_are_fine(client, loratory_home, name):
    data = picture()
    url = tus.begin(client, len(data), root="datasets", folder="dogs", filename=name)
    assert tus.patch(client, url, 0, data).status_code == 204
    assert (loratory_home / "datasets" / "dogs" / name).read_bytes() == data


def test_a_dropped_folder_keeps_its_form(client, loratory_home):
    data = picture()
    url = tus.begin(
        client, len(data), root="datasets", folder="dogs", filename="a.png", relativePath="10_ohwx/sub/a.png"
    )
    tus.patch(client, url, 0, data)
    assert (loratory_home / "datasets" / "dogs" / "10_ohwx" / "sub" / "a.png").read_bytes() == data


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("dog.png", b"GIF or what", "not_a_picture"),
        ("dog.png", picture()[:40], "not_a_picture"),
        ("dog.txt", b"\x00\x01\x02", "not_text"),
    ],
)
def test_a_file_that_is_not_what_it_says_never_arrives(client, loratory_home, name, data, code):
    url = tus.begin(client, len(data), root="datasets", folder="dogs", filename=name)
    answer = tus.patch(client, url, 0, data)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert not (loratory_home / "datasets" / "dogs").exists()
    assert client.head(url, headers=tus.VERSION).status_code == 410
    assert client.get(url).json()["problem"]["code"] == code
    assert parts(loratory_home) == []


def test_two_files_of_one_name(client, loratory_home):
    def send(data: bytes, **values: str) -> int:
        answer = tus.create(client, len(data), filename="a.bin", **values)
        if answer.status_code == 201:
            answer = tus.patch(client, str(answer.url.join(answer.headers["location"]).path), 0, data)
        return int(answer.status_code)

    assert send(b"one") == 204
    assert send(b"two") == 409
    assert send(b"two", clash="number") == 204
    assert send(b"three", clash="number") == 204
    assert send(b"four", clash="replace") == 204
    assert models(loratory_home) == {"a.bin": b"four", "a (2).bin": b"two", "a (3).bin": b"three"}
    trashed = client.get("/api/trash").json()
    assert (trashed["total"], trashed["total_bytes"]) == (1, 3), "what was replaced can be taken back"
    assert send(b"five", clash="guess") == 400


def test_two_uploads_of_one_name_at_a_time(client, loratory_home):
    first = tus.begin(client, 3, filename="a.bin")
    assert tus.create(client, 3, filename="a.bin").json()["code"] == "being_uploaded"
    second = tus.begin(client, 3, filename="a.bin", clash="number")
    assert tus.patch(client, second, 0, b"two").headers["upload-path"] == "a.bin"
    answer = tus.patch(client, first, 0, b"one")
    assert (answer.status_code, answer.json()["code"]) == (409, "exists")
    assert models(loratory_home) == {"a.bin": b"two"}


def test_a_list_leaves_out_what_arrives_whole_while_it_is_made(client, monkeypatch):
    first, second = tus.begin(client, 3, filename="a.bin"), tus.begin(client, 3, filename="b.bin")
    listed = uploads.unfinished

    def unfinished():
        found = list(listed())
        assert tus.patch(client, first, 0, b"abc").status_code == 204
        return iter(found)

    monkeypatch.setattr(uploads, "unfinished", unfinished)
    answer = client.get("/api/uploads")
    assert answer.status_code == 200
    assert [(each["name"], each["arriving"]) for each in answer.json()["uploads"]] == [("b.bin", False)]
    assert client.get(second).json()["offset_bytes"] == 0


# Kills and full disks between two steps


@pytest.mark.parametrize("point", ["upload.before_append", "upload.torn_append"])
def test_a_full_disk_is_said_and_the_part_stays(client, loratory_home, monkeypatch, point):
    data = os.urandom(1000)
    url = tus.begin(client, len(data), filename="a.bin")
    monkeypatch.setenv("LORATORY_FAULT", f"{point}=enospc")
    answer = tus.patch(client, url, 0, data)
    assert (answer.status_code, answer.json()["code"]) == (507, "disk_full")
    monkeypatch.delenv("LORATORY_FAULT")
    arrived = tus.offset(client, url)
    assert arrived == (500 if "torn" in point else 0)
    assert tus.patch(client, url, arrived, data[arrived:]).status_code == 204
    assert models(loratory_home) == {"a.bin": data}


def test_a_full_disk_at_the_very_end_is_mended_by_asking_again(client, loratory_home, monkeypatch):
    """A client that sees its last byte there sends no other: the question itself must bring the file home."""
    url = tus.begin(client, 3, filename="a.bin")
    monkeypatch.setenv("LORATORY_FAULT", "upload.before_rename=enospc")
    assert tus.patch(client, url, 0, b"abc").status_code == 507
    monkeypatch.delenv("LORATORY_FAULT")
    assert models(loratory_home) == {}
    assert tus.offset(client, url) == 3
    assert models(loratory_home) == {"a.bin": b"abc"}


def test_a_kill_after_the_rename_is_no_second_file(client, loratory_home, monkeypatch):
    url = tus.begin(client, 3, filename="a.bin", clash="number")
    monkeypatch.setenv("LORATORY_FAULT", "upload.after_rename=enospc")
    assert tus.patch(client, url, 0, b"abc").status_code == 507
    monkeypatch.delenv("LORATORY_FAULT")
    assert tus.offset(client, url) == 3
    assert models(loratory_home) == {"a.bin": b"abc"}
    assert client.get(url).json()["state"] == "finished"
