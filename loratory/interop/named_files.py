"""Files that a file of another trainer names: a dataset's description, prompts, the file of a command's arguments.

On this machine they are read where they lie. A text that somebody sent may name what it likes, so there only files that
were sent with it are read, and no environment variable is looked at.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from loratory.config.plain import MOST_BYTES

_sent: ContextVar[Mapping[str, bytes] | None] = ContextVar("sent", default=None)


@contextmanager
def confined_to(files: Mapping[str, bytes]) -> Iterator[None]:
    """Within the block files are found by their names, without folders, in `files`, and nowhere else."""
    token = _sent.set(files)
    try:
        yield
    finally:
        _sent.reset(token)


def is_confined() -> bool:
    return _sent.get() is not None


def working_folder(beside: Path) -> Path:
    """Where relative paths begin: the current folder, as for other trainers; of a text that was sent, `beside`."""
    return beside if is_confined() else Path.cwd()


def read_named(path: Path) -> bytes:
    """The bytes of a file. Raises OSError, also for one that is longer than any file of settings."""
    sent = _sent.get()
    if sent is not None:
        if path.name not in sent:
            raise FileNotFoundError(errno.ENOENT, "it was not sent with the file that names it", str(path))
        return sent[path.name]
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"it is longer than {MOST_BYTES // 1_000_000} MB", str(path))
    return content
