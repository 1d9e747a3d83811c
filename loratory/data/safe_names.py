"""Names of files and folders that Linux, Windows and macOS all take.

`wrong_with` says why a name that a person typed is refused; `safe_name` turns any name from an archive into one that
will do. Emoji and every script are fine; Windows's devices, signs that it forbids, and very long names are not.
"""

from __future__ import annotations

import hashlib
import unicodedata

# 255 bytes is the most of Linux's file systems; the rest is for what is added to a name: " (2)", ".txt", a temporary.
LONGEST_NAME_BYTES = 200
LONGEST_PATH_BYTES = 1024
_LONGEST_SUFFIX_BYTES = 24
_FORBIDDEN = frozenset('<>:"/\\|?*')
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_RESERVED = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{device}{digit}" for device in ("com", "lpt") for digit in "0123456789\u00b9\u00b2\u00b3"]
)
# Put there by macOS and Windows beside a person's files, and never what anybody wants to keep.
_RUBBISH = frozenset({"__macosx", ".ds_store", "thumbs.db", "desktop.ini", ".spotlight-v100", ".trashes"})


def _bad_sign(sign: str) -> bool:
    return sign in _FORBIDDEN or unicodedata.category(sign) in ("Cc", "Cs")


def _reserved(name: str) -> bool:
    return name.split(".", maxsplit=1)[0].rstrip().casefold() in _RESERVED


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def split_suffix(name: str) -> tuple[str, str]:
    """("dog", ".png") of dog.png. What is too long, or has spaces, is no suffix; nor is all of a hidden name."""
    stem, dot, suffix = name.rpartition(".")
    if not stem or not dot or _size(suffix) >= _LONGEST_SUFFIX_BYTES or " " in suffix:
        return name, ""
    return stem, dot + suffix


def wrong_with(name: str) -> str | None:
    """Why this cannot be the name of a file or folder, as the end of a sentence ("is empty"); None where it can."""
    bad = sorted({sign for sign in name if _bad_sign(sign)})
    if not name.strip():
        return "is empty"
    if name in (".", ".."):
        return "is no name but a way to another folder"
    if bad:
        return f"contains {' '.join(map(repr, bad))}, which some systems do not take"
    if name != name.strip() or name.endswith("."):
        return "begins or ends with a space, or ends with a dot, which Windows drops"
    if _reserved(name):
        return "is the name of a device in Windows"
    if _size(name) > LONGEST_NAME_BYTES:
        return f"is too long ({_size(name)} bytes; {LONGEST_NAME_BYTES} are the most)"
    return None


def _cut(text: str, most_bytes: int) -> str:
    return text.encode("utf-8")[:most_bytes].decode("utf-8", "ignore")


def safe_name(name: str) -> str:
    """The nearest name that every system takes, in normal form NFC; a good name stays as it is.

    Files that differ only in their suffix (a picture and its caption) still do so afterwards. A name that was cut ends
    with a hash of all of it, so that two long ones stay two.
    """
    whole = unicodedata.normalize("NFC", "".join("_" if _bad_sign(sign) else sign for sign in name))
    stem, suffix = split_suffix(whole.strip().rstrip(". "))
    stem = stem.strip()
    if not stem.strip("."):
        stem = "_"
    if _reserved(stem):
        first, dot, rest = stem.partition(".")
        stem = f"{first.rstrip()}_{dot}{rest}"
    room = LONGEST_NAME_BYTES - _LONGEST_SUFFIX_BYTES
    if _size(stem) > room:
        digest = hashlib.sha256(stem.encode("utf-8")).hexdigest()[:8]
        stem = f"{_cut(stem, room - 9).rstrip('. ')}~{digest}"
    return stem + suffix


def numbered(name: str, number: int) -> str:
    """ "dog (2).png" for dog.png and 2; the name itself for 1."""
    if number == 1:
        return name
    stem, suffix = split_suffix(name)
    return f"{stem} ({number}){suffix}"


def folded(name: str) -> str:
    """Two names with the same answer are one file on Windows and macOS."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def is_rubbish(name: str) -> bool:
    """What operating systems leave beside a person's files, such as __MACOSX, .DS_Store and ._dog.png."""
    return name.casefold() in _RUBBISH or name.startswith("._")
