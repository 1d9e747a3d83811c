"""Scanning: what is found in a folder, what is left out and why, and what the index saves."""

import hashlib
import json
import os
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from loratory.data import scan as scan_module
from loratory.data.scan import ContentHashes, Item, content_hash, scan
from loratory.errors import UserError

needs_links = pytest.mark.skipif(sys.platform == "win32", reason="platform: links need rights on Windows")


def picture(size=(20, 10), suffix=".png", **options):
    noise = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    format_name = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP"}[suffix]
    stream = BytesIO()
    Image.fromarray(noise).save(stream, format=format_name, **options)
    return stream.getvalue()


def fill(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def paths(result):
    return [item.path for item in result.items]


def test_flat_nested_and_repeat_folders(tmp_path):
    fill(
        tmp_path,
        {
            "a.png": picture((20, 10)),
            "B.JPG": picture((30, 40), ".jpg"),
            "nested/deep/c.webp": picture((7, 9), ".webp"),
            "nested/d.Bmp": picture((5, 6), ".bmp"),
            "10_ohwx dog/e.jpeg": picture((8, 8), ".jpeg"),
            "10_ohwx dog/more/f.png": picture((8, 9)),
            "3_/g.png": picture(),
            "nested/4_cat/h.png": picture(),
            "12/i.png": picture(),
        },
    )
    result = scan(tmp_path)
    found = [(item.path, item.width, item.height, item.repeats, item.class_tokens) for item in result.items]
    assert found == [
        ("10_ohwx dog/e.jpeg", 8, 8, 10, "ohwx dog"),
        ("10_ohwx dog/more/f.png", 8, 9, 10, "ohwx dog"),
        ("12/i.png", 20, 10, 1, ""),
        ("3_/g.png", 20, 10, 3, ""),
        ("B.JPG", 30, 40, 1, ""),
        ("a.png", 20, 10, 1, ""),
        ("nested/4_cat/h.png", 20, 10, 1, ""),
        ("nested/d.Bmp", 5, 6, 1, ""),
        ("nested/deep/c.webp", 7, 9, 1, ""),
    ]
    assert result.problems == ()
    status = (tmp_path / "B.JPG").stat()
    assert result.items[4] == Item("B.JPG", 30, 40, None, status.st_size, status.st_mtime_ns, 1, "")


def test_sizes_are_those_after_exif_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for suffix in (".jpg", ".png", ".webp"):
        fill(tmp_path, {f"a{suffix}": picture((20, 10), suffix, exif=exif)})
    assert [(item.width, item.height) for item in scan(tmp_path).items] == [(10, 20)] * 3


def test_captions_belong_to_pictures_by_base_name_and_the_first_extension_wins(tmp_path):
    names = ["a.png", "b.png", "c.png", "d.png", "e.x.png", "f.png", "sub/a.png"]
    fill(tmp_path, dict.fromkeys(names, picture()))
    texts = ["a.txt", "a.caption", "b.json", "b.cap", "c.TXT", "d.text", "e.txt", "e.x.txt", "ff.txt", "f.txt/x"]
    fill(tmp_path, dict.fromkeys(texts, "text"))
    captions = {item.path: item.caption_path for item in scan(tmp_path).items}
    assert captions == {
        "a.png": "a.txt", "b.png": "b.cap", "c.png": "c.TXT", "d.png": None, "e.x.png": "e.x.txt", "f.png": None,
        "sub/a.png": None,
    }  # fmt: skip
    captions = {item.path: item.caption_path for item in scan(tmp_path, (".json", ".caption", ".text")).items}
    assert captions["a.png"] == "a.caption"
    assert captions["b.png"] == "b.json"
    assert captions["c.png"] is None
    assert captions["d.png"] == "d.text"


def test_hidden_and_system_things_are_skipped(tmp_path):
    skipped = [".hidden.png", ".cache/a.png", "__MACOSX/a.png", "__MACOSX/._a.png", "Thumbs.db", "@eaDir/a.png"]
    fill(tmp_path, dict.fromkeys(skipped, picture()))
    with pytest.raises(UserError, match=r"holds no pictures"):
        scan(tmp_path)
    fill(tmp_path, {"a.png": picture()})
    assert paths(scan(tmp_path)) == ["a.png"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("bad.jpg", "I am a text about a dog.", "bad.jpg holds text, not a picture"),
        ("bad.jpg", "Ein Text über Hunde, " * 60, "holds text"),
        ("bad.jpg", b"", "is empty"),
        ("bad.jpg", "<!DOCTYPE html><html>404", "is a web page"),
        ("bad.png", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a", "git lfs pull"),
        ("bad.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is a HEIC or AVIF picture"),
        ("bad.jpg", b"\xff\x0a\xfa\x1f\x41", "is a JPEG XL picture"),
        ("bad.webp", bytes(range(256)), "is not a picture that can be read"),
        ("bad.jpg", picture((200, 200), ".jpg")[:-1], "is damaged"),
        ("bad.jpg", picture((200, 200), ".jpg")[:5000], "is damaged"),
        ("bad.png", picture((200, 200))[:-2000], "is damaged"),
        ("bad.webp", picture((200, 200), ".webp")[:-2000], "is damaged"),
        ("bad.bmp", picture((200, 200), ".bmp")[:-2000], "is damaged"),
    ],
)
def test_a_broken_picture_is_a_problem_and_stops_nothing(tmp_path, name, content, words):
    fill(tmp_path, {"deep/good.png": picture(), f"deep/{name}": content})
    result = scan(tmp_path)
    assert paths(result) == ["deep/good.png"]
    (problem,) = result.problems
    assert problem.path == f"deep/{name}"
    assert problem.message.startswith(f"deep/{name} ")
    assert words in problem.message
    assert problem.message.endswith(".")


@pytest.mark.parametrize(
    "content",
    [
        picture((200, 200), ".jpg") + bytes(700),
        picture((200, 200), ".jpg") + b"trailing data of a phone, longer than the bytes that are looked at" * 3,
        picture((200, 200), ".png") + b"more",
        picture((200, 200), ".webp") + b"more",
        picture((200, 200), ".bmp") + b"more",
    ],
)
def test_bytes_behind_a_whole_picture_do_no_harm(tmp_path, content):
    fill(tmp_path, {"a.jpg": content})
    result = scan(tmp_path)
    assert paths(result) == ["a.jpg"], result.problems


def test_a_cut_off_jpeg_is_found_although_its_thumbnail_ends_properly(tmp_path):
    thumbnail = picture((40, 40), ".jpg")
    exif = Image.Exif()
    exif[0x010E] = "x" * 20
    whole = picture((200, 200), ".jpg", exif=exif.tobytes() + thumbnail)
    cut = whole[: whole.index(thumbnail) + len(thumbnail)]
    assert cut.endswith(b"\xff\xd9")
    fill(tmp_path, {"cut.jpg": cut, "far.jpg": whole[:-10], "good.jpg": whole})
    result = scan(tmp_path)
    assert paths(result) == ["good.jpg"]
    assert [problem.path for problem in result.problems] == ["cut.jpg", "far.jpg"]


def test_folder_names_with_senseless_repeats_are_reported(tmp_path):
    fill(
        tmp_path,
        dict.fromkeys(["0_off/a.png", "20240115_trip/b.png", "20240115_trip/x/c.png", "d.png"], picture()),
    )
    result = scan(tmp_path)
    assert [(item.path, item.repeats, item.class_tokens) for item in result.items] == [
        ("20240115_trip/b.png", 1, ""),
        ("20240115_trip/x/c.png", 1, ""),
        ("d.png", 1, ""),
    ]
    assert [problem.path for problem in result.problems] == ["0_off", "20240115_trip"]
    assert "asks for 0 repeats" in result.problems[0].message
    assert "not taken as repeats" in result.problems[1].message


def missing(root):
    return root / "missing"


def a_file(root):
    fill(root, {"a.png": picture()})
    return root / "a.png"


def empty(root):
    return root


def only_heic(root):
    fill(root, {"1.HEIC": b"x", "2.heic": b"x", "3.heic": b"x", "notes.txt": b"x"})
    return root


def too_deep(root):
    fill(root, {"set/a.png": picture(), "set/b.jpg": picture(), "set/captions/a.txt": b"x"})
    return root / "set" / "captions"


def all_broken(root):
    fill(root, {"a.png": b"text", "b.png": b"text"})
    return root


def only_switched_off(root):
    fill(root, {"0_dog/a.png": picture()})
    return root


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (missing, r"missing does not exist; check the path"),
        (a_file, r"a\.png is a file; give the folder"),
        (empty, r"holds no pictures \(.*\.jpg.*\); it is empty"),
        (only_heic, r"only 3 \.heic, 1 \.txt files; give the folder"),
        (too_deep, r"only 1 \.txt file; but 2 pictures lie one folder higher, in .*set\."),
        (all_broken, r"None of the 2 pictures in .* can be used; the first problem: a\.png holds text"),
        (only_switched_off, r"that can be used; the first problem: The folder 0_dog asks for 0 repeats"),
    ],
)
def test_a_folder_without_use_is_one_clear_error(tmp_path, prepare, words):
    with pytest.raises(UserError, match=words) as caught:
        scan(prepare(tmp_path))
    assert "\n" not in str(caught.value)


