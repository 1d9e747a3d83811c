"""Lift old job files to today's layout, one numbered step at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from loratory.config.train import CONFIG_VERSION
from loratory.errors import UserError

MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""version -> the function that turns plain data of this version into the next one's. Version 1 is the first."""


def migrate(data: dict[str, Any], source: str) -> dict[str, Any]:
    """Plain data in today's layout. Raises UserError for a file of a newer Loratory."""
    version = data.get("version", CONFIG_VERSION)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise UserError(f"{source}: version: {version!r} is not a version; leave the line out for today's layout.")
    if version > CONFIG_VERSION:
        raise UserError(
            f"{source}: version {version} was written by a newer Loratory (this one knows {CONFIG_VERSION}); update it."
        )
    while version < CONFIG_VERSION:
        data = MIGRATIONS[version](data)
        version += 1
        data["version"] = version
    return data
