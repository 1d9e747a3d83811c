"""How a draft is looked at: a command downloads what it needs and reads all, a server must be quick and asks nobody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from loratory.config.dataset import DatasetConfig
from loratory.config.identify import Resolve
from loratory.data.scan import ContentHashes, Scan, scan
from loratory.hub.download import resolve_model

Look = Callable[[Path, Sequence[str]], Scan]


def _hashes(found: Scan) -> ContentHashes:
    return ContentHashes(None, found.root)


@dataclass(frozen=True)
class Ways:
    """The defaults are those of the commands."""

    resolve: Resolve = resolve_model
    """From what a config calls a model to where it lies."""
    look: Look = scan
    """From a folder and the endings of captions to its pictures."""
    hashes: Callable[[Scan], ContentHashes] = _hashes
    """What is remembered of the contents of a scan's pictures."""
    reads_pictures: bool = True
    """May every picture be read? Pictures for validation are told apart by what they hold."""

    def pictures(self, dataset: DatasetConfig) -> Scan:
        """Raises UserError for a folder without any."""
        return self.look(Path(dataset.path), dataset.captions.extensions)
