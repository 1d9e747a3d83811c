"""What is being written: arguments, notes, and which of our parameters have been dealt with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.fields import values
from loratory.config.train import TrainConfig
from loratory.interop.exported import Facts
from loratory.interop.imported import Note
from loratory.interop.kohya.scripts import Script


@dataclass
class Sheet:
    config: TrainConfig
    spec: ArchitectureSpec
    script: Script
    facts: Facts
    arguments: dict[str, Any] = field(default_factory=dict)
    network_arguments: dict[str, Any] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    handled: set[str] = field(default_factory=set)
    """Paths of our parameters that the files say, or that a note tells of."""
    files: dict[str, str] = field(default_factory=dict)
    """Further files."""

    def say(self, paths: str | Iterable[str], **arguments: Any) -> None:
        """These of our parameters are said by these arguments; None is left out, as it is not set there."""
        self.done(paths)
        self.arguments |= {name: value for name, value in arguments.items() if value is not None}

    def done(self, paths: str | Iterable[str]) -> None:
        """Nothing more is to be said of these."""
        self.handled.update([paths] if isinstance(paths, str) else paths)

    def cannot(self, path: str, reason: str) -> None:
        """sd-scripts cannot do it, so that the training differs."""
        self.handled.add(path)
        self.notes.append(Note("unsupported", path, reason))

    def remark(self, path: str, message: str) -> None:
        """It is said, with a difference."""
        self.handled.add(path)
        self.notes.append(Note("mapped", path, message))

    def has(self, option: str) -> bool:
        """Does the option have an effect in this script?"""
        return option in self.script.options

    def optional(self, path: str, option: str, value: Any, usual: Any, *, unset: bool = False) -> None:
        """Say an option that not every script has; `usual` is our value that means what all others do anyway.

        unset: leave it out where it has that value.
        """
        if self.has(option):
            self.say(path, **{option: None if unset and value == usual else value})
        elif value != usual:
            self.cannot(path, f"{self.script.name} has no {option}, or ignores it.")
        else:
            self.done(path)

    def leftovers(self) -> None:
        """A note for every parameter that differs from its default and that nothing was said of."""
        for path, value, facts, default in values(self.config):
            if path in self.handled or value == default:
                continue
            if facts.owner == "job":
                self.notes.append(Note("ignored", path, "sd-scripts has nothing of this kind."))
            else:
                self.notes.append(Note("unsupported", path, "sd-scripts has no such option."))
