"""Bring an archive, or a folder of this machine, into a dataset: into a new one, which appears whole, or into one that
is there."""

from __future__ import annotations

import errno
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from loratory.data.archives import Entry, LeftOut, Renamed, Unpacked, never, unpack
from loratory.data.archives.entries import Ask, Limits, Plan, check_cost, make_plan
from loratory.data.safe_names import folded, numbered, split_suffix
from loratory.data.scan import CAPTION_EXTENSIONS, PICTURE_SUFFIXES
from loratory.errors import UserError
from loratory.files import (
    bytes_free,
    declare_points,
    naming_full_disk,
    new_folder,
    patiently,
    reached,
    remove_tree,
    temporary_for,
)

declare_points("import")
declare_points("import", steps=("replacing",))

Clash = Literal["number", "replace", "skip", "refuse"]
How = Literal["copy", "link"]
Discard = Callable[[list[Path]], None]
"""Takes files that are replaced; the server moves them to the trash."""

MOST_LISTED = 1000
_PIECE = 4 << 20


class RenamedFile(BaseModel):
    """A file that got another name."""

    name: str
    new_name: str
    reason: str


class SkippedFile(BaseModel):
    """A file that was left out."""

    name: str
    reason: str


class ImportReport(BaseModel):
    """What came into a dataset. Lists hold the first thousand, the numbers count all."""

    files: int
    bytes: int
    pictures: int
    captions: int
    other_files: int
    renamed_count: int
    renamed: list[RenamedFile]
    left_out_count: int
    left_out: list[SkippedFile]
    replaced: int
    notes: list[str]


def import_archive(
    archive: Path, dataset: Path, *, clash: Clash, discard: Discard, ask: Ask = never,
    limits: Limits | None = None, encoding: str | None = None,
) -> ImportReport:  # fmt: skip
    """Unpack into `dataset`, which is made if it is not there. Raises ArchiveError, UserError, DiskFull, and what `ask`
    raises; then nothing has changed."""
    with _filled(dataset, clash, discard) as (folder, done):
        _add(done, unpack(archive, folder, limits=limits, ask=ask, encoding=encoding))
    return done.report()


def import_folder(
    source: Path, dataset: Path, *, how: How, clash: Clash, discard: Discard, ask: Ask = never,
    limits: Limits | None = None,
) -> ImportReport:  # fmt: skip
    """Copy a folder into `dataset`, or make hard links: the same bytes under a second name, which takes no room.

    An edit of a caption makes a new file, so the source never changes. Links in the source are left out.

    Raises like `import_archive`, and UserError for hard links between disks.
    """
    limits = limits or Limits()
    if dataset.resolve() == source.resolve() or source.resolve() in dataset.resolve().parents:
        raise UserError(f"{source} holds the dataset itself; import another folder.")
    entries = list(_entries(source, limits))
    plan = make_plan(entries, limits)
    # No ratio here: what is copied is as large as what is read.
    check_cost(len(plan.targets), plan.bytes if how == "copy" else 0, plan.bytes, limits, bytes_free(dataset))
    if not plan.targets:
        raise UserError(f"{source} holds no files; give the folder that holds the pictures.")
    with _filled(dataset, clash, discard) as (folder, done):
        _add(done, _bring(source, folder, entries, plan, how, ask))
    return done.report()


def _entries(source: Path, limits: Limits) -> Iterator[Entry]:
    count = 0
    for parent, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in [*(each for each in folders if (Path(parent) / each).is_symlink()), *sorted(names)]:
            path = Path(parent) / name
            if name.startswith("."):
                continue
            count += 1
            if count > limits.most_files:
                raise UserError(f"{source} holds more than {limits.most_files} files; import its folders one by one.")
            status = path.lstat()
            relative = path.relative_to(source).as_posix()
            if path.is_symlink():
                yield Entry(relative, 0, "link")
            else:
                yield Entry(relative, status.st_size, "file" if path.is_file() else "special")


def _bring(source: Path, folder: Path, entries: list[Entry], plan: Plan, how: How, ask: Ask) -> Unpacked:
    done = Unpacked(renamed=plan.renamed, left_out=plan.left_out)
    for number, relative in plan.targets.items():
        target = folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        ask(done.bytes, plan.bytes)
        if how == "link":
            _link(source / entries[number].name, target)
        else:
            _copy(source / entries[number].name, target, lambda size: ask(done.bytes + size, plan.bytes))
        done.files.append(relative)
        done.bytes += entries[number].size
    return done


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK):
            raise
        raise UserError(
            f"{source} cannot be linked into the dataset ({error.strerror}); import the folder as a copy."
        ) from error


def _copy(source: Path, target: Path, told: Callable[[int], None]) -> None:
    with source.open("rb") as stream, target.open("xb") as copy:
        while data := stream.read(_PIECE):
            copy.write(data)
            told(copy.tell())
    shutil.copystat(source, target)


