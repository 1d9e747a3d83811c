"""Programs that unpack: their lists, and what is done about those that lie, hang, or write outside."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from loratory.data.archives import ArchiveError, external, kinds, tools, unpack

SEVEN = b"7z\xbc\xaf\x27\x1c"
LIST_7Z = """Path = src
Size = 0
Attributes = D drwxr-xr-x
Encrypted = -

Path = src/a.txt
Size = 3
Packed Size = 29
Attributes = A -rw-r--r--
Encrypted = -
Block = 0

Path = src/link
Size = 11
Attributes = A lrwxrwxrwx
Encrypted = -

Path = src/ü = b.txt
Size = 3
Attributes = A -rw-r--r--
Encrypted = -
"""
LIST_UNRAR = """
UNRAR 7.00 freeware

Archive: t.rar
Details: RAR 5

        Name: src/a: b.txt
        Type: File
        Size: 3
 Packed size: 3
       Flags: none

        Name: src/link
        Type: Unix symbolic link
      Target: /etc/passwd
        Size: 11

        Name: src
        Type: Directory

     Service: EOF
"""
LIST_UNRAR_FREE = """

unrar-free 0.1.3  Copyright (C) 2004  Ben Asselstine, Jeroen Dekkers


RAR archive /tmp/set.rar

Pathname/Comment
                  Size   Date   Time     Attr
----------------------------------------------
 test1.bin
                  4096 27-09-18 04:41   .....A
----------------------------------------------
    1             4096
"""
# Recorded from bsdtar 3.6.2 and lsar 1.10.1, shortened.
LIST_MTREE = """#mtree
./src type=dir
./src/sub type=dir
./src/a\\040b.png type=file size=3000
./src/abs type=link
./src/\\303\\274.txt type=file size=3
"""
LIST_LSAR = """{
  "lsarFormatVersion": 2,
  "lsarContents": [
    {"7zAttributes": 1106083872, "XADPosixPermissions": 16877, "XADIsDirectory": 1, "XADIndex": 0,
     "XADFileName": "src/", "XADLastModificationDate": "2026-11-22 09:13:27 +0000"},
    {"XADSolidOffset": 0, "XADSolidLength": 3000, "XADFileSize": 3000, "XADCompressionName": "LZMA2",
     "XADFileName": "src/a.png", "XADIsSolid": 1, "XADIndex": 1},
    {"XADIsLink": 1, "XADFileSize": 11, "XADLinkDestination": "/etc/passwd", "XADFileName": "src/abs"},
    {"XADIsLink": 1, "XADIsHardLink": 1, "XADFileSize": 13, "XADLinkDestination": "src/a.png",
     "XADFileName": "src/hard.png"}
  ],
  "lsarEncoding": "utf-8", "lsarConfidence": 1, "lsarFormatName": "7-Zip"
}"""


@pytest.mark.parametrize(
    ("read", "text", "entries"),
    [
        (tools.read_7z, LIST_7Z, ["src 0 folder", "src/a.txt 3 file", "src/link 11 link", "src/ü = b.txt 3 file"]),
        (tools.read_unrar, LIST_UNRAR, ["src/a: b.txt 3 file", "src/link 11 link", "src 0 folder"]),
        (tools.read_mtree, LIST_MTREE,
         ["src 0 folder", "src/sub 0 folder", "src/a b.png 3000 file", "src/abs 0 link", "src/ü.txt 3 file"]),
        (tools.read_lsar, LIST_LSAR,
         ["src/ 0 folder", "src/a.png 3000 file", "src/abs 11 link", "src/hard.png 13 link"]),
    ],
)  # fmt: skip
def test_lists(read, text, entries):
    found = read(text.splitlines(keepends=True))
    assert [f"{each.name} {each.size} {each.kind}" for each in found] == entries


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (tools.read_7z, "Path = a\nSize = 3\nEncrypted = +\n"),
        (tools.read_unrar, "Name: a\nType: File\nFlags: encrypted\n"),
        (tools.read_lsar, '{"lsarContents": [{"XADFileName": "a", "XADIsEncrypted": 1}]}'),
    ],
)
def test_a_password_is_seen_in_the_list(read, text):
    with pytest.raises(ArchiveError, match="password"):
        list(read(text.splitlines(keepends=True)))


def test_debians_unrar_is_not_rarlabs():
    with pytest.raises(ValueError, match="no list"):
        list(tools.read_unrar(LIST_UNRAR_FREE.splitlines(keepends=True)))


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Makes the unpackers of this machine, and no others: ones whose list and deeds the test says."""
    if sys.platform == "win32":
        pytest.skip("platform: a script is no program in Windows")

    def make(listing: str, deed: str, name: str = "7zz") -> None:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        script = folder / name
        script.write_text(
            f"#!{sys.executable}\nimport os, sys, time\n"
            f"if sys.argv[1] in ('l', 'lt', '-c'):\n    sys.stdout.write({listing!r})\n    sys.exit(0)\n" + deed
        )
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))

    return make


