"""Paths that clients name: always relative to a root that the server chose, and never out of it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from loratory.server.problems import Refused


def inside(root: Path, relative: str) -> Path:
    """The path `relative` (with slashes) in `root`, links resolved. It need not exist.

    Raises Refused for one that is absolute, leads out, or can be no path: links are followed first, and components
    are compared, so that `/data-secret` is not taken for inside of `/data`.
    """
    parts = PurePosixPath(relative.replace("\\", "/")).parts
    if (
        not relative
        or "\0" in relative
        or relative.startswith(("/", "\\"))
        or ".." in parts
        or ":" in "".join(parts[:1])
    ):
        raise Refused(
            400,
            "bad_path",
            f"{relative!r} is no path inside of this folder; give one without .. and without a leading slash.",
        )
    top = root.resolve()
    try:
        found = top.joinpath(*parts).resolve()
    except (OSError, RuntimeError) as error:
        raise Refused(400, "bad_path", f"{relative!r} can be no path here ({error}).") from error
    if found != top and top not in found.parents:
        raise Refused(403, "outside", f"{relative!r} leads out of its folder through a link, and is not followed.")
    return found