def test_unreadable_folders(tmp_path, monkeypatch):
    fill(tmp_path, {"a.png": picture(), "locked/b.png": picture()})
    real = os.scandir

    def refuse(where):
        if Path(where).name in forbidden:
            raise PermissionError(13, "Permission denied", str(where))
        return real(where)

    monkeypatch.setattr(os, "scandir", refuse)
    forbidden = {"locked"}
    result = scan(tmp_path)
    assert paths(result) == ["a.png"]
    assert result.problems[0].path == "locked"
    assert "Permission denied" in result.problems[0].message
    forbidden = {tmp_path.name}
    with pytest.raises(UserError, match=r"cannot be looked into: Permission denied"):
        scan(tmp_path)


@needs_links
def test_links_are_followed_once(tmp_path):
    root = tmp_path / "set"
    fill(root, {"z_real/a.png": picture(), "b.png": picture()})
    fill(tmp_path, {"elsewhere/c.png": picture(), "elsewhere/deep/d.png": picture()})
    (root / "a_link").symlink_to(root / "z_real")
    (root / "out").symlink_to(tmp_path / "elsewhere")
    (root / "z_real" / "loop").symlink_to(root)
    (tmp_path / "elsewhere" / "loop").symlink_to(root / "out")
    (root / "link.png").symlink_to(root / "b.png")
    (root / "lost.png").symlink_to(root / "nowhere.png")
    result = scan(root)
    assert paths(result) == ["b.png", "link.png", "out/c.png", "out/deep/d.png", "z_real/a.png"]
    assert [problem.path for problem in result.problems] == ["lost.png"]
    assert "link to a file that does not exist" in result.problems[0].message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="platform: no pipes here")
