"""Files that only save time: JSON with one list per column, about the files of one folder."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loratory.files import write_atomic

_VERSION = 1

_log = logging.getLogger(__name__)


def load_columns(path: Path, root: Path, names: Sequence[str]) -> dict[str, Any]:
    """First column -> tuple of the others, as save_columns() wrote them.

    Empty if the file is missing, or was made for another folder or by another version.
    """
    try:
        data = json.loads(path.read_bytes())
        if data["version"] != _VERSION or data["root"] != str(root.resolve()):
            return {}
        keys, *columns = (data[name] for name in names)
        return dict(zip(keys, zip(*columns, strict=True), strict=True))
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError) as error:
        # The file only saves time: what it knew can be found out again.
        _log.warning("%s is damaged (%s); it is made anew.", path, error)
        return {}


def save_columns(path: Path, root: Path, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Write columns; as ASCII, since a file name may hold bytes that are no UTF-8."""
    columns = zip(*rows, strict=True) if rows else ([] for _ in names)
    data = {"version": _VERSION, "root": str(root.resolve())}
    text = json.dumps(data | dict(zip(names, map(list, columns), strict=True)), separators=(",", ":"))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text.encode("ascii"))
