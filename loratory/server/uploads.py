"""Files on their way in: parts on the disk, what is known of them, and how a whole one gets to its place.

The size of the part on the disk **is** the offset: nothing else says how much has arrived, so a killed server, a cut
connection and a full disk can never disagree with it. Beside the part lies a small JSON file with what the client
announced. A whole part is looked at (does the picture open?) and then renamed into its folder.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

from loratory import trash
from loratory.data import archives
from loratory.data.images import BrokenImage, probe
from loratory.data.safe_names import numbered, split_suffix
from loratory.data.scan import CAPTION_EXTENSIONS, PICTURE_SUFFIXES
from loratory.files import (
    APPEND_STEPS,
    bytes_free,
    declare_points,
    naming_full_disk,
    patiently,
    reached,
    sync_folder,
    temporary_for,
)
from loratory.runs import home_folder, utc_now
from loratory.server.paths import new_name
from loratory.server.problems import Refused
from loratory.server.roots import Root, find_root
from loratory.server.tree import check_free

declare_points("upload")
declare_points("upload", steps=APPEND_STEPS)

Clash = Literal["refuse", "number", "replace"]
Purpose = Literal["file", "archive"]
State = Literal["receiving", "finished", "refused"]

MOST_BYTES = 2**40
KEEP_SECONDS = 7 * 86400.0
# Notes of other trainers' datasets beside pictures and captions.
_OTHER_SUFFIXES = frozenset({".jsonl", ".csv", ".toml", ".yaml", ".yml", ".md"})
DATASET_SUFFIXES = frozenset({f".{each}" for each in PICTURE_SUFFIXES} | set(CAPTION_EXTENSIONS) | _OTHER_SUFFIXES)

_ID = re.compile(r"[0-9a-f]{32}")
_COPY_BYTES = 1 << 20
_UNPROVED = ".unproved"
_placing = threading.Lock()


@dataclass(frozen=True, slots=True)
class Upload:
    """What is known of one upload besides its offset."""

    id: str
    size: int
    """Bytes announced."""
    root: str
    folder: str
    """Where the file goes: a folder relative to the root, "" for the root itself."""
    name: str
    purpose: Purpose
    """"archive": it stays here until an import takes it; "file": it goes to its folder."""
    clash: Clash
    """What happens where a file of that name is there already."""
    created: str
    state: State = "receiving"
    path: str | None = None
    """Where it came to lie, relative to the root; of an unfinished one, where it is just being put."""
    problem: tuple[str, str] | None = None
    """Code and sentence, where the whole file was refused."""


def uploads_folder() -> Path:
    """Where parts wait; made if need be."""
    folder = home_folder("state") / "uploads"
    for each in (folder, folder / "ended"):
        each.mkdir(exist_ok=True)
    return folder


def part_path(identifier: str) -> Path:
    """The bytes that have arrived."""
    return uploads_folder() / f"{identifier}.part"


def _note_path(identifier: str, ended: bool = False) -> Path:
    return uploads_folder() / ("ended" if ended else "") / f"{identifier}.json"


def _write_note(upload: Upload) -> None:
    # Not flushed: after a power cut an upload whose note is gone is sent again, and every small file would pay for it.
    final = _note_path(upload.id, upload.state != "receiving")
    temporary = temporary_for(final)
    with naming_full_disk(final):
        try:
            temporary.write_text(json.dumps(asdict(upload)), encoding="utf-8")
            patiently(lambda: temporary.replace(final))
        finally:
            temporary.unlink(missing_ok=True)


def _read_note(path: Path) -> Upload | None:
    try:
        values = json.loads(path.read_bytes())
        return Upload(**values | {"problem": tuple(values["problem"]) if values["problem"] else None})
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


def load(identifier: str) -> Upload:
    """Raises Refused for one that is not there (404) or was given up (410)."""
    if _ID.fullmatch(identifier):
        if (found := _read_note(_note_path(identifier, ended=True))) is not None:
            return found
        if (found := _read_note(_note_path(identifier))) is not None:
            if part_path(identifier).exists():
                return found
            if found.path is not None:  # put in its place by a server that was killed before it could say so
                return _end(replace(found, state="finished"))
    raise Refused(404, "no_upload", f"There is no upload {identifier[:40]}; it ended or expired, so begin it again.")


def offset(upload: Upload) -> int:
    """Bytes that count as arrived."""
    if upload.state == "finished":
        return upload.size
    path = part_path(upload.id)
    arrived, mark = path.stat().st_size, path.with_suffix(_UNPROVED)
    return min(arrived, int(mark.read_text(encoding="ascii"))) if mark.exists() else arrived


def expires(upload: Upload) -> float | None:
    """When an unfinished one is given up, in seconds since 1970; each new byte puts it off. None for an ended one."""
    if upload.state != "receiving":
        return None
    return part_path(upload.id).stat().st_mtime + KEEP_SECONDS


def unfinished() -> Iterator[Upload]:
    """Those that can be gone on with, oldest first."""
    found = [_read_note(path) for path in uploads_folder().glob("*.json")]
    known = [each for each in found if each is not None and part_path(each.id).exists()]
    yield from sorted(known, key=lambda each: (each.created, each.id))


# Creating


def check_type(root: Root, name: str, size: int, purpose: Purpose) -> None:
    """Raises Refused for a file of a kind that its place cannot use."""
    suffix = split_suffix(name)[1].lower()
    if purpose == "archive":
        if archives.kind_of_name(name) is None:
            raise Refused(
                415, "wrong_type", f"{name} is no archive by its name; send one of {', '.join(archives.SUFFIXES)}."
            )
    elif root.id == "datasets" and suffix not in DATASET_SUFFIXES:
        kinds = ", ".join(sorted(DATASET_SUFFIXES))
        raise Refused(
            415, "wrong_type",
            f"{name} is neither a picture nor a caption ({kinds}); convert it, or import it if it is an archive.",
        )  # fmt: skip
    if size == 0 and (purpose == "archive" or suffix.removeprefix(".") in PICTURE_SUFFIXES):
        raise Refused(
            422, "empty_file", f"{name} has 0 bytes, so nothing of it can be used; save it anew and send that."
        )


def check_room(size: int, folders: Sequence[Path], name: str) -> None:
    """Raises Refused where a disk has less room than was announced."""
    for folder in folders:
        if (free := bytes_free(folder)) < size:
            raise Refused(
                507, "disk_full",
                f"{name} has {size / 1e6:.1f} MB and the disk has {free / 1e6:.1f} MB free; free some space first.",
                bytes_free=free,
            )  # fmt: skip


def create(upload: Upload, extra_roots: Sequence[Path]) -> Upload:
    """Begin an upload whose name, folder and kind are good. Raises Refused."""
    root = find_root(upload.root, extra_roots)
    upload = replace(upload, name=new_name(upload.name))
    check_type(root, upload.name, upload.size, upload.purpose)
    target = target_of(upload, root)
    check_free(root.path, target)
    if upload.purpose == "file" and upload.clash == "refuse":
        if target.exists():
            raise _exists(upload.name)
        if any((each.root, each.folder, each.name, each.purpose) == (root.id, upload.folder, upload.name, "file")
               for each in _of_folder(upload)):  # fmt: skip
            raise Refused(
                409, "being_uploaded",
                f"{upload.name} is being uploaded to the same folder already; go on with that one, give this one "
                "another name, or ask for a number behind it.",
            )  # fmt: skip
    check_room(upload.size, [uploads_folder(), target.parent], upload.name)
    with naming_full_disk(part_path(upload.id)):
        part_path(upload.id).touch(exist_ok=False)
        _write_note(upload)
    return upload


def _of_folder(upload: Upload) -> Iterator[Upload]:
    return (each for each in unfinished() if each.folder == upload.folder)


def new_upload(**values: Any) -> Upload:
    """With a fresh id and the time now."""
    return Upload(id=secrets.token_hex(16), created=utc_now(), **values)


def target_of(upload: Upload, root: Root) -> Path:
    """Where the file shall lie, before a number is put behind its name. Raises Refused."""
    return root.new(f"{upload.folder}/{upload.name}" if upload.folder else upload.name)


def _exists(name: str) -> Refused:
    return Refused(
        409,
        "exists",
        f"{name} is in that folder already; replace it, ask for a number behind the name, or take another.",
    )


# Receiving


def open_part(upload: Upload) -> BinaryIO:
    """To be appended to. What was sent to be checked, and was cut off before it could be, is taken back."""
    path = part_path(upload.id)
    mark = path.with_suffix(_UNPROVED)
    if mark.exists():
        os.truncate(path, offset(upload))
        mark.unlink()
    return path.open("ab", buffering=0)


def mark_unproved(upload: Upload, start: int) -> None:
    """What comes after byte `start` counts only when its checksum has been compared."""
    path = part_path(upload.id).with_suffix(_UNPROVED)
    temporary = path.with_suffix(".new")
    temporary.write_text(str(start), encoding="ascii")
    temporary.replace(path)


def proved(upload: Upload) -> None:
    """The checksum was right."""
    part_path(upload.id).with_suffix(_UNPROVED).unlink(missing_ok=True)


def append(part: BinaryIO, data: bytes | bytearray, upload: Upload) -> None:
    """Write all of it. Raises DiskFull; what could be written stays and counts."""
    with naming_full_disk(part_path(upload.id)), memoryview(data) as view:
        reached("upload.before_append")
        done = part.write(view[: len(view) // 2])
        reached("upload.torn_append")
        while done < len(view):
            done += part.write(view[done:])
        reached("upload.after_append")


# Ending


def finish(upload: Upload, extra_roots: Sequence[Path]) -> Upload:
    """Look at a whole part and put it into its place. Raises Refused for one that is not what it says it is, DiskFull.

    May be called again after any interruption.
    """
    root = find_root(upload.root, extra_roots)
    part = part_path(upload.id)
    try:
        verify(part, upload)
    except Refused as error:
        _end(replace(upload, state="refused", problem=(error.code, error.message)))
        part.unlink(missing_ok=True)
        raise
    with part.open("r+b") as stream:
        os.fsync(stream.fileno())
    if upload.purpose == "archive":
        return _end(replace(upload, state="finished"))
    target = target_of(upload, root)
    with naming_full_disk(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        source = _on_disk_of(part, target)
        reached("upload.before_rename")
        with _placing:
            final = _free_name(target, upload)
            upload = replace(upload, path=root.name(final))
            _write_note(upload)
            patiently(lambda: source.replace(final))
        reached("upload.after_rename")
        sync_folder(final.parent)
    part.unlink(missing_ok=True)
    return _end(replace(upload, state="finished"))


def _on_disk_of(part: Path, target: Path) -> Path:
    """The part itself, or a copy beside the target where that is on another disk: a rename must be one step."""
    if part.stat().st_dev == target.parent.stat().st_dev:
        return part
    temporary = temporary_for(target)
    try:
        with part.open("rb") as source, temporary.open("xb") as copy:
            shutil.copyfileobj(source, copy, _COPY_BYTES)
            copy.flush()
            os.fsync(copy.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _free_name(target: Path, upload: Upload) -> Path:
    if not os.path.lexists(target):
        return target
    if upload.clash == "refuse":
        raise _exists(upload.name)
    if upload.clash == "replace":
        if target.is_dir():
            raise Refused(409, "exists", f"{upload.name} is a folder there, which no file replaces; take another name.")
        trash.to_trash(target, "file")
        return target
    number = 2
    while os.path.lexists(found := target.with_name(numbered(upload.name, number))):
        number += 1
    return found


def _end(upload: Upload) -> Upload:
    _write_note(upload)
    _note_path(upload.id).unlink(missing_ok=True)
    return upload


def verify(part: Path, upload: Upload) -> None:
    """Raises Refused for a picture that does not open, text that is no text, and an archive that is none."""
    suffix = split_suffix(upload.name)[1].lower()
    if upload.purpose == "archive":
        if (wrong := archives.wrong_start(part, upload.name)) is not None:
            raise Refused(422, "not_an_archive", f"{upload.name} {wrong}")
    elif suffix.removeprefix(".") in PICTURE_SUFFIXES:
        try:
            probe(part)
        except BrokenImage as error:
            raise Refused(422, "not_a_picture", f"{upload.name} {error.reason}") from error
    elif suffix in CAPTION_EXTENSIONS and _is_binary(part):
        raise Refused(422, "not_text", f"{upload.name} holds no text but other bytes; send the caption as a text file.")


def _is_binary(path: Path) -> bool:
    with path.open("rb") as stream:
        start = stream.read(4096)
    return b"\0" in start and not start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def remove(upload: Upload) -> None:
    """Forget it, and what has arrived of it. A finished file that has left this folder stays where it is."""
    _note_path(upload.id).unlink(missing_ok=True)
    _note_path(upload.id, ended=True).unlink(missing_ok=True)
    part = part_path(upload.id)
    part.unlink(missing_ok=True)
    part.with_suffix(_UNPROVED).unlink(missing_ok=True)


def archive_part(identifier: str) -> tuple[Path, Upload]:
    """An archive that has arrived whole, and is still here. Raises Refused."""
    upload = load(identifier)
    if upload.purpose != "archive" or upload.state != "finished" or not part_path(identifier).exists():
        raise Refused(409, "not_ready", f"{upload.name} is no archive that has arrived whole; upload it first.")
    return part_path(identifier), upload


def sweep(now: float | None = None) -> int:
    """Remove parts that nothing was added to for a week, and notes of what ended then. Returns how many files."""
    now = time.time() if now is None else now
    folder, removed = uploads_folder(), 0
    for path in [*folder.iterdir(), *(folder / "ended").iterdir()]:
        identifier = path.name.partition(".")[0]
        # An archive that waits to be imported has a part and a younger note, which go together.
        belonging = (path, part_path(identifier), _note_path(identifier, ended=True))
        newest = max((each.stat().st_mtime for each in belonging if each.exists()), default=now)
        if path.is_file() and now - newest > KEEP_SECONDS:
            path.unlink(missing_ok=True)
            removed += 1
    return removed
