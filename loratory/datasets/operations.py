"""Bulk operations on captions, as data, and what each makes of one caption.

A caption is lines of tags: tag operations work in each line, those at the first or last place in the first or last
line. Tags are compared in any case of letters, with underscores as spaces. A text that an operation does not change
keeps its own spacing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, assert_never

import regex
from pydantic import BaseModel, ConfigDict, Field

from loratory.datasets.query import glob, plain
from loratory.errors import UserError

PATTERN_SECONDS = 0.5
"""How long a pattern may work on one caption."""
ALL_PATTERN_SECONDS = 60.0
"""And on all captions of one edit."""
LONGEST_CAPTION = 100_000

_MOST_REPEATS = 1000
_LONGEST_SAID = 40
_COUNTED = re.compile(r"\{(\d*)(?:,(\d*))?\}")
_FACE = re.compile(r"\W+_+\W+|._.|\(o\)_\(o\)")

Place = Literal["first", "last"]
ShortText = Annotated[str, Field(max_length=1000)]
Tags = Annotated[list[Annotated[str, Field(min_length=1, max_length=1000)]], Field(min_length=1, max_length=1000)]


class _Operation(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Trigger(_Operation):
    """Put a trigger word first or last, and move it there where it is elsewhere."""

    op: Literal["trigger"]
    word: str = Field(min_length=1, max_length=1000)
    place: Place = "first"


class Add(_Operation):
    """Add tags that are not there yet."""

    op: Literal["add"]
    tags: Tags
    place: Place = "last"


class Remove(_Operation):
    """Remove tags; * and ? stand for any letters."""

    op: Literal["remove"]
    tags: Tags


class Replace(_Operation):
    """Replace a text, or a pattern, in captions or in each tag on its own."""

    op: Literal["replace"]
    find: str = Field(min_length=1, max_length=1000)
    replace: ShortText = ""
    regex: bool = False
    match_case: bool = False
    whole_tags: bool = False
    """The text must be a whole tag; a tag that becomes empty is removed."""


class ReplaceCaption(_Operation):
    """Replace captions that are exactly a text, spaces around it apart. Empty: pictures without a caption."""

    op: Literal["replace_caption"]
    find: str = Field(max_length=20_000)
    replace: str = Field(max_length=20_000)


class SetCaption(_Operation):
    """Give all pictures the same caption."""

    op: Literal["set"]
    text: str = Field(max_length=20_000)


class Sort(_Operation):
    """Sort tags by the alphabet, or those first that most pictures of the dataset have."""

    op: Literal["sort"]
    by: Literal["alphabet", "frequency"] = "alphabet"
    keep_first: int = Field(0, ge=0, le=1000)
    """So many tags stay where they are."""


class Dedupe(_Operation):
    """Leave out tags that are there before."""

    op: Literal["dedupe"]


class Cleanup(_Operation):
    """One space between words, ", " between tags, no empty tags, no empty lines."""

    op: Literal["cleanup"]


class Underscores(_Operation):
    """Turn underscores into spaces, or spaces in tags into underscores; faces such as ^_^ stay."""

    op: Literal["underscores"]
    to: Literal["spaces", "underscores"] = "spaces"


class ToUtf8(_Operation):
    """Turn caption files of another encoding into UTF-8. It stands alone."""

    op: Literal["to_utf8"]
    encoding: Literal["cp1252", "latin-1", "cp1251", "shift_jis", "gbk", "euc_kr", "big5", "utf-16"] = "cp1252"
    """That of files whose beginning does not say it."""


Operation = Annotated[
    Trigger | Add | Remove | Replace | ReplaceCaption | SetCaption | Sort | Dedupe | Cleanup | Underscores | ToUtf8,
    Field(discriminator="op"),
]
Change = Callable[[str], str]


def said(operation: Operation) -> str:
    """An operation in a few words, for the list of what was done."""
    match operation:
        case Trigger():
            return f"Trigger word {_short(operation.word)} {operation.place}"
        case Add():
            return f"Add {_short(', '.join(operation.tags))}"
        case Remove():
            return f"Remove {_short(', '.join(operation.tags))}"
        case Replace():
            return f"Replace {_short(operation.find)} with {_short(operation.replace) or 'nothing'}"
        case ReplaceCaption():
            return "Replace whole captions"
        case SetCaption():
            return f"Set the caption {_short(operation.text)}"
        case Sort():
            return f"Sort by {operation.by}"
        case Dedupe():
            return "Remove repeated tags"
        case Cleanup():
            return "Clean up"
        case Underscores():
            return f"{'Underscores' if operation.to == 'spaces' else 'Spaces'} to {operation.to}"
        case ToUtf8():
            return "Repair the encoding"
        case _:
            assert_never(operation)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_SAID else f"{text[: _LONGEST_SAID - 1]}…"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What operations know about the whole dataset. `counts`: tag -> pictures that have it."""

    counts: Mapping[str, int]


