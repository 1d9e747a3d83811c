"""Archives of every kind of malice, made here: nothing lands outside, fills the disk, or is lost without a word."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from loratory.data.archives import ArchiveError, Limits, unpack

UNSAFE = ["../evil.png", "a/../../evil.png", "/etc/evil.png", "C:/evil.png", "..\\evil.png", "a/../b.png"]
FORMS = ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"]


def make(path: Path, form: str, files: dict[str, bytes]) -> Path:
    archive = path / f"set.{form}"
    if form == "zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, data in files.items():
                packed.writestr(name, data)
    else:
        with tarfile.open(archive, f"w:{form.partition('.')[2]}") as packed:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                packed.addfile(info, io.BytesIO(data))
    return archive


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "above" / "folder"
    made.mkdir(parents=True)
    return made


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("form", FORMS)
def test_everything_a_person_packed_comes_out(tmp_path, folder, form):
    files = {
        "10_ohwx/a.png": b"picture" * 1000, "10_ohwx/a.txt": b"caption", "masks/a.png": b"mask", "notes.odd": b"?",
        "🐕/ü.png": b"x", "empty.txt": b"",
    }  # fmt: skip
    rubbish = {"__MACOSX/10_ohwx/._a.png": b"r", ".DS_Store": b"r", "10_ohwx/Thumbs.db": b"r"}
    asked: list[tuple[int, int]] = []
    found = unpack(make(tmp_path, form, files | rubbish), folder, ask=lambda done, total: asked.append((done, total)))
    assert contents(folder) == files
    assert sorted(found.files) == sorted(files)
    assert (found.renamed, found.left_out, found.bytes) == ([], [], sum(map(len, files.values())))
    assert asked[-1] == (found.bytes, found.bytes)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", UNSAFE)
def test_nothing_lands_outside(tmp_path, folder, form, name):
    found = unpack(make(tmp_path, form, {name: b"evil", "good.png": b"good"}), folder)
    assert b"evil" not in [path.read_bytes() for path in tmp_path.rglob("evil.png") if folder not in path.parents]
    assert not Path("/etc/evil.png").exists()
    if form == "zip" or "\\" not in name:
        assert contents(folder) == {"good.png": b"good"}
        assert [each.name.replace("\\", "/") for each in found.left_out] == [name.replace("\\", "/")]


def test_links_and_devices_are_left_out_and_told(tmp_path, folder):
    archive = tmp_path / "set.tar"
    with tarfile.open(archive, "w") as packed:
        for name, kind in (
            ("l", tarfile.SYMTYPE),
            ("h", tarfile.LNKTYPE),
            ("d", tarfile.CHRTYPE),
            ("p", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            packed.addfile(info)
        info = tarfile.TarInfo("l/through.png")
        info.size = 4
        packed.addfile(info, io.BytesIO(b"data"))
    found = unpack(archive, folder)
    assert contents(folder) == {"l/through.png": b"data"}
    assert {each.name: each.reason for each in found.left_out} == {
        "l": "it is a link", "h": "it is a link", "d": "it is a device or pipe", "p": "it is a device or pipe",
    }  # fmt: skip
    assert not any(path.is_symlink() for path in folder.rglob("*"))


def test_a_link_in_a_zip_is_left_out(tmp_path, folder):
    archive = make(tmp_path, "zip", {"a.png": b"a"})
    with zipfile.ZipFile(archive, "a") as packed:
        info = zipfile.ZipInfo("link.png")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        packed.writestr(info, "/etc/passwd")
    assert [each.reason for each in unpack(archive, folder).left_out] == ["it is a link"]
    assert contents(folder) == {"a.png": b"a"}


@pytest.mark.parametrize("form", ["zip", "tar.gz", "tar.xz"])
def test_a_bomb_is_not_set_off(tmp_path, folder, form):
    archive = make(tmp_path, form, {f"{number}.png": bytes(1 << 20) for number in range(4)})
    assert archive.stat().st_size < 20_000
    with pytest.raises(ArchiveError, match="fill disks") as error:
        unpack(archive, folder, limits=Limits(ratio_counts_from_bytes=1 << 20))
    assert error.value.code == "bomb"
    assert contents(folder) == {}


@pytest.mark.parametrize("form", ["zip", "tar"])
def test_too_many_files(tmp_path, folder, form):
    archive = make(tmp_path, form, {f"{number}.png": b"" for number in range(101)})
    with pytest.raises(ArchiveError, match="more than 100 files"):
        unpack(archive, folder, limits=Limits(most_files=100))


def test_entries_that_share_bytes(tmp_path, folder):
    """Fifield's bomb: many entries of the list lead to the same bytes."""
    archive = make(tmp_path, "zip", {"aa": b"1" * 100, "bb": b"2" * 100})
    data = archive.read_bytes()
    second = data.index(b"PK\1\2", data.index(b"PK\1\2") + 1)
    archive.write_bytes(data[: second + 42] + struct.pack("<I", 0) + data[second + 46 :])
    with pytest.raises(ArchiveError, match="share bytes"):
        unpack(archive, folder)


def test_an_entry_that_is_longer_than_it_says(tmp_path, folder):
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a.txt", b"0123456789")
    data = archive.read_bytes()
    place = data.index(b"PK\1\2")
    archive.write_bytes(data[: place + 24] + struct.pack("<I", 5) + data[place + 28 :])
    with pytest.raises(ArchiveError, match=r"damaged|longer"):
        unpack(archive, folder)