@pytest.fixture
def sevenz(tmp_path):
    archive = tmp_path / "set.7z"
    archive.write_bytes(SEVEN + bytes(100))
    return archive


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "folder"
    made.mkdir()
    return made


def listing(*entries: tuple[str, int, str]) -> str:
    return "\n".join(
        f"Path = {name}\nSize = {size}\nAttributes = {mode}\nEncrypted = -\n" for name, size, mode in entries
    )


FILE, LINK = "A -rw-r--r--", "A lrwxrwxrwx"


def test_what_was_listed_and_came_is_taken_and_links_are_left(program, sevenz, folder):
    program(
        listing(("a.png", 3, FILE), ("con.txt", 2, FILE), ("link", 11, LINK), ("ghost", 4, LINK)),
        "open('a.png', 'w').write('abc'); open('con.txt', 'w').write('de')\n"
        "os.symlink('/etc/passwd', 'link')\n"
        "print('ERROR: Dangerous link path was ignored : ghost : ../../x')\nsys.exit(2)\n",
    )
    found = unpack(sevenz, folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"a.png": "abc", "con_.txt": "de"}
    assert {(each.name, each.reason) for each in found.left_out} == {
        ("link", "it is a link"),
        ("ghost", "it is a link"),
    }


@pytest.mark.parametrize(
    ("entries", "deed", "words", "code"),
    [
        ([("../a.png", 3, FILE)], "", "not safe", "unsafe"),
        ([("/a.png", 3, FILE)], "", "not safe", "unsafe"),
        ([("a.png", 3, FILE)], "sys.exit(0)", "came out whole", "bad_archive"),
        ([("a.png", 3, FILE)], "open('a.png', 'w').write('ab')", "came out whole", "bad_archive"),
        ([("a.png", 3, FILE)], "print('ERROR: Wrong password? : a.png'); sys.exit(2)", "password", "encrypted"),
        ([("a.png", 3, FILE)], "print('ERROR: CRC Failed'); sys.exit(2)", "CRC Failed", "bad_archive"),
        ([("a.png", 3, FILE)], "open('a.png', 'wb').write(bytes(5 << 20)); time.sleep(60)", "larger than", "bomb"),
        ([("a.png", 3, FILE)], "time.sleep(60)", "it hung", "bad_archive"),
        (
            [("a.png", 3, FILE)],
            "open('a.png', 'w').write('xyz'); print('ERROR: CRC Failed : a.png'); sys.exit(2)",
            "CRC Failed",
            "bad_archive",
        ),
        (
            [("a.png", 3, FILE), ("link", 5, LINK)],
            "open('a.png', 'w').write('xyz'); print('ERROR: Dangerous link path was ignored : link : /x')\n"
            "print('ERROR: CRC Failed : a.png'); sys.exit(2)",
            "CRC Failed",
            "bad_archive",
        ),
        ([("a.png", 3, FILE)], "open('a.png', 'w').write('abc'); sys.exit(2)", "no reason", "bad_archive"),
        ([("a.png", 3, FILE), ("b.png", 3, FILE)], "open('b.png', 'w').write('abc')", "of 2 files 1 ", "bad_archive"),
        ([("a.png", 2**50, FILE)], "", "fill disks", "bomb"),
        ([], "", "no files", "empty"),
    ],
)
def test_what_lies_hangs_or_is_protected(program, sevenz, folder, monkeypatch, entries, deed, words, code):
    monkeypatch.setattr(external, "SILENT_SECONDS", 0.5)
    program(listing(*entries), deed + "\n")
    with pytest.raises(ArchiveError, match=words) as error:
        unpack(sevenz, folder)
    assert error.value.code == code
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("start", [SEVEN, b"Rar!\x1a\x07\x01\x00"])
def test_without_a_program_one_sentence_says_what_to_install(tmp_path, folder, monkeypatch, start):
    archive = tmp_path / "set"
    archive.write_bytes(start + bytes(100))
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(tools, "TOOLS", [tool for tool in tools.TOOLS if "tar" not in tool.names])
    with pytest.raises(ArchiveError, match=r"install .*7-Zip.* or pack the files as \.zip") as error:
        unpack(archive, folder)
    assert error.value.code == "no_unpacker"


