"""Names of runs that every file system takes, and ids that sort by time."""

import os
import threading
import time
import unicodedata
from datetime import UTC, datetime

from loratory.errors import UserError

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ULID_LENGTH = 26
_RANDOM_BITS = 80

_LONGEST_NAME = 100  # characters
_LONGEST_NAME_BYTES = 200  # a file name may have 255 bytes, and exports append to the run's name
_FORBIDDEN = frozenset('<>:"/\\|?*')
_RESERVED = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{device}{digit}" for device in ("com", "lpt") for digit in "0123456789\u00b9\u00b2\u00b3"]
)

_ulid_lock = threading.Lock()
_last_ulid = 0


def new_ulid() -> str:
    """A ULID: 48 bits of milliseconds and 80 random bits, 26 characters; later ones of a process sort later.

    Source: the ULID specification (github.com/ulid/spec), "Monotonicity" included.
    """
    global _last_ulid  # noqa: PLW0603  ids grow within the process
    milliseconds = time.time_ns() // 1_000_000
    with _ulid_lock:
        fresh = milliseconds << _RANDOM_BITS | int.from_bytes(os.urandom(_RANDOM_BITS // 8))
        _last_ulid = fresh if milliseconds > _last_ulid >> _RANDOM_BITS else _last_ulid + 1
        number = _last_ulid
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(5 * (_ULID_LENGTH - 1), -1, -5))


def is_ulid(text: str) -> bool:
    """True for 26 characters of Crockford's alphabet, upper case, that fit into 128 bits."""
    return len(text) == _ULID_LENGTH and text[0] <= "7" and all(letter in _CROCKFORD for letter in text)


def ulid_time(ulid: str) -> datetime:
    """The time at which a ULID was made, in UTC."""
    number = 0
    for letter in ulid:
        number = number << 5 | _CROCKFORD.index(letter)
    return datetime.fromtimestamp((number >> _RANDOM_BITS) / 1000, UTC)


def utc_now() -> str:
    """The time now as `2026-01-31T12:00:00.000Z`."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def check_name(name: str, noun: str = "run") -> str:
    """Return the name of a run, or of another `noun`, in normal form (NFC).

    Raises UserError when Linux, Windows or macOS would refuse it.
    """
    name = unicodedata.normalize("NFC", name)
    shown = f"The {noun} name {name if len(name) <= _LONGEST_NAME else name[:40] + '…'!r}"
    if not name.strip():
        raise UserError(f"The {noun} has no name; set `name` to something short, for example my_dog.")
    bad = sorted({letter for letter in name if letter in _FORBIDDEN or unicodedata.category(letter) in ("Cc", "Cs")})
    if bad:
        raise UserError(f"{shown} contains {' '.join(map(repr, bad))}; use letters, digits, spaces, '_', '-' and '.'.")
    if name[0] in ".-" or name != name.strip() or name.endswith("."):
        raise UserError(f"{shown} begins with '.' or '-', ends with '.' or has a space at an end; leave that out.")
    if name.split(".")[0].rstrip().casefold() in _RESERVED:
        raise UserError(f"{shown} is reserved by Windows for a device; add something to it, for example {name}_{noun}.")
    if len(name) > _LONGEST_NAME or len(name.encode("utf-8")) > _LONGEST_NAME_BYTES:
        raise UserError(
            f"{shown} is too long; use at most {_LONGEST_NAME} characters ({_LONGEST_NAME_BYTES} bytes in UTF-8)."
        )
    return name
