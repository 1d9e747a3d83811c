"""Notes about the keys of one process, and the reader that gives its values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loratory.errors import UserError
from loratory.interop.aitoolkit.keys import FREE, INSIDE, NAMED, Key, decision, has_keys, nearest
from loratory.interop.imported import Note, NoteLevel


class Notes:
    """What is said about keys: one note for each, the first that is said."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._found: dict[str, Note] = {}
        self.refusals: list[str] = []
        self.tokens: dict[str, str] = {}

    def say(self, level: NoteLevel, key: str, message: str = "") -> None:
        self._found.setdefault(key, Note(level, key, message))

    def refuse(self, key: str, message: str) -> None:
        """The job cannot be run; all of such are told together."""
        self.refusals.append(f"{key}: {message}")

    def all(self) -> tuple[Note, ...]:
        return tuple(self._found.values())


class Section:
    """A mapping of their file, by the path of its place and by the pattern of its keys."""

    def __init__(self, given: Mapping[str, Any], path: str, pattern: str, notes: Notes) -> None:
        self.given, self.path, self.pattern, self.notes = given, path, pattern, notes

    def __contains__(self, key: str) -> bool:
        return self.given.get(key) is not None

    def get(self, key: str, usual: Any = None) -> Any:
        """The value, or `usual` where it is left out or null. A key must be one that is decided to be `made`."""
        assert self._decided(key).becomes in ("made", "same"), f"{self.pattern}.{key} is not decided so"
        value = self.given.get(key)
        return usual if value is None else value

    def number(self, key: str, usual: float) -> float:
        """A number, also where it was written as text. Raises UserError for what is none."""
        value = self.get(key, usual)
        try:
            if isinstance(value, bool):
                raise TypeError
            number = float(value)
            return int(number) if number.is_integer() and abs(number) < 2**53 else number
        except (TypeError, ValueError, OverflowError):
            raise UserError(f"{self.notes.source}: {self.path}.{key} is {value!r}; it must be a number.") from None

    def flag(self, key: str, usual: bool = False) -> bool:
        """Truth, as Python sees it: their program asks for no more."""
        return bool(self.get(key, usual))

    def texts(self, key: str) -> list[str]:
        """A list of texts; one alone, too."""
        value = self.get(key, [])
        return [str(each) for each in value] if isinstance(value, list) else [str(value)]

    def say(self, level: NoteLevel, key: str, message: str = "") -> None:
        """A note, if the key is in the file."""
        if key in self.given:
            self.notes.say(level, f"{self.path}.{key}", message)

    def section(self, key: str) -> Section:
        """A mapping within; empty where there is none. Raises UserError for another kind of value."""
        return Section(self._mapping(self.given.get(key), f"{self.path}.{key}"), f"{self.path}.{key}",
                       f"{self.pattern}.{key}".lstrip("."), self.notes)  # fmt: skip

    def sections(self, key: str) -> list[Section]:
        """A list of mappings within. Raises UserError for another kind of value."""
        value = self.given.get(key)
        listed = [] if value is None else value
        if not isinstance(listed, list):
            raise UserError(f"{self.notes.source}: {self.path}.{key} must be a list; it is {value!r}.")
        pattern = f"{self.pattern}.{key}".lstrip(".")
        return [
            Section(self._mapping(each, f"{self.path}.{key}.{number}"), f"{self.path}.{key}.{number}", pattern,
                    self.notes)
            for number, each in enumerate(listed)
        ]  # fmt: skip

    def _decided(self, key: str) -> Key:
        found = decision(f"{self.pattern}.{key}".lstrip("."))
        assert found is not None, f"{self.pattern}.{key} is in no table"
        return found

    def _mapping(self, value: Any, path: str) -> Mapping[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise UserError(f"{self.notes.source}: {path} must hold keys and values; it is {value!r}.")
        return value


def note_all(section: Section) -> None:
    """A note for each key in the file that has none yet, as the table decides."""
    for key, value in section.given.items():
        path, pattern = f"{section.path}.{key}".lstrip("."), f"{section.pattern}.{key}".lstrip(".")
        found = decision(pattern)
        if found is None:
            near = nearest(pattern)
            meant = f"; did you mean {near}?" if near else ""
            section.notes.say("unknown", path, f"their program does not know it, and takes no notice{meant}")
            continue
        _note(section.notes, path, found, value)
        if pattern in FREE or pattern in INSIDE or not has_keys(pattern):
            continue
        for inner in _inside(value, path, pattern, section.notes):
            note_all(inner)


def _inside(value: Any, path: str, pattern: str, notes: Notes) -> list[Section]:
    if isinstance(value, Mapping) and pattern in NAMED:
        return [
            Section(each, f"{path}.{name}", f"{pattern}.*", notes)
            for name, each in value.items() if isinstance(each, Mapping)
        ]  # fmt: skip
    if isinstance(value, Mapping):
        return [Section(value, path, pattern, notes)]
    listed = value if isinstance(value, list) else []
    return [
        Section(each, f"{path}.{number}", pattern, notes)
        for number, each in enumerate(listed) if isinstance(each, Mapping)
    ]  # fmt: skip


def _note(notes: Notes, path: str, found: Key, value: Any) -> None:
    if value is None:
        notes.say("default", path)
    elif found.becomes in ("same", "made"):
        notes.say("mapped", path)
    elif found.usual and value in found.usual:
        notes.say("default", path)
    elif found.becomes == "refused":
        if value in ({}, [], "", False):
            notes.say("default", path)
        else:
            notes.refuse(path, found.reason)
    else:
        level: NoteLevel = {"ignored": "ignored", "dead": "dead"}.get(found.becomes, "unsupported")  # type: ignore[assignment]
        notes.say(level, path, found.reason)