def test_a_header_of_many_megabytes_is_not_read(tmp_path, folder):
    archive = tmp_path / "set.tar.gz"
    with tarfile.open(archive, "w:gz", format=tarfile.PAX_FORMAT) as packed:
        info = tarfile.TarInfo("a.png")
        info.pax_headers = {"comment": "x" * (5 << 20)}
        packed.addfile(info)
    with pytest.raises(ArchiveError, match="header of many MB"):
        unpack(archive, folder)


def test_a_directory_of_an_absurd_length_is_not_read(tmp_path, folder):
    archive = make(tmp_path, "zip", {"a": b"1"})
    data = archive.read_bytes()
    place = data.index(b"PK\5\6")
    archive.write_bytes(data[: place + 12] + struct.pack("<I", 2**31) + data[place + 16 :])
    with pytest.raises(ArchiveError, match="larger than any honest one"):
        unpack(archive, folder)


def test_an_encrypted_zip(tmp_path, folder):
    archive = make(tmp_path, "zip", {"a": b"1"})
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    data[6] |= 1
    archive.write_bytes(data)
    with pytest.raises(ArchiveError, match="password") as error:
        unpack(archive, folder)
    assert error.value.code == "encrypted"


@pytest.mark.parametrize("form", FORMS)
def test_a_cut_archive_is_told(tmp_path, folder, form):
    import random

    archive = make(tmp_path, form, {"a.png": random.Random(1).randbytes(100_000), "b.png": b"b" * 50_000})
    data = archive.read_bytes()
    archive.write_bytes(data[: len(data) // 2])
    with pytest.raises(ArchiveError, match=r"damaged|cut off"):
        unpack(archive, folder)


@pytest.mark.parametrize("data", [b"", b"no archive", b"\x1f\x8bnonsense", b"BZhxxx", b"PK\3\4" + b"x" * 50])
def test_what_is_no_archive(tmp_path, folder, data):
    (tmp_path / "set.zip").write_bytes(data)
    with pytest.raises(ArchiveError):
        unpack(tmp_path / "set.zip", folder)


def test_an_archive_in_an_archive_stays_packed(tmp_path, folder):
    inner = make(tmp_path, "zip", {"a.png": b"1"}).read_bytes()
    unpack(make(tmp_path, "tar", {"inner.zip": inner}), folder)
    assert contents(folder) == {"inner.zip": inner}


# Names


def test_names_that_clash_or_that_some_system_does_not_take(tmp_path, folder):
    files = {
        "a/Dog.png": b"1", "a/Dog.txt": b"1t", "a/dog.png": b"2", "a/dog.txt": b"2t", "A/dog.png": b"3",
        "con.png": b"4", "x" * 400 + ".png": b"5", "x" * 400 + ".txt": b"5t", "u\u0308.png": b"6", "\u00fc.png": b"7",
    }  # fmt: skip
    found = unpack(make(tmp_path, "tar", files), folder)
    came = contents(folder)
    assert sorted(came.values()) == sorted(files.values()), "nothing is lost"
    assert len({name.casefold() for name in came}) == len(came)
    assert came["a/dog (2).png"] == b"2"
    assert came["a/dog (2).txt"] == b"2t", "a caption goes with its picture"
    assert came["A (2)/dog.png"] == b"3"
    assert came["con_.png"] == b"4"
    long = {Path(name).stem for name in came if name.startswith("xxx")}
    assert len(long) == 1
    renamed = {each.name: each.new_name for each in found.renamed}
    assert renamed["A/dog.png"] == "A (2)/dog.png"
    assert not {"a/Dog.png", "a/Dog.txt"} & renamed.keys()


def zip_of_raw_names(path: Path, names: list[bytes]) -> Path:
    """A zip as old programs wrote it: bytes of some encoding, and no flag that says which."""
    archive = make(path, "zip", {chr(97 + number) * len(name): b"1" for number, name in enumerate(names)})
    data = archive.read_bytes()
    for number, name in enumerate(names):
        data = data.replace(bytes([97 + number]) * len(name), name)
    archive.write_bytes(data)
    return archive


@pytest.mark.parametrize(
    ("names", "encoding", "expected"),
    [
        (["テスト.png", "犬の写真.txt"], "cp932", "cp932"),
        (["собака.png", "犬.jpg"], "utf-8", "utf-8"),
        (["schön.png", "Mädchen.jpeg"], "cp437", "cp437"),
        (["Öl.png"], "cp437", "cp437"),
    ],
)
def test_names_in_old_encodings(tmp_path, folder, names, encoding, expected):
    found = unpack(zip_of_raw_names(tmp_path, [name.encode(encoding) for name in names]), folder)
    assert sorted(contents(folder)) == sorted(names)
    assert expected in found.notes[0]


def test_the_encoding_may_be_said(tmp_path, folder):
    unpack(zip_of_raw_names(tmp_path, ["собака.png".encode("cp1251")]), folder, encoding="cp1251")
    assert list(contents(folder)) == ["собака.png"]


def test_the_unicode_field_of_info_zip_wins(tmp_path, folder):
    raw = b"caf\x82.png"
    extra = struct.pack("<BI", 1, zlib.crc32(raw)) + "犬.png".encode()
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        info = zipfile.ZipInfo("nnnnnnnn")
        info.extra = struct.pack("<HH", 0x7075, len(extra)) + extra
        packed.writestr(info, b"1")
    archive.write_bytes(archive.read_bytes().replace(b"nnnnnnnn", raw))
    unpack(archive, folder)
    assert list(contents(folder)) == ["犬.png"]


def test_a_cancel_ends_it(tmp_path, folder):
    def end(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpack(make(tmp_path, "zip", {"a": b"1"}), folder, ask=end)
