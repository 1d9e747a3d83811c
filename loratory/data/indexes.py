"""Where the index of a folder of pictures is kept, so that whoever looks next need not open them again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from loratory.files import home


def index_path(root: Path, caption_extensions: Sequence[str]) -> Path:
    """The index of a folder, looked at for captions with these endings. It may not exist, nor its folder."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (str(root.resolve()), tuple(caption_extensions)):
        text = repr(part).encode("utf-8", "surrogateescape")
        digest.update(len(text).to_bytes(8, "little") + text)
    return home() / "state" / "datasets" / f"{digest.hexdigest()[:12]}.json"
