"""Small pictures of datasets and samples for the browser, kept by content: copies and renames cost nothing."""

from __future__ import annotations

import io
import logging
import os
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from enum import IntEnum
from pathlib import Path

from loratory.files import write_atomic


class ThumbnailSize(IntEnum):
    """Longest sides in pixels."""

    SMALL = 128
    CARD = 256
    LARGE = 512
    SCREEN = 1024


CAP_BYTES = 2 * 1024**3
_QUALITY = 82
_LOOK_EVERY = 500
_TOUCH_SECONDS = 86_400
_KEPT_SHARE = 0.8
_HASHES_KEPT = 50_000

_log = logging.getLogger(__name__)


class Thumbnails:
    """`<folder>/<content hash>-<size>.webp`, made where they are asked for, by a few threads."""

    def __init__(self, folder: Path, cap_bytes: int = CAP_BYTES) -> None:
        self.folder, self.cap_bytes = folder, cap_bytes
        self._pool = ThreadPoolExecutor(max(2, (os.cpu_count() or 2)), "thumbnails")
        self._lock = threading.Lock()
        self._making: dict[Path, Future[None]] = {}
        self._made = 0
        self._hashes: dict[Path, tuple[int, int, str]] = {}

    def of(self, picture: Path, size: int) -> tuple[Path, str]:
        """The small picture, no side longer than `size`, and a name of its content for ever.

        Raises BrokenImage, OSError where the picture cannot be read.
        """
        content = self._content(picture)
        return self.get(picture, content, size), f"{content}-{size}"

    def _content(self, picture: Path) -> str:
        from loratory.data.scan import content_hash

        status = picture.stat()
        state = (status.st_size, status.st_mtime_ns)
        known = self._hashes.get(picture)
        if known is not None and known[:2] == state:
            return known[2]
        digest = content_hash(picture)
        if len(self._hashes) >= _HASHES_KEPT:
            self._hashes.clear()
        self._hashes[picture] = (*state, digest)
        return digest

    def get(self, picture: Path, content: str, size: int) -> Path:
        """The small picture, no side longer than `size`. `content`: the hash of the picture's bytes.

        Raises BrokenImage.
        """
        path = self.folder / f"{content}-{size}.webp"
        status = path.stat() if path.exists() else None
        if status is not None and status.st_size:
            if time.time() - status.st_mtime > _TOUCH_SECONDS:
                os.utime(path)
            return path
        with self._lock:
            future = self._making.get(path)
            if future is None:
                future = self._making[path] = self._pool.submit(self._make, picture, path, size)
        try:
            future.result()
        finally:
            with self._lock:
                self._making.pop(path, None)
        return path

    def end(self) -> None:
        """Make no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def prune(self) -> tuple[int, int]:
        """Remove those that were not looked at for longest, where they take more than the cap; (how many, bytes)."""
        found = []
        for entry in os.scandir(self.folder) if self.folder.is_dir() else ():
            status = entry.stat()
            found.append((status.st_mtime, status.st_size, Path(entry.path)))
        total = sum(size for _, size, _ in found)
        if total <= self.cap_bytes:
            return 0, 0
        count, freed = 0, 0
        for _, size, path in sorted(found):
            if total - freed <= self.cap_bytes * _KEPT_SHARE:
                break
            path.unlink(missing_ok=True)
            count, freed = count + 1, freed + size
        return count, freed

    def _make(self, picture: Path, path: Path, size: int) -> None:
        from PIL import Image

        from loratory.data.images import decode_small

        small = Image.fromarray(decode_small(picture, size))
        stream = io.BytesIO()
        small.save(stream, "WEBP", quality=_QUALITY, method=2)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, stream.getvalue(), sync=False)
        with self._lock:
            self._made += 1
            due = self._made % _LOOK_EVERY == 0
        if due:
            count, freed = self.prune()
            if count:
                _log.info("%d thumbnails that were not used for long are gone: %.1f MB.", count, freed / 1e6)
