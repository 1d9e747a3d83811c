"""Captions of many pictures in one file: the metadata of kohya's fine-tuning datasets.

A JSON object of pictures' paths (whole, or their names, with or without the ending), each with `caption`, `tags` or
both; or lines of JSON with `image_path`, `caption` and `tags`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

from loratory.errors import UserError


class CaptionTable:
    """The captions of one file. A text is the caption and the tags with ", " between."""

    def __init__(self, path: Path) -> None:
        """Raises UserError for a file that cannot be read, or is none of this kind."""
        self._by_path: dict[str, str] = {}
        for name, entry in _entries(path):
            self._by_path[_plain(name)] = _text(name, entry, path)
        if not self._by_path:
            raise UserError(f"The metadata {path} names no picture.")

    def of(self, root: Path, item_path: str) -> str | None:
        """The caption of a picture: by its whole path, by its path in the dataset's folder, or by its name; each also
        without the ending. None where the file does not name it."""
        picture = root / item_path
        whole = (picture.absolute(), Path(item_path), Path(picture.name))
        for path in whole:
            for name in (path, path.with_suffix("")):
                found = self._by_path.get(name.as_posix())
                if found is not None:
                    return found
        return None


def _plain(name: str) -> str:
    return PureWindowsPath(name).as_posix() if "\\" in name else Path(name).as_posix()


def _entries(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"The metadata {path} cannot be read: {error.strerror}; check the path.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"The metadata {path} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from error
    try:
        if path.suffix.lower() == ".jsonl":
            for line in filter(str.strip, text.splitlines()):
                entry = json.loads(line)
                if not isinstance(entry, Mapping) or not isinstance(entry.get("image_path"), str):
                    raise UserError(f"A line of the metadata {path} has no image_path.")
                yield entry["image_path"], entry
            return
        data = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"The metadata {path} is not valid JSON ({error}); correct it.") from error
    if not isinstance(data, dict):
        raise UserError(f"The metadata {path} is no object of pictures and what is known of them.")
    yield from data.items()


def _text(name: str, entry: Any, path: Path) -> str:
    caption, tags = (entry.get(key, "") for key in ("caption", "tags")) if isinstance(entry, Mapping) else (None, None)
    if isinstance(tags, list) and all(isinstance(tag, str) for tag in tags):
        tags = ", ".join(tags)
    if not isinstance(caption, str) or not isinstance(tags, str):
        raise UserError(f"The metadata {path} holds no texts as caption and tags of {name}.")
    return ", ".join(part for part in (caption.strip(), tags.strip()) if part)