def test_the_next_program_is_asked_where_one_cannot(program, rar, folder):
    """Debian's 7-Zip lists a rar, and unpacks files without content; its `unrar` is another program."""
    program(LIST_UNRAR_FREE, "sys.exit(1)", "unrar")
    program(
        listing(("a.png", 3, FILE), ("b.png", 3, FILE)),
        "open('a.png', 'w'); open('b.png', 'w')\nprint('ERROR: Unsupported Method : a.png'); sys.exit(2)",
    )
    with pytest.raises(ArchiveError) as error:
        unpack(rar, folder)
    assert (
        "(unrar: it gave a list that is not understood; 7zz: ERROR: Unsupported Method : a.png). Where it is whole, "
        "another program may help (unar, "
    ) in str(error.value)
    program(
        "#mtree\n./a.png type=file size=3\n./b.png type=file size=3\n",
        "open('a.png', 'w').write('abc'); open('b.png', 'w').write('def')", "bsdtar",
    )  # fmt: skip
    assert sorted(unpack(rar, folder).files) == ["a.png", "b.png"]
    assert (folder / "b.png").read_text() == "def"


def test_hard_links_between_its_own_files_are_files(program, sevenz, folder, tmp_path):
    """One that leads out of the archive is a link, and left."""
    (tmp_path / "outside").write_text("abc")
    program(
        listing(("a.png", 3, FILE), ("b.png", 3, FILE), ("c.png", 3, LINK)),
        "open('a.png', 'w').write('abc'); os.link('a.png', 'b.png')\n"
        f"os.link({str(tmp_path / 'outside')!r}, 'c.png')\n",
    )
    found = unpack(sevenz, folder)
    assert sorted(found.files) == ["a.png", "b.png"]
    assert [each.name for each in found.left_out] == ["c.png"]


def _number(value: int) -> bytes:
    """RAR 5's: seven bits in each byte."""
    return bytes([value & 127 | 128]) + _number(value >> 7) if value > 127 else bytes([value])


def _block(kind: int, flags: int, rest: bytes, data: bytes = b"") -> bytes:
    header = _number(kind) + _number(flags) + rest
    header = _number(len(header)) + header
    return zlib.crc32(header).to_bytes(4, "little") + header + data


def make_rar(files: dict[str, bytes], *, part: bool = False) -> bytes:
    """A RAR 5 archive whose files are stored as they are. Source: RAR 5.0 archive format, on rarlab.com."""
    found = b"Rar!\x1a\x07\x01\x00" + _block(1, 0, _number(1 if part else 0))
    for name, data in files.items():
        raw = name.encode()
        size = _number(len(data))
        fields = [
            size, _number(4), size, _number(0o100644), zlib.crc32(data).to_bytes(4, "little"), _number(0), _number(1),
            _number(len(raw)), raw,
        ]  # fmt: skip
        found += _block(2, 2, b"".join(fields), data)
    return found + _block(5, 0, _number(0))


@pytest.fixture
def rar(tmp_path):
    archive = tmp_path / "set.rar"
    archive.write_bytes(make_rar({"a.png": b"abc", "b.png": b"def"}))
    return archive


RAR_4 = b"Rar!\x1a\x07\x00" + bytes.fromhex("cf9073")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (make_rar({}), False), (make_rar({}, part=True), True),
        (RAR_4 + bytes.fromhex("00000d00"), False), (RAR_4 + bytes.fromhex("01010d00"), True),
        (SEVEN + bytes(100), False), (b"Rar!\x1a\x07\x01\x00", False), (b"Rar!\x1a\x07\x00", False),
    ],
)  # fmt: skip
def test_one_part_of_several(tmp_path, data, expected):
    path = tmp_path / "x"
    path.write_bytes(data)
    assert kinds.is_one_of_several(path) is expected


