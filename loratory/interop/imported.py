"""What an importer of another program's file gives: a job as plain data, and a note for each thing that was said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

NoteLevel = Literal["mapped", "default", "ignored", "unsupported", "dead", "unknown", "secret"]
LEVELS: tuple[NoteLevel, ...] = get_args(NoteLevel)

HEADINGS: dict[NoteLevel, str] = {
    "mapped": "Taken over, with a remark",
    "unsupported": "Not possible here yet",
    "unknown": "Not known to that program either",
    "dead": "Without effect in that program either",
    "ignored": "Left out, for it means nothing here",
    "secret": "Secrets, which no job file holds",
    "default": "Is so here anyway",
}
"""In the order in which a person should read them."""

_COUNTED: tuple[NoteLevel, ...] = ("mapped", "default")  # said as a number, unless all is asked for


@dataclass(frozen=True)
class Note:
    """What became of one key of their file.

    mapped: it is in our job. default: what it asks for is what happens here anyway. ignored: it means nothing here (a
    thing of their machinery), or does not concern this model. unsupported: it means something and cannot be done here,
    so the training differs. dead: it has no effect in their program. unknown: their program does not know it. secret: a
    token or key, which belongs into the settings; the message never holds its value.
    """

    level: NoteLevel
    key: str
    """The path in their file, such as `training_arguments.vae` or `config.process.0.train.lr`."""
    message: str = ""
    """A sentence for a person. A `mapped` or `default` note without one is only counted."""


@dataclass(frozen=True)
class Imported:
    """A job of ours made of another program's file."""

    data: dict[str, Any]
    """What a job file of ours would hold; checked afterwards by `config.load.parse`."""
    notes: tuple[Note, ...]
    source: str
    """Names the file, and the part of it, in messages."""
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Tokens and keys that the file held, by the variables they belong into."""

    def of_level(self, level: NoteLevel) -> list[Note]:
        return [note for note in self.notes if note.level == level]


def summary(notes: Sequence[Note], *, everything: bool = False) -> list[str]:
    """The notes as short lines: first how many were taken over, then by heading what a person must know."""
    mapped, default = (sum(note.level == level for note in notes) for level in _COUNTED)
    lines = [f"{mapped} settings taken over, {default} are so here anyway."]
    for level, heading in HEADINGS.items():
        told = [note for note in notes if note.level == level and (note.message or everything or level not in _COUNTED)]
        if level == "default" and not everything:
            continue
        if told:
            lines.append(f"{heading}:")
            lines += [f"  {note.key}: {note.message}" if note.message else f"  {note.key}" for note in told]
    return lines
