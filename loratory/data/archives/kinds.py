"""Which kinds of archives there are, and how their files begin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from loratory.errors import UserError

Kind = Literal["zip", "tar", "rar", "7z"]

_KINDS: dict[str, Kind] = {
    ".zip": "zip", ".tar": "tar", ".tar.gz": "tar", ".tgz": "tar", ".tar.bz2": "tar", ".tbz2": "tar", ".tbz": "tar",
    ".tar.xz": "tar", ".txz": "tar", ".rar": "rar", ".7z": "7z",
}  # fmt: skip
SUFFIXES = tuple(_KINDS)
_STARTS: dict[Kind, tuple[bytes, ...]] = {
    "zip": (b"PK\3\4", b"PK\5\6"),
    "tar": (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0"),
    "rar": (b"Rar!\x1a\x07",),
    "7z": (b"7z\xbc\xaf\x27\x1c",),
}
_RAR_4, _RAR_5 = b"Rar!\x1a\x07\x00", b"Rar!\x1a\x07\x01\x00"
_TAR_MARK = slice(257, 262)  # "ustar" in the header of a tar that is not compressed


class ArchiveError(UserError):
    """An archive that cannot be unpacked, or may not be. `code` is for programs."""

    def __init__(self, message: str, code: str = "bad_archive") -> None:
        self.code = code
        super().__init__(message)


def kind_of_name(name: str) -> Kind | None:
    """What a file says it is by its name; None for no archive."""
    return next((kind for suffix, kind in _KINDS.items() if name.lower().endswith(suffix)), None)


def kind_of_content(path: Path) -> Kind | None:
    """What a file is by its first bytes; None for no archive. A tar must have the mark that all since 1988 have."""
    with path.open("rb") as stream:
        start = stream.read(512)
    for kind, starts in _STARTS.items():
        if start.startswith(starts):
            return kind
    return "tar" if start[_TAR_MARK] == b"ustar" else None


def is_one_of_several(path: Path) -> bool:
    """Is a rar one part of an archive in several? Its first header says so, where that is not encrypted.

    Sources: RAR 5.0 archive format (main archive header, archive flag 0x0001); technote.txt of RAR 4 (MHD_VOLUME).
    """
    with path.open("rb") as stream:
        start = stream.read(64)
    if start.startswith(_RAR_4):
        block = start[len(_RAR_4) :]
        return block[2:3] == b"\x73" and bool(block[3] & 1)
    if not start.startswith(_RAR_5):
        return False
    numbers = _numbers(start[len(_RAR_5) + 4 :])  # behind the header's checksum
    _size, kind, flags = next(numbers, 0), next(numbers, 0), next(numbers, 0)
    if flags & 1:
        next(numbers, 0)  # the size of an extra area
    return kind == 1 and bool(next(numbers, 0) & 1)


def _numbers(data: bytes) -> Iterator[int]:
    """RAR 5's numbers: seven bits in each byte, the lowest first, and one that says that more come."""
    value = shift = 0
    for byte in data:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            yield value
            value = shift = 0


def wrong_start(path: Path, name: str) -> str | None:
    """Why the file cannot be the archive that its name promises, as the end of a sentence; None where it can."""
    found, promised = kind_of_content(path), kind_of_name(name)
    if found is None:
        return "is no archive, whatever its name says; pack it anew and send that."
    if found != promised:
        return f"is a {found} archive and not what its name says; rename it and send it again."
    return None
