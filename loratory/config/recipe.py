"""What of a config is worth telling others: how something was trained, without what belongs to this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from loratory.config.fields import values
from loratory.config.train import TrainConfig


def recipe(config: TrainConfig) -> dict[str, Any]:
    """What differs from the defaults, by dotted path, as --set takes it. Paths lose their folders; there is no secret,
    and nothing that says only where things lie or how fast they go."""
    told = {}
    for path, value, facts, default in values(config):
        # A section's type is the default of the class that it chose.
        is_usual = value == default and not path.endswith(".type")
        if facts.secret or facts.owner not in ("recipe", "subject") or is_usual:
            continue
        told[path] = _shown(value) if facts.path else value
    return told


def _shown(value: Any) -> Any:
    """A path without its folders; of a mapping, each value."""
    if isinstance(value, Mapping):
        return {name: _shown(each) for name, each in value.items()}
    return value if value is None else _without_folders(value)


def _without_folders(path: str) -> str:
    """The last part; Hub ids (name/model) stay, as far as they can be told from paths."""
    plain = path.replace("\\", "/")
    is_hub_id = plain.count("/") == 1 and not plain.startswith((".", "/", "~")) and not PurePosixPath(plain).suffix
    return plain if is_hub_id else plain.rstrip("/").rpartition("/")[2]
