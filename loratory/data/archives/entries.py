"""What an archive holds, what of it is taken, and under which names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from loratory.data.archives.kinds import ArchiveError
from loratory.data.safe_names import LONGEST_PATH_BYTES, folded, is_rubbish, numbered, safe_name, split_suffix

Ask = Callable[[int, int], None]
"""Told how many bytes of how many are done; raises in order to end the work."""
EntryKind = Literal["file", "folder", "link", "special"]


def never(done: int, total: int) -> None:
    """Ask nobody, and never end."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may cost. The defaults hold every honest dataset."""

    most_bytes: int = 2**40
    most_files: int = 300_000
    most_ratio: float = 200.0
    """Bytes of files for each byte of the archive, where that is more than `ratio_counts_from_bytes`: pictures are
    hardly made smaller by packing, texts by a factor of ten."""
    ratio_counts_from_bytes: int = 256 << 20
    deepest: int = 32
    """Folders in folders."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in an archive, as the archive names it."""

    name: str
    size: int
    kind: EntryKind


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that was not unpacked, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Renamed:
    """Something that got another name, and why."""

    name: str
    new_name: str
    reason: str


@dataclass(slots=True)
class Unpacked:
    """What came out of an archive."""

    files: list[str] = field(default_factory=list)
    """Paths relative to the folder, with slashes."""
    bytes: int = 0
    renamed: list[Renamed] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Plan:
    """Which entry becomes which file. `targets`: number of the entry -> path relative to the folder."""

    targets: dict[int, str] = field(default_factory=dict)
    renamed: list[Renamed] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    bytes: int = 0


def check_cost(files: int, total_bytes: int, packed_bytes: int, limits: Limits, room_bytes: int) -> None:
    """Raises ArchiveError for what would fill the disk or the machine; call it as soon as the numbers are known."""
    if files > limits.most_files:
        raise ArchiveError(f"The archive holds more than {limits.most_files} files; split it.", "too_many_files")
    large = total_bytes > limits.ratio_counts_from_bytes
    if total_bytes > limits.most_bytes or (large and total_bytes > limits.most_ratio * max(1, packed_bytes)):
        raise ArchiveError(
            f"The archive of {packed_bytes / 1e6:.1f} MB would become {total_bytes / 1e6:.0f} MB, as archives do that "
            "are made to fill disks; unpack it yourself if you trust it, and import the folder.", "bomb",
        )  # fmt: skip
    if total_bytes > room_bytes:
        raise ArchiveError(
            f"The archive needs {total_bytes / 1e6:.0f} MB, and the disk has {room_bytes / 1e6:.0f} MB free; free some "
            "space first.", "disk_full",
        )  # fmt: skip


def _reason_to_leave_out(entry: Entry, parts: list[str], limits: Limits) -> str | None:
    if entry.name.startswith(("/", "\\")) or (len(entry.name) > 1 and entry.name[1] == ":" and entry.name[0].isalpha()):
        return "its path is absolute"
    if ".." in parts:
        return "its path leads out of the folder"
    if entry.kind == "link":
        return "it is a link"
    if entry.kind == "special":
        return "it is a device or pipe"
    if not parts:
        return "it has no name"
    if len(parts) > limits.deepest:
        return "it lies too deep"
    return None


def make_plan(entries: Sequence[Entry], limits: Limits) -> Plan:
    """Names for all files: safe on every system, no two alike on one that ignores case or Unicode's forms.

    A picture and its caption keep a common name whatever happens to it. Empty folders, and what operating systems
    leave behind, are dropped without a word.
    """
    plan, folders = Plan(), _Folders()
    groups: dict[tuple[str, str, int], list[tuple[int, str]]] = {}
    seen: dict[tuple[str, str], int] = {}
    for number, entry in enumerate(entries):
        parts = [part for part in entry.name.split("/") if part not in ("", ".")]
        if any(map(is_rubbish, parts)):
            continue
        if reason := _reason_to_leave_out(entry, parts, limits):
            plan.left_out.append(LeftOut(entry.name, reason))
        elif entry.kind == "file":
            folder, name = folders.safe(parts[:-1]), parts[-1]
            seen[folder, name] = copy = seen.get((folder, name), 0) + 1
            groups.setdefault((folder, split_suffix(name)[0], copy), []).append((number, name))
            plan.bytes += entry.size
    for (folder, _, _), members in groups.items():
        for number, new in folders.take(folder, members):
            path = f"{folder}/{new}" if folder else new
            if len(path.encode("utf-8")) > LONGEST_PATH_BYTES:
                plan.left_out.append(LeftOut(entries[number].name, "its path is too long"))
                continue
            plan.targets[number] = path
            old = PurePosixPath(entries[number].name).as_posix()
            if path != old:
                plan.renamed.append(Renamed(old, path, _why_renamed(old, path)))
    return plan


def _why_renamed(old: str, new: str) -> str:
    safe = "/".join(safe_name(part) for part in old.split("/"))
    return "the name is taken there" if safe != new else "not every system takes the name"


class _Folders:
    """Names that are taken, folder by folder. Time is linear in the number of files."""

    def __init__(self) -> None:
        self._taken: dict[str, set[str]] = {}
        self._folders: dict[tuple[str, str], str] = {}
        self._next: dict[tuple[str, str], int] = {}

    def safe(self, parts: list[str]) -> str:
        """The path of a folder under safe names. Two that differ only in case become two."""
        path = ""
        for part in parts:
            name = safe_name(part)
            if (path, name) not in self._folders:
                ((_, new),) = self.take(path, [(0, name)])
                self._folders[path, name] = f"{path}/{new}" if path else new
            path = self._folders[path, name]
        return path

    def take(self, folder: str, members: list[tuple[int, str]]) -> list[tuple[int, str]]:
        """Free names for files of one stem, with one number behind all of them where one is needed."""
        taken = self._taken.setdefault(folder, set())
        safe = [(number, safe_name(name)) for number, name in members]
        key = (folder, folded(split_suffix(safe[0][1])[0]))
        count = self._next.get(key, 1)
        while True:
            new = [(number, numbered(name, count)) for number, name in safe]
            keys = [folded(name) for _, name in new]
            if len(set(keys)) == len(keys) and not taken.intersection(keys):
                break
            if len(set(keys)) < len(keys):  # within the group: suffixes that differ only in case
                return [pair for member in members for pair in self.take(folder, [member])]
            count += 1
            self._next[key] = count
        taken.update(keys)
        return new
