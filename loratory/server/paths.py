"""Paths that clients name: always relative to a root that the server chose, and never out of it."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from loratory.data.safe_names import LONGEST_NAME_BYTES, LONGEST_PATH_BYTES, safe_name, wrong_with
from loratory.server.problems import Refused

_LONGEST_BYTES = 2 * LONGEST_PATH_BYTES  # systems take 4096, the root's own path included
_LONGEST_PART_BYTES = 255
_WINDOWS_ONLY = "is the name of a device in Windows"


def parts_of(relative: str) -> list[str]:
    """The components of a path that a client gave, with slashes or backslashes; none for "". Raises Refused for one
    that is absolute, leads upwards, or can be no path on some system."""
    said = relative if len(relative) < 200 else relative[:200] + "…"
    parts = [part for part in relative.replace("\\", "/").split("/") if part not in ("", ".")]
    if (
        "\0" in relative
        or relative.startswith(("/", "\\"))
        or ".." in parts
        or any(part.rstrip(". ") == "" for part in parts)
        or ":" in "".join(parts[:1])
        or any(unicodedata.category(sign) in ("Cc", "Cs") for sign in relative)
    ):
        raise Refused(
            400,
            "bad_path",
            f"{said!r} is no path inside of this folder; give one without .. and without a leading slash.",
        )
    sizes = [len(part.encode("utf-8")) for part in parts]
    if max(sizes, default=0) > _LONGEST_PART_BYTES or sum(sizes) + len(sizes) > _LONGEST_BYTES:
        raise Refused(400, "name_too_long", f"{said!r} is too long to be a path; use shorter names.")
    if device := next((part for part in parts if wrong_with(part) == _WINDOWS_ONLY), None):
        raise Refused(400, "bad_path", f"{said!r} is no path here, because {device!r} {_WINDOWS_ONLY}; use another.")
    return parts


def inside(root: Path, relative: str) -> Path:
    """The path `relative` (with slashes) in `root`, links resolved. It need not exist.

    Raises Refused for one that is absolute, leads out, or can be no path: links are followed first, and components
    are compared, so that `/data-secret` is not taken for inside of `/data`.
    """
    if not relative:
        raise Refused(400, "bad_path", "No path was given; give one that begins in this folder.")
    parts = parts_of(relative)
    top = root.resolve()
    try:
        found = top.joinpath(*parts).resolve()
    except (OSError, RuntimeError) as error:
        raise Refused(400, "bad_path", f"{relative!r} can be no path here ({error}).") from error
    if found != top and top not in found.parents:
        raise Refused(403, "outside", f"{relative!r} leads out of its folder through a link, and is not followed.")
    return found


def new_name(name: str) -> str:
    """A name for a new file or folder, in normal form NFC. Raises Refused, with a name that would do."""
    name = unicodedata.normalize("NFC", name)
    if wrong := wrong_with(name):
        said = name if len(name) < 100 else name[:100] + "…"
        code = "name_too_long" if len(name.encode("utf-8", "replace")) > LONGEST_NAME_BYTES else "bad_name"
        raise Refused(
            400, code, f"The name {said!r} {wrong}; take another, such as {safe_name(name)!r}.",
            suggested=safe_name(name),
        )  # fmt: skip
    return name


def new_inside(root: Path, relative: str) -> Path:
    """The path of something to be made: like `inside`, and what does not exist yet has a name that every system takes.
    Raises Refused."""
    found = inside(root, relative)
    top = root.resolve()
    missing = []
    while found != top and not found.exists():
        missing.append(new_name(found.name))
        found = found.parent
    if found != top and not found.is_dir() and missing:
        raise Refused(409, "no_folder", f"{found.name!r} is a file, so nothing can be put into it; use another folder.")
    return found.joinpath(*reversed(missing))
