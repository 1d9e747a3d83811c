"""Programs that unpack rar and 7z: how each is asked for a list, how it is told to unpack, and how its list is read.

Argument lists only, never a shell. A password that nobody uses is given, so that no program waits for one.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from loratory.data.archives.entries import Entry, EntryKind
from loratory.data.archives.kinds import ArchiveError, Kind

Lines = Iterable[str]
_NO_PASSWORD = "-pnone"


@dataclass(frozen=True, slots=True)
class Tool:
    """One program. `lister` is the one that lists, where that is another."""

    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    list_arguments: Callable[[str], list[str]]
    unpack_arguments: Callable[[str, str], list[str]]
    """From the archive and an empty folder."""
    read: Callable[[Lines], Iterator[Entry]]
    """Raises ValueError and KeyError for a list of another form, ArchiveError for an archive with a password."""
    lister: str | None = None
    warnings: tuple[int, ...] = ()
    """Exit codes that mean that everything came out, and something is to be said."""
    forgiven: re.Pattern[str] | None = None
    """Complaints about links that it would not make; nobody wants them."""


def _password() -> ArchiveError:
    return ArchiveError("The archive is protected by a password; pack it without one.", "encrypted")


def _blocks(lines: Lines, separator: str) -> Iterator[dict[str, str]]:
    """Lines "Key = value", in blocks that end with an empty line."""
    block: dict[str, str] = {}
    for line in lines:
        key, found, value = line.partition(separator)
        if not line.strip():
            if block:
                yield block
            block = {}
        elif found:
            block[key.strip()] = value.rstrip("\r\n")
    if block:
        yield block


def read_7z(lines: Lines) -> Iterator[Entry]:
    """`7zz l -slt -ba`"""
    for block in _blocks(lines, " = "):
        if "Path" not in block:
            continue
        if block.get("Encrypted") == "+":
            raise _password()
        attributes, _, mode = block.get("Attributes", "").partition(" ")
        mode = block.get("Mode", mode)
        kind: EntryKind = "file"
        if block.get("Symbolic Link") or block.get("Hard Link") or mode.startswith("l"):
            kind = "link"
        elif mode[:1] in ("c", "b", "p", "s"):
            kind = "special"
        elif block.get("Folder") == "+" or "D" in attributes or mode.startswith("d"):
            kind = "folder"
        yield Entry(block["Path"].replace("\\", "/"), int(block.get("Size") or 0), kind)


def read_unrar(lines: Lines) -> Iterator[Entry]:
    """`unrar lt` of RARLAB's, version 5 and later. Debian's unrar-free has the same name, and another list."""
    kinds: dict[str, EntryKind] = {"File": "file", "Directory": "folder"}
    is_known = False
    for block in _blocks(lines, ": "):
        is_known = is_known or "Details" in block
        if "Name" not in block or "Type" not in block:
            if "encrypted" in block.get("Details", ""):
                raise _password()
            continue
        if "encrypted" in block.get("Flags", ""):
            raise _password()
        yield Entry(
            block["Name"].replace("\\", "/"), int(block.get("Size") or 0), kinds.get(block["Type"].strip(), "link")
        )
    if not is_known:
        raise ValueError("no list of unrar's")


def read_mtree(lines: Lines) -> Iterator[Entry]:
    """`bsdtar --format=mtree`: a name with odd bytes as \\ooo, then key=value."""
    kinds: dict[str, EntryKind] = {"file": "file", "dir": "folder", "link": "link"}
    for line in lines:
        name, _, rest = line.strip().partition(" ")
        values = dict(pair.split("=", 1) for pair in rest.split() if "=" in pair)
        if name.startswith("#") or "type" not in values:
            continue
        raw = re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8) & 255]), name.encode("utf-8"))
        text = raw.decode("utf-8", "surrogateescape").removeprefix("./")
        yield Entry(text, int(values.get("size", 0)), kinds.get(values["type"], "special"))


def read_lsar(lines: Lines) -> Iterator[Entry]:
    """`lsar -json`"""
    for each in json.loads("".join(lines)).get("lsarContents", []):
        if each.get("XADIsEncrypted"):
            raise _password()
        kind: EntryKind = "folder" if each.get("XADIsDirectory") else "link" if each.get("XADIsLink") else "file"
        yield Entry(str(each["XADFileName"]), int(each.get("XADFileSize", 0)), kind)


_BSDTAR = ("bsdtar", "tar") if sys.platform in ("win32", "darwin") else ("bsdtar",)  # there `tar` is libarchive's

TOOLS = (
    Tool(
        ("unrar",), ("rar",),
        lambda archive: ["lt", "-cfg-", "-p-", "--", archive],
        lambda archive, folder: ["x", "-cfg-", "-p-", "-o-", "-y", "-idq", "--", archive, folder + "/"],
        read_unrar, warnings=(1,),
    ),
    Tool(
        ("7zz", "7z", "7za"), ("7z", "rar", "zip"),
        lambda archive: ["l", "-slt", "-ba", "-sccUTF-8", _NO_PASSWORD, "--", archive],
        lambda archive, folder: ["x", "-y", "-bd", "-bso0", "-sccUTF-8", _NO_PASSWORD, f"-o{folder}", "--", archive],
        read_7z, warnings=(1,), forgiven=re.compile(r"ERROR: Dangerous (symbolic )?link path was ignored"),
    ),
    Tool(
        ("unar",), ("rar", "7z", "zip"),
        lambda archive: ["-json", "-password", "none", archive],
        lambda archive, folder: [
            "-quiet", "-no-directory", "-force-skip", "-password", "none", "-output-directory", folder, archive,
        ],
        read_lsar, "lsar",
    ),
    Tool(
        _BSDTAR, ("7z", "rar", "zip"),
        lambda archive: ["-c", "-f", "-", "--format=mtree", "--options=mtree:!all,type,size", "@" + archive],
        lambda archive, folder: ["-x", "-f", archive, "-C", folder, "-k", "--no-same-owner"],
        read_mtree,
    ),
)  # fmt: skip


def found_for(kind: Kind) -> list[tuple[Tool, str, str]]:
    """Tools on this machine that read the kind: each with the paths of what lists and what unpacks."""
    found = []
    for tool in TOOLS:
        unpacker = next(filter(None, map(shutil.which, tool.names)), None)
        lister = shutil.which(tool.lister) if tool.lister else unpacker
        if kind in tool.kinds and unpacker and lister:
            found.append((tool, str(Path(lister).absolute()), str(Path(unpacker).absolute())))
    return found
