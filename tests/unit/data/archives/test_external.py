"""Programs that unpack: their lists, and what is done about those that lie, hang, or write outside."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from loratory.data.archives import ArchiveError, external, tools, unpack

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
LIST_MTREE = """#mtree
./src type=dir
./src/a\\040b.txt size=3 type=file
./src/\\303\\274.txt type=file size=4
./src/link type=link
"""
LIST_LSAR = """{"lsarContents": [
 {"XADFileName": "src/", "XADIsDirectory": true},
 {"XADFileName": "src/a.txt", "XADFileSize": 3},
 {"XADFileName": "src/link", "XADIsLink": true, "XADFileSize": 11}]}"""


@pytest.mark.parametrize(
    ("read", "text", "entries"),
    [
        (tools.read_7z, LIST_7Z, ["src 0 folder", "src/a.txt 3 file", "src/link 11 link", "src/ü = b.txt 3 file"]),
        (tools.read_unrar, LIST_UNRAR, ["src/a: b.txt 3 file", "src/link 11 link", "src 0 folder"]),
        (tools.read_mtree, LIST_MTREE, ["src 0 folder", "src/a b.txt 3 file", "src/ü.txt 4 file", "src/link 0 link"]),
        (tools.read_lsar, LIST_LSAR, ["src/ 0 folder", "src/a.txt 3 file", "src/link 11 link"]),
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


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Makes the only unpacker of this machine: a 7zz whose list and deeds the test says."""
    if sys.platform == "win32":
        pytest.skip("platform: a script is no program in Windows")

    def make(listing: str, deed: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        script = folder / "7zz"
        script.write_text(
            f"#!{sys.executable}\nimport os, sys, time\n"
            f"if sys.argv[1] == 'l':\n    sys.stdout.write({listing!r})\n    sys.exit(0)\n"
            "out = next(each[2:] for each in sys.argv if each.startswith('-o'))\nos.chdir(out)\n" + deed
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
        "os.symlink('/etc/passwd', 'link')\nsys.exit(2)\n",
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
        ([("a.png", 3, FILE)], "time.sleep(60)", "hangs", "bad_archive"),
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


def test_a_real_7_zip(tmp_path, folder):
    found = next(filter(None, map(shutil.which, ("7zz", "7z"))), None)
    if found is None:
        pytest.skip("platform: no 7-Zip on this machine")
    import subprocess

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