def test_a_pipe_does_not_hang(tmp_path):
    fill(tmp_path, {"a.png": picture()})
    os.mkfifo(tmp_path / "b.png")
    result = scan(tmp_path)
    assert paths(result) == ["a.png"]
    assert "b.png is not a file" in result.problems[0].message


@pytest.fixture
def opened(monkeypatch):
    """The paths of the pictures that were opened."""
    names = []
    real = scan_module.probe

    def probe(path):
        names.append(path.name)
        return real(path)

    monkeypatch.setattr(scan_module, "probe", probe)
    return names


def test_index_opens_only_what_is_new_or_changed(tmp_path, opened):
    root, index = tmp_path / "set", tmp_path / "state" / "index.json"
    fill(root, {f"{number}.png": picture((10 + number, 10)) for number in range(5)} | {"bad.png": "text"})
    first = scan(root, index_path=index)
    assert sorted(opened) == ["0.png", "1.png", "2.png", "3.png", "4.png", "bad.png"]
    opened.clear()
    written = index.stat()
    assert scan(root, index_path=index) == first
    assert opened == ["bad.png"], "a broken picture is looked at again: its rights may have changed, not its bytes"
    assert (index.stat().st_ino, index.stat().st_mtime_ns) == (written.st_ino, written.st_mtime_ns), "not written again"

    opened.clear()
    fill(root, {"1.png": picture((77, 10)), "new.png": picture((55, 10)), "2.txt": "caption"})
    os.utime(root / "1.png", ns=(1, 1))
    (root / "3.png").unlink()
    changed = scan(root, index_path=index)
    assert sorted(opened) == ["1.png", "bad.png", "new.png"]
    assert {item.path: item.width for item in changed.items} == {
        "0.png": 10, "1.png": 77, "2.png": 12, "4.png": 14, "new.png": 55,
    }  # fmt: skip
    assert changed.items[2].caption_path == "2.txt"
    assert changed == scan(root), "the same without an index"

    opened.clear()
    fill(root, {"bad.png": picture()})
    assert "bad.png" in paths(scan(root, index_path=index))
    assert opened == ["bad.png"]
    opened.clear()
    scan(root, index_path=index)
    assert opened == []
    (root / "bad.png").unlink()
    scan(root, index_path=index)
    assert "bad.png" not in json.loads(index.read_text())["path"]
    assert [path.name for path in index.parent.iterdir()] == ["index.json"], "no temporary file is left"


def test_a_changed_file_of_equal_size_or_equal_time_is_seen(tmp_path, opened):
    index = tmp_path / "index.json"
    root = tmp_path / "set"
    one, other = picture((20, 10), ".bmp").ljust(1000, b"\0"), picture((10, 20), ".bmp").ljust(1000, b"\0")
    fill(root, {"a.bmp": one})
    assert scan(root, index_path=index).items[0].width == 20
    before = (root / "a.bmp").stat().st_mtime_ns
    fill(root, {"a.bmp": other})
    os.utime(root / "a.bmp", ns=(before + 1000, before + 1000))
    assert scan(root, index_path=index).items[0].width == 10
    fill(root, {"a.bmp": one + bytes(1)})
    os.utime(root / "a.bmp", ns=(before + 1000, before + 1000))
    assert scan(root, index_path=index).items[0].width == 20, "and one of equal time but another size"


