"""A file in sd-scripts' own names on its way to a job: what was given, what was made of it, and what to say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loratory.config.architectures import get_spec
from loratory.interop.imported import Note, NoteLevel
from loratory.interop.kohya.names import number, truth, typed
from loratory.interop.named_files import working_folder

DDPM = (None, "sd15", "sd2", "sdxl")
"""None: train_network or sdxl_train_network, and the model's file has not told which."""
FLUX = ("flux1", "chroma")
DIT = ("flux1", "chroma", "sd3", "lumina2")


@dataclass(frozen=True)
class Given:
    """What a file says, whatever kind of file it is."""

    values: Mapping[str, Any]
    """By argument of sd-scripts."""
    source: str
    """Names the file in messages."""
    folder: Path
    """Where the file is."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Where in the file an argument stands, if not under its own name."""
    script: str | None = None
    """The trainer that it is for: train_network, sdxl_train_network, …; None: it is not said."""
    dataset: Mapping[str, Any] | None = None
    """A description of the pictures that is part of the file."""
    notes: tuple[Note, ...] = ()


@dataclass
class Reading:
    """Collects a job. Whatever is not asked for by `take` is reported at the end."""

    given: Given
    architecture: str | None
    data: dict[str, Any] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    network_args: dict[str, str] = field(default_factory=dict)
    """As texts, by name; `take_network` reads them."""

    @property
    def trainer(self) -> str:
        """What the architecture is called in messages."""
        return "Stable Diffusion" if self.architecture is None else get_spec(self.architecture).title

    # What was given ----------------------------------------------------------------------------------------------

    def key(self, name: str) -> str:
        """Where an argument, or an entry of network_args (`network_args.<name>`), stands in the file."""
        argument, dot, rest = name.partition(".")
        return self.given.keys.get(name) or self.given.keys.get(argument, argument) + dot + rest

    def where(self, name: str) -> str:
        return f"{self.given.source}: {self.key(name)}"

    def has(self, name: str) -> bool:
        return self.given.values.get(name) is not None

    def peek(self, name: str, default: Any = None) -> Any:
        """An argument's value, without saying that it was used."""
        found = typed(name, self.given.values.get(name), self.where(name))
        return default if found is None else found

    def take(self, name: str, default: Any = None) -> Any:
        """An argument's value; `default`, which is sd-scripts', where it is not given. It counts as taken over."""
        self.taken.add(name)
        return self.peek(name, default)

    def take_network(self, name: str, kind: type, default: Any = None) -> Any:
        """An entry of network_args as a bool, int, float or str."""
        self.taken.add(f"network_args.{name}")
        text = self.network_args.get(name)
        if text is None or (text == "" and kind is not str):
            return default
        where = f"{self.where('network_args')} {name}"
        if kind is bool:
            return truth(text, where)
        return text if kind is str else kind(number(text, where))

    # What becomes of it ------------------------------------------------------------------------------------------

    def set(self, path: str, value: Any) -> None:
        """Put a value into the job."""
        *sections, last = path.split(".")
        place = self.data
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value

    def note(self, level: NoteLevel, name: str, message: str = "") -> None:
        """Say what became of an argument, or of an entry of network_args (`network_args.<name>`)."""
        self.notes.append(Note(level, self.key(name), message))
        self.taken.add(name)

    def path(self, value: str) -> str:
        """A path as it is meant: relative ones count from the current folder, as for sd-scripts, or else, where only
        that exists, from the file's folder."""
        path = Path(value).expanduser()
        if path.is_absolute() or re.match(r"[A-Za-z]:[\\/]|\\\\", value):
            return str(path) if path.is_absolute() else value
        beside = self.given.folder / path
        return str(beside if beside.exists() and not path.exists() else working_folder(self.given.folder) / path)

    def model_path(self, value: str) -> str:
        """The same for what may be the id of a repository on the Hub."""
        found = self.path(value)
        return found if Path(found).exists() or value.startswith((".", "~")) else value