def compiled(operations: Sequence[Operation], around: Surroundings) -> Change:
    """What a caption becomes by all operations, one after the other. Raises UserError, also while it works."""
    changes = [_change(operation, around) for operation in operations]

    def change(text: str) -> str:
        for each in changes:
            text = each(text)
        if len(text) > LONGEST_CAPTION:
            raise UserError(f"A caption would have more than {LONGEST_CAPTION} letters; change the operation.")
        return text

    return change


def _change(operation: Operation, around: Surroundings) -> Change:
    match operation:
        case Trigger(word=word, place=place):
            return lambda text: _put([word], place, text, moves=True)
        case Add(tags=tags, place=place):
            return lambda text: _put(tags, place, text, moves=False)
        case Remove(tags=tags):
            looks = [glob(plain(tag)) for tag in tags]
            return _in_lines(lambda found: [tag for tag in found if not any(look(plain(tag)) for look in looks)])
        case Replace():
            return _replacing(operation)
        case ReplaceCaption(find=old, replace=new):
            return lambda text: new if text.strip() == old.strip() else text
        case SetCaption(text=new):
            return lambda text: new
        case Sort():
            return _in_lines(_sorting(operation, around))
        case Dedupe():
            return _in_lines(_unique)
        case Cleanup():
            return _clean
        case Underscores(to="spaces"):
            return _in_lines(lambda found: [tag if _is_face(tag) else tag.replace("_", " ") for tag in found])
        case Underscores():
            return _in_lines(lambda found: [tag.replace(" ", "_") for tag in found])
        case ToUtf8():
            raise UserError("The operation to_utf8 changes files and no texts; give it alone.")
        case _:
            assert_never(operation)


def _same(tag: str) -> str:
    return plain(tag).casefold().strip()


def _split(line: str) -> list[str]:
    return [tag for part in line.split(",") if (tag := part.strip())]


def _in_lines(change: Callable[[list[str]], list[str]]) -> Change:
    """Change the tags of each line; a line whose tags stay the same stays as it is."""

    def line(text: str) -> str:
        before = _split(text)
        after = change(before)
        return text if after == before else ", ".join(after)

    return lambda text: _by_lines(text, lambda parts: [line(part) for part in parts])


def _by_lines(text: str, change: Callable[[list[str]], list[str]]) -> str:
    """Change the lines of a text; line breaks at its end, and \\r before them, stay."""
    body = text.rstrip("\r\n")
    end, ending = "\r\n" if "\r\n" in text else "\n", text[len(body) :]
    lines = re.split(r"\r\n|\n|\r", body)
    after = change(lines)
    return text if after == lines else end.join(after) + ending


