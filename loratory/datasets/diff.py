"""How one caption differs from another, in pieces that a browser can colour."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Literal

_TOKENS = re.compile(r"\s*,\s*|\s+|[^\s,]+")
_MOST_TOKENS = 1500
"""The comparison takes the square of this in time."""

Kind = Literal["same", "removed", "added"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the old text, the new one, or both."""

    kind: Kind
    text: str


def diff(before: str | None, after: str | None) -> list[Piece]:
    """The pieces from one text to the other: all but the added are the old one, all but the removed the new one."""
    old, new = _TOKENS.findall(before or ""), _TOKENS.findall(after or "")
    if max(len(old), len(new)) > _MOST_TOKENS:
        return _merged([Piece("removed", before or ""), Piece("added", after or "")])
    pieces = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            pieces.append(Piece("same", "".join(old[a:b])))
        else:
            pieces += [Piece("removed", "".join(old[a:b])), Piece("added", "".join(new[c:d]))]
    return _merged(pieces)


def _merged(pieces: list[Piece]) -> list[Piece]:
    return [piece for piece in pieces if piece.text]
