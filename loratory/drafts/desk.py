"""What a server keeps at hand for drafts: looks at folders, the graphics card, where datasets lie."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from loratory.config.train import TrainConfig
from loratory.drafts.draft import Draft, FindDataset, read_draft
from loratory.drafts.scans import Scans, hashes_of
from loratory.drafts.ways import Ways
from loratory.files import home
from loratory.hub.local import resolve_local
from loratory.planner.command import Typed, planned
from loratory.planner.estimate import Estimate
from loratory.planner.machine import CPU, Machine, machine_here

MACHINE_SECONDS = 300.0
"""A card is seldom put in or taken out."""


@dataclass
class Desk:
    """May be used by several threads."""

    find_dataset: FindDataset
    """The folder of a dataset that a draft names by its id, `dataset:<id>`."""
    look_for_machine: Callable[[], Machine] = machine_here
    scans: Scans = field(default_factory=Scans)
    _machine: tuple[float, Machine] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, given: object) -> Draft:
        """A draft as text or plain data; relative paths in it count from LORATORY_HOME."""
        return read_draft(given, home(), self.find_dataset)

    def ways(self, *, thorough: bool = False) -> Ways:
        """Quick ones, which download nothing; `thorough`: every picture may be read."""
        return Ways(resolve_local, self.scans.look, hashes_of(()), thorough)

    def machine(self) -> Machine:
        """The card that is here. Its driver is asked now and then."""
        with self._lock:
            if self._machine is None or time.monotonic() - self._machine[0] > MACHINE_SECONDS:
                self._machine = (time.monotonic(), self.look_for_machine())
            return self._machine[1]

    def card(self, gigabytes: float | None, device: str) -> Machine:
        """The card that is here, or one of so many GB, as makers call GiB."""
        here = CPU if device == "cpu" else self.machine()
        return here if gigabytes is None else Machine(here.name, round(gigabytes * 2**30))

    def plan(self, config: TrainConfig, machine: Machine, wanted: Typed | None) -> Estimate:
        """Raises UserError."""
        return planned(config, machine, wanted, resolve=resolve_local, look=self.scans.look)
