"""Models that are on this machine already: nothing is downloaded and nobody is asked."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from loratory.errors import UserError
from loratory.hub.download import no_model, split_id


class NotHere(UserError):
    """What would have to be downloaded first."""


def cache_folder() -> Path:
    """Where downloads of the Hub lie, by the variables that its own client knows. It may not exist."""
    for name, below in (("HF_HUB_CACHE", ""), ("HUGGINGFACE_HUB_CACHE", ""), ("HF_HOME", "hub")):
        if os.environ.get(name):
            return Path(os.environ[name]).expanduser() / below
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache).expanduser() if cache else Path.home() / ".cache") / "huggingface" / "hub"


def snapshot(repository: str, revision: str | None = None) -> Path | None:
    """The folder of a downloaded repository, whole or in parts; None where there is none of this revision.

    Layout: models--owner--name/refs/<revision> holds a commit, whose files are in snapshots/<commit>.
    """
    folder = cache_folder() / f"models--{repository.replace('/', '--')}"
    wanted = revision or "main"
    reference = folder / "refs" / wanted
    commit = reference.read_text(encoding="ascii").strip() if reference.is_file() else wanted
    found = folder / "snapshots" / commit
    return found if commit and found.is_dir() else None


def repositories() -> Iterator[tuple[str, Path]]:
    """Every downloaded repository of a model, by name, with the folder of its newest revision."""
    top = cache_folder()
    for folder in sorted(top.glob("models--*")) if top.is_dir() else ():
        name = folder.name.removeprefix("models--").replace("--", "/", 1)
        found = snapshot(name) or max(_snapshots(folder), key=lambda path: path.stat().st_mtime, default=None)
        if found is not None:
            yield name, found


def _snapshots(folder: Path) -> list[Path]:
    return [path for path in (folder / "snapshots").glob("*") if path.is_dir()]


def resolve_local(
    path_or_id: str, /, *, revision: str | None = None, allow_patterns: Sequence[str] | None = None
) -> Path:
    """As `hub.download.resolve_model`, of what is here. Raises NotHere, or UserError for what is no path."""
    try:
        path = Path(path_or_id).expanduser()
        if path_or_id.strip() and path.exists():
            return path
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"The model path {path_or_id!r} cannot be followed ({error}); correct it.") from error
    repository, file = split_id(path_or_id)
    if repository is None:
        raise no_model(path_or_id, path)
    found = snapshot(repository, revision)
    if found is not None and (file is None or (found / file).exists()):
        return found if file is None else found / file
    raise NotHere(f"{path_or_id} is not on this machine yet; it is downloaded when a training needs it.")