# Putting it in its place


class _Done:
    """What came so far, told as a report in the end."""

    def __init__(self) -> None:
        self.unpacked = Unpacked()
        self.replaced = 0

    def report(self) -> ImportReport:
        found = self.unpacked
        kinds = Counter(map(_kind, found.files))
        return ImportReport(
            files=len(found.files), bytes=found.bytes, pictures=kinds["picture"], captions=kinds["caption"],
            other_files=kinds["other"], replaced=self.replaced, notes=found.notes,
            renamed_count=len(found.renamed), left_out_count=len(found.left_out),
            renamed=[RenamedFile(**asdict(each)) for each in found.renamed[:MOST_LISTED]],
            left_out=[SkippedFile(**asdict(each)) for each in found.left_out[:MOST_LISTED]],
        )  # fmt: skip


def _kind(name: str) -> str:
    suffix = split_suffix(name.rpartition("/")[2])[1].lower()
    return (
        "picture" if suffix.removeprefix(".") in PICTURE_SUFFIXES
        else "caption" if suffix in CAPTION_EXTENSIONS else "other"
    )  # fmt: skip


def _add(done: _Done, found: Unpacked) -> None:
    done.unpacked = found


@contextmanager
def _filled(dataset: Path, clash: Clash, discard: Discard) -> Iterator[tuple[Path, _Done]]:
    """Gives a temporary folder to fill on the dataset's disk; then its files are in the dataset, all or none."""
    done = _Done()
    if not dataset.exists() or not any(dataset.iterdir()):
        dataset.parent.mkdir(parents=True, exist_ok=True)
        with new_folder(dataset, point="import") as folder:
            yield folder, done
        return
    temporary = temporary_for(dataset / "import")
    with naming_full_disk(dataset):
        try:
            reached("import.before_write")
            temporary.mkdir()
            yield temporary, done
            _merge(temporary, dataset, done, clash, discard)
        finally:
            remove_tree(temporary)


def _merge(folder: Path, dataset: Path, done: _Done, clash: Clash, discard: Discard) -> None:
    """Move the files over. Which names are taken is looked up once for all of them."""
    there = {folded(path): path for path in _files_below(dataset, folder)}
    taken = [name for name in done.unpacked.files if folded(name) in there]
    if taken and clash == "refuse":
        raise UserError(
            f"{len(taken)} of the files are in the dataset already, such as {taken[0]}; replace or skip them, number "
            "the new ones, or make a new dataset.",
            code="exists",
        )
    names = dict(zip(done.unpacked.files, done.unpacked.files, strict=True))
    if clash == "number":
        names = _numbered(done, there)
    elif clash == "skip":
        for name in taken:
            done.unpacked.left_out.append(LeftOut(name, "the dataset has a file of that name"))
            done.unpacked.bytes -= (folder / name).stat().st_size
            del names[name]
    elif taken:
        discard([dataset / there[folded(name)] for name in taken])
        done.replaced = len(taken)
        reached("import.replacing")
    _move_all(folder, dataset, names)
    done.unpacked.files = list(names.values())


def _numbered(done: _Done, there: dict[str, str]) -> dict[str, str]:
    """New names; a picture and its caption get the same number."""
    groups: dict[str, list[str]] = {}
    for name in done.unpacked.files:
        above, slash, last = name.rpartition("/")
        groups.setdefault(folded(above + slash + split_suffix(last)[0]), []).append(name)
    names, taken = {}, set(there)
    for members in groups.values():
        number, new = 1, members
        while any(folded(name) in taken for name in new):
            number += 1
            new = [_with(name, number) for name in members]
        for name, fresh in zip(members, new, strict=True):
            names[name] = fresh
            taken.add(folded(fresh))
            if fresh != name:
                done.unpacked.renamed.append(Renamed(name, fresh, "the dataset has a file of that name"))
    return names


def _with(name: str, number: int) -> str:
    above, slash, last = name.rpartition("/")
    return above + slash + numbered(last, number)


def _files_below(dataset: Path, temporary: Path) -> Iterator[str]:
    for parent, folders, names in os.walk(dataset):
        folders[:] = [name for name in folders if Path(parent) / name != temporary]
        yield from ((Path(parent) / name).relative_to(dataset).as_posix() for name in names)


def _move_all(folder: Path, dataset: Path, names: dict[str, str]) -> None:
    """Rename all, or none where one cannot be."""
    moved: list[tuple[Path, Path]] = []
    reached("import.before_rename")
    try:
        for name, new in names.items():
            source, target = folder / name, dataset / new
            target.parent.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(target):
                raise UserError(f"{target} came to be while the import went on; import again.")
            patiently(lambda source=source, target=target: source.rename(target))  # type: ignore[misc]
            moved.append((source, target))
    except BaseException:
        for source, target in reversed(moved):
            target.rename(source)
        raise
    reached("import.after_rename")
