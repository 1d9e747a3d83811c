"""What becomes of every key that ai-toolkit's job files may have (its own, and those of the relaxis fork).

A key is written as its path without the numbers of lists; those of a process begin with the section, such as
`train.lr`. Where it stands for something here, `to` names our parameter; the modules beside this one do what is more
than copying.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache

from loratory.interop.aitoolkit.decisions import Key
from loratory.interop.aitoolkit.tables import FREE, INSIDE, KEYS, NAMED, SECTIONS

__all__ = ["FREE", "INSIDE", "KEYS", "NAMED", "SECTIONS", "Key", "decision", "has_keys", "nearest"]


def decision(pattern: str) -> Key | None:
    """What becomes of a key; None for one that their program does not know."""
    section = pattern.partition(".")[0]
    return KEYS.get(section if section in INSIDE else pattern)


@cache
def _names(section: str) -> tuple[str, ...]:
    begin = f"{section}." if section else ""
    found = (name.removeprefix(begin) for name in KEYS if name.startswith(begin))
    return tuple(name for name in found if "." not in name)


def nearest(pattern: str) -> str | None:
    """The key of the same section whose name is most like this one."""
    section, _, name = pattern.rpartition(".")
    return next(iter(get_close_matches(name, _names(section), n=1, cutoff=0.75)), None)


def has_keys(pattern: str) -> bool:
    """Are there keys below this one?"""
    return any(name.startswith(f"{pattern}.") for name in KEYS)
