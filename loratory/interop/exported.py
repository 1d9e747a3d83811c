"""What a job of ours becomes in another program's files, and which programs there are."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.train import TrainConfig
from loratory.data.buckets import BucketRule
from loratory.data.scan import Scan
from loratory.errors import UserError
from loratory.interop.imported import Note


@dataclass(frozen=True)
class Facts:
    """What a writer knows beside the config."""

    rules: tuple[tuple[BucketRule, ...], ...]
    """For each dataset, how pictures find their buckets, at each of its sizes."""
    scans: tuple[Scan | None, ...]
    """For each dataset what lies in its folder; None where the folder is not on this machine."""
    total_steps: int | None
    """Optimizer steps of the run, where they can be counted."""


@dataclass(frozen=True)
class Exported:
    """Files for another program, and what became of the config.

    A note's key is the path in our config. unsupported: the other program cannot do it, so the training differs.
    mapped: it is said there, with a remark about a difference. ignored: it is about this program or machine.
    """

    files: dict[str, str]
    """Text by file name. Files name each other without folders: they are meant to lie together."""
    notes: tuple[Note, ...]


Writer = Callable[[TrainConfig, ArchitectureSpec, Facts], Exported]

WRITERS: Mapping[str, str] = {
    "kohya": "loratory.interop.kohya.write:export",
    "ai-toolkit": "loratory.interop.aitoolkit.write:export",
}
"""`module:function` of each program's writer."""


def writer(program: str) -> Writer:
    """The function that writes a program's files. Raises UserError for a program that is not known."""
    if program not in WRITERS:
        raise UserError(f"--to {program}: there is no such format; known: {', '.join(sorted(WRITERS))}.")
    module, _, name = WRITERS[program].partition(":")
    found: Writer = getattr(importlib.import_module(module), name)
    return found


HEADINGS = {
    "unsupported": "It cannot say, so that the training differs",
    "mapped": "It says, with a difference",
    "ignored": "Left out, for it is about this program or this machine",
}


def summary(program: str, notes: tuple[Note, ...]) -> list[str]:
    """The notes as short lines, under what they mean."""
    if not notes:
        return [f"{program} can say all of it."]
    lines = []
    for level, heading in HEADINGS.items():
        told = [f"  {note.key}: {note.message}" for note in notes if note.level == level]
        lines += [f"{heading}:", *told] if told else []
    return lines