def test_a_part_is_refused(program, tmp_path, folder):
    """A bsdtar of 2022 unpacks the first part of several to files of the right sizes with wrong content."""
    program("", "sys.exit(0)", "bsdtar")
    (tmp_path / "set.part1.rar").write_bytes(make_rar({"a.png": b"abc"}, part=True))
    with pytest.raises(ArchiveError, match=r"one part of an archive in several parts.* as one \.zip") as error:
        unpack(tmp_path / "set.part1.rar", folder)
    assert error.value.code == "in_parts"


REAL = [(tool, kind) for tool in tools.TOOLS for kind in tool.kinds if kind != "zip"]


@pytest.mark.parametrize(("tool", "kind"), REAL, ids=[f"{tool.names[0]}-{kind}" for tool, kind in REAL])
def test_real_programs(tool, kind, tmp_path, folder, monkeypatch):
    """Each that is on this machine, alone: with a picture, odd names, and a link in the 7z."""
    monkeypatch.setattr(tools, "TOOLS", [tool])
    if not tools.found_for(kind):
        pytest.skip(f"platform: no {tool.names[0]} on this machine")
    contents = {"src/a.png": os.urandom(100_000), "src/sub/ü b.txt": b"caption"}
    archive = tmp_path / f"set.{kind}"
    if kind == "rar":
        archive.write_bytes(make_rar(contents))
    else:
        pack_7z(contents, tmp_path, archive)
    if tool.names == ("unrar",) and "unrar-free" in str(Path(shutil.which("unrar")).resolve()):
        with pytest.raises(ArchiveError, match="list that is not understood"):
            unpack(archive, folder)
        return
    done = unpack(archive, folder)
    assert {name: (folder / name).read_bytes() for name in done.files} == contents
    assert [each.name for each in done.left_out] == (["src/sub/link"] if kind == "7z" else [])
    (tmp_path / "other").mkdir()
    archive.write_bytes(archive.read_bytes()[:60_000])
    with pytest.raises(ArchiveError, match="cannot be unpacked here"):
        unpack(archive, tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []


def pack_7z(contents: dict[str, bytes], place: Path, archive: Path) -> None:
    for name, data in contents.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    (place / "src" / "sub" / "link").symlink_to("/etc/passwd")
    packer = next(filter(None, map(shutil.which, ("7zz", "7z", "bsdtar"))), None)
    if packer is None:
        pytest.skip("platform: nothing on this machine makes a 7z")
    command = [packer, "-c", "--format", "7zip", "-f"] if packer.endswith("bsdtar") else [packer, "a", "-snl"]
    subprocess.run([*command, str(archive), "src"], cwd=place, check=True, capture_output=True)


def test_a_real_7_zip(tmp_path, folder):
    found = next(filter(None, map(shutil.which, ("7zz", "7z"))), None)
    if found is None:
        pytest.skip("platform: no 7-Zip on this machine")
    source = tmp_path / "src"
    (source / "sub").mkdir(parents=True)
    (source / "a.png").write_bytes(os.urandom(100_000))
    (source / "sub" / "ü b.txt").write_text("caption")
    (source / "sub" / "link").symlink_to(Path("/etc/passwd"))
    for name, flags in (("open.7z", []), ("shut.7z", ["-pgeheim"]), ("hidden.7z", ["-pgeheim", "-mhe=on"])):
        subprocess.run([found, "a", "-snl", *flags, name, "src"], cwd=tmp_path, check=True, capture_output=True)
    done = unpack(tmp_path / "open.7z", folder)
    assert (folder / "src" / "a.png").read_bytes() == (source / "a.png").read_bytes()
    assert sorted(done.files) == ["src/a.png", "src/sub/ü b.txt"]
    assert [each.name for each in done.left_out] == ["src/sub/link"]
    for name in ("shut.7z", "hidden.7z"):
        with pytest.raises(ArchiveError, match="password"):
            unpack(tmp_path / name, folder)
