"""What may become of a key of theirs, and short ways to say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Becomes = Literal["same", "made", "ignored", "dead", "unsupported", "refused"]


@dataclass(frozen=True)
class Key:
    """The decision for one key.

    same: the value is our parameter's. made: code in this package makes something of it. ignored, dead, unsupported: a
    note of this level, unless the value is one of `usual`, which asks for nothing. refused: the job is another kind of
    training than any here, and does not start, unless the value is one of `usual`.
    """

    becomes: Becomes
    to: str = ""
    reason: str = ""
    usual: tuple[Any, ...] = ()
    default: Any = None
    """Of a key that is the same here: theirs, where ours is another."""


def same(to: str, default: Any = None) -> Key:
    return Key("same", to, default=default)


def made(to: str) -> Key:
    return Key("made", to)


def dead(reason: str, *usual: Any) -> Key:
    return Key("dead", reason=reason, usual=usual)


def ignored(reason: str, *usual: Any) -> Key:
    return Key("ignored", reason=reason, usual=usual)


def not_yet(reason: str, *usual: Any) -> Key:
    return Key("unsupported", reason=reason, usual=usual)


def refused(reason: str, *usual: Any) -> Key:
    return Key("refused", reason=reason, usual=usual)