@pytest.mark.parametrize("damage", [b"{", b"", b"[]", b'{"version": 1}', b"\xff\xfe", b'{"version": 99, "root": ""}'])
def test_a_damaged_index_is_made_anew(tmp_path, damage, opened):
    root, index = tmp_path / "set", tmp_path / "index.json"
    fill(root, {"a.png": picture()})
    first = scan(root, index_path=index)
    whole = index.read_bytes()
    index.write_bytes(damage)
    opened.clear()
    assert scan(root, index_path=index) == first
    assert opened == ["a.png"]
    assert index.read_bytes() == whole


def test_an_index_of_another_folder_is_not_believed(tmp_path, opened):
    index = tmp_path / "index.json"
    for name, size in (("one", (20, 10)), ("two", (10, 20))):
        fill(tmp_path / name, {"a.bmp": picture(size, ".bmp").ljust(1000, b"\0")})
        os.utime(tmp_path / name / "a.bmp", ns=(10**18, 10**18))
    assert scan(tmp_path / "one", index_path=index).items[0].width == 20
    assert scan(tmp_path / "two", index_path=index).items[0].width == 10
    assert opened == ["a.bmp", "a.bmp"]


def test_progress_counts_the_opened_pictures(tmp_path):
    fill(tmp_path / "set", {f"{number}.png": picture() for number in range(150)})
    seen = []
    scan(tmp_path / "set", index_path=tmp_path / "index.json", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(64, 150), (128, 150), (150, 150)]
    scan(tmp_path / "set", index_path=tmp_path / "index.json", progress=lambda done, total: seen.append((done, total)))
    assert len(seen) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="platform: only Linux has names that are no text")
def test_names_that_are_no_utf8(tmp_path):
    root, index = tmp_path / "set", tmp_path / "index.json"
    fill(root, {os.fsdecode(b"caf\xe9.png"): picture(), "犬.png": picture()})
    first = scan(root, index_path=index)
    assert [os.fsencode(path) for path in paths(first)] == [b"caf\xe9.png", "犬.png".encode()]
    assert scan(root, index_path=index) == first


def test_content_hash_is_128_bits_of_blake2b(tmp_path):
    content = bytes(range(256)) * 5000
    (tmp_path / "a").write_bytes(content)
    assert content_hash(tmp_path / "a") == hashlib.blake2b(content, digest_size=16).hexdigest()
    assert len(content_hash(tmp_path / "a")) == 32


def test_content_hashes_read_no_file_twice(tmp_path, monkeypatch):
    root, index = tmp_path / "set", tmp_path / "index.json"
    fill(root, {"a.png": picture((9, 9)), "b.png": picture((8, 8))})
    read = []
    monkeypatch.setattr(scan_module, "content_hash", lambda path: read.append(path.name) or content_hash(path))
    hashes = ContentHashes.beside(index, root)
    items = scan(root, index_path=index).items
    expected = [hashlib.blake2b((root / item.path).read_bytes(), digest_size=16).hexdigest() for item in items]
    for _ in range(2):
        assert [hashes.of(item) for item in items] == expected
    hashes.save()
    assert read == ["a.png", "b.png"]
    again = ContentHashes.beside(index, root)
    assert [again.of(item) for item in items] == expected
    assert read == ["a.png", "b.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.hashes.json", "index.json", "set"]

    fill(root, {"a.png": picture((33, 33))})
    os.utime(root / "a.png", ns=(5, 5))
    fresh = scan(root, index_path=index).items
    assert again.of(fresh[0]) == hashlib.blake2b(picture((33, 33)), digest_size=16).hexdigest()
    assert again.of(fresh[1]) == expected[1]
    assert read == ["a.png", "b.png", "a.png"]


def test_a_hash_is_never_given_for_other_bytes_than_were_scanned(tmp_path):
    fill(tmp_path, {"a.png": picture()})
    (item,) = scan(tmp_path).items
    fill(tmp_path, {"a.png": picture((50, 50))})
    hashes = ContentHashes(tmp_path / "hashes.json", tmp_path)
    with pytest.raises(UserError, match=r"a\.png has changed since the dataset was scanned"):
        hashes.of(item)
    (tmp_path / "a.png").unlink()
    with pytest.raises(UserError, match=r"a\.png cannot be read: .*scan the dataset again"):
        hashes.of(item)
    hashes.save()
    assert not (tmp_path / "hashes.json").exists()