def _put(tags: Sequence[str], place: Place, text: str, *, moves: bool) -> str:
    wanted = [tag for each in tags for tag in _split(each)]
    keys = {_same(tag) for tag in wanted}

    def change(lines: list[str]) -> list[str]:
        at = 0 if place == "first" else len(lines) - 1
        if moves:
            lines = [", ".join(kept) if len(kept := [tag for tag in found if _same(tag) not in keys]) < len(found)
                     else line for line in lines for found in [_split(line)]]  # fmt: skip
            new = list(wanted)
        else:
            there = {_same(tag) for line in lines for tag in _split(line)}
            new = [tag for tag in wanted if _same(tag) not in there]
        if new:
            rest = lines[at].strip().strip(",").strip()
            parts = [*new, rest] if place == "first" else [rest, *new]
            lines = [*lines[:at], ", ".join(part for part in parts if part), *lines[at + 1 :]]
        return lines

    def in_place(lines: list[str]) -> bool:
        found = _split(lines[0] if place == "first" else lines[-1])
        every = [_same(tag) for line in lines for tag in _split(line)]
        ends = found[: len(wanted)] if place == "first" else found[len(found) - len(wanted) :]
        return ends == wanted and sum(tag in keys for tag in every) == len(wanted)

    return _by_lines(text, lambda lines: lines if moves and in_place(lines) else change(lines))


def _unique(tags: list[str]) -> list[str]:
    return list({_same(tag): tag for tag in reversed(tags)}.values())[::-1]


def _sorting(operation: Sort, around: Surroundings) -> Callable[[list[str]], list[str]]:
    def change(tags: list[str]) -> list[str]:
        kept, free = tags[: operation.keep_first], tags[operation.keep_first :]
        if operation.by == "alphabet":
            return kept + sorted(free, key=_same)
        return kept + sorted(free, key=lambda tag: (-around.counts.get(tag, 0), _same(tag)))

    return change


def _clean(text: str) -> str:
    lines = [", ".join(" ".join(tag.split()) for tag in _split(line)) for line in text.splitlines()]
    return "\n".join(line for line in lines if line)


def _is_face(tag: str) -> bool:
    return _FACE.fullmatch(tag) is not None


# --- find and replace ---


class _Clock:
    """The time that patterns of one edit may take together."""

    def __init__(self) -> None:
        self.left = ALL_PATTERN_SECONDS

    def run(self, work: Callable[[float], str]) -> str:
        begun = time.monotonic()
        try:
            if self.left <= 0:
                raise TimeoutError
            return work(min(PATTERN_SECONDS, self.left))
        except TimeoutError as error:
            raise UserError(
                f"The pattern takes longer than {PATTERN_SECONDS} s on a caption; make it simpler: no repeats inside of"
                " repeats."
            ) from error
        except (regex.error, IndexError, KeyError) as error:
            raise UserError(f"What the pattern is replaced by cannot be used: {error}.") from error
        finally:
            self.left -= time.monotonic() - begun


def pattern(text: str, match_case: bool) -> regex.Pattern[str]:
    """A pattern of the user's, with V0 rules of the module `regex`. Raises UserError for a wrong or huge one."""
    repeats = 1
    for low, high in _COUNTED.findall(text):
        repeats *= max(1, *(int(number) for number in (low, high) if number and len(number) < 10),
                       *(_MOST_REPEATS + 1 for number in (low, high) if len(number) > 9))  # fmt: skip
    if repeats > _MOST_REPEATS:
        # Repeats are written out when a pattern is read: a few letters could ask for all memory.
        raise UserError(f"The pattern's counted repeats ask for more than {_MOST_REPEATS} copies; make them fewer.")
    try:
        return regex.compile(text, 0 if match_case else regex.IGNORECASE)
    except (regex.error, OverflowError, RecursionError) as error:
        raise UserError(f"The pattern {text!r} cannot be used: {error}.") from error


def _replacing(operation: Replace) -> Change:
    found = pattern(operation.find if operation.regex else regex.escape(operation.find), operation.match_case)
    new = operation.replace if operation.regex else operation.replace.replace("\\", "\\\\")
    clock = _Clock()
    if not operation.whole_tags:
        return lambda text: clock.run(lambda seconds: str(found.sub(new, text, timeout=seconds)))

    def one(tag: str) -> str:
        def work(seconds: float) -> str:
            match = found.fullmatch(tag, timeout=seconds)
            return tag if match is None else str(match.expand(new))

        return clock.run(work)

    return _in_lines(lambda tags: [new for tag in tags if (new := one(tag).strip())])
