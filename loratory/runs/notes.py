"""What a person writes about a run: notes and tags, in a small file of the run folder. The engine never touches it."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loratory.errors import UserError
from loratory.files import declare_points, patiently, write_json
from loratory.runs.home import home_folder
from loratory.runs.lock import exclusive

declare_points("notes")

NOTES_FILE = "notes.json"
LONGEST_NOTES = 100_000
"""Characters."""
MOST_TAGS = 50
LONGEST_TAG = 60

NO_VERSION = "none"
_LOCK_FILE = "notes.lock"
_WAIT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Notes:
    """A run's notes and tags. `version` says which ones these are; it is another one after each change."""

    text: str = ""
    tags: tuple[str, ...] = ()
    version: str = NO_VERSION


class StaleNotes(UserError):
    """Somebody else has changed the notes in the meantime. `now` is what they are."""

    def __init__(self, now: Notes) -> None:
        self.now = now
        super().__init__("The notes of this run were changed in the meantime; look at them and write yours again.")


def read_notes(run_path: Path) -> Notes:
    """The notes of a run; empty where nobody has written any. Raises UserError for a damaged file."""
    path = run_path / NOTES_FILE
    try:
        content = patiently(path.read_bytes)
    except FileNotFoundError:
        return Notes()
    try:
        values = json.loads(content)
        text, tags = values["notes"], values["tags"]
        if not isinstance(text, str) or not all(isinstance(tag, str) for tag in tags):
            raise TypeError("something else than texts")
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}); correct or delete it.") from error
    return Notes(text, tuple(tags), hashlib.blake2s(content, digest_size=8).hexdigest())


def write_notes(run_path: Path, text: str, tags: Sequence[str], based_on: str) -> Notes:
    """Replace the notes of a run, which `based_on` names by their version. Returns them as they are now.

    Raises StaleNotes when they are others by now; UserError for what is too long; DiskFull.
    """
    if len(text) > LONGEST_NOTES:
        raise UserError(f"The notes have {len(text):,} characters, {LONGEST_NOTES:,} is the most; shorten them.")
    values = {"notes": text, "tags": check_tags(tags)}
    with exclusive(home_folder("state") / _LOCK_FILE, wait_seconds=_WAIT_SECONDS):
        now = read_notes(run_path)
        if now.version != based_on:
            raise StaleNotes(now)
        write_json(run_path / NOTES_FILE, values, point="notes")
        return read_notes(run_path)


def check_tags(tags: Sequence[str]) -> list[str]:
    """Tags in normal form (NFC), without spaces around them, each once. Raises UserError."""
    found: dict[str, None] = {}
    for tag in tags:
        clean = unicodedata.normalize("NFC", tag).strip()
        if not clean or len(clean) > LONGEST_TAG or any(unicodedata.category(sign)[0] == "C" for sign in clean):
            raise UserError(f"{tag[:80]!r} is no tag; a tag has 1 to {LONGEST_TAG} characters in one line.")
        found[clean] = None
    if len(found) > MOST_TAGS:
        raise UserError(f"These are {len(found)} tags, {MOST_TAGS} is the most; leave some out.")
    return list(found)
