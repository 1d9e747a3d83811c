"""A dataset folder becomes an index of items: which pictures lie there, how large they are, which captions they have.

Paths of items are relative to the folder and written with "/". The index file makes the second look at an unchanged
folder cheap: pictures whose size in bytes and time of change are as remembered are not opened again.
"""

import hashlib
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

from loratory.data.columns import load_columns, save_columns
from loratory.data.images import BrokenImage, probe
from loratory.errors import UserError

Progress = Callable[[int, int], None]
Visit = Callable[[str, os.DirEntry[str]], None]
"""Called with the relative path and the entry of every file that is no picture."""

PICTURE_SUFFIXES = frozenset({"jpg", "jpeg", "png", "webp", "bmp"})
CAPTION_EXTENSIONS = (".txt", ".caption", ".cap", ".json")
# Put there by operating systems and storage boxes; hidden names (".…") are skipped as well.
SKIPPED_NAMES = frozenset({"__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information"})
# A folder called "20240115_holiday" is a date, not a wish for twenty million repeats.
MAXIMUM_REPEATS = 1000

BROKEN = "broken_dataset"
"""The code of errors that say that a dataset cannot be used."""

_INDEX_COLUMNS = ("path", "size", "mtime_ns", "width", "height")
_HASH_COLUMNS = ("path", "size", "mtime_ns", "hash")
_FILES_PER_TASK = 64
_REPEATS_FOLDER = re.compile(r"(\d+)_(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Item:
    """One picture of a dataset.

    path, caption_path: relative to the dataset's folder, with "/". width, height: pixels, after EXIF orientation.
    size: bytes. mtime_ns: time of change, nanoseconds. repeats, class_tokens: from a direct sub-folder with a name
    like "10_ohwx dog", else 1 and "".
    """

    path: str
    width: int
    height: int
    caption_path: str | None
    size: int
    mtime_ns: int
    repeats: int
    class_tokens: str


@dataclass(frozen=True, slots=True)
class ScanProblem:
    """Something in the folder that is left out, and why. path is relative; message is a whole sentence."""

    path: str
    message: str


@dataclass(frozen=True, slots=True)
class Scan:
    """What lies in a dataset folder: items and problems, both sorted by path."""

    root: Path
    items: tuple[Item, ...]
    problems: tuple[ScanProblem, ...]


_Known = dict[str, tuple[int, int, int, int]]  # path -> size, mtime_ns, width, height


@dataclass(slots=True)
class _Found:
    """What walking over the folder gathers, before any picture is opened."""

    items: list[Item] = field(default_factory=list)
    # path -> caption_path, size, mtime_ns, repeats, class_tokens of the pictures that have to be opened
    new: dict[str, tuple[str | None, int, int, int, str]] = field(default_factory=dict)
    problems: list[ScanProblem] = field(default_factory=list)
    folder_problems: dict[str, ScanProblem] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)
    skipped: list[str] = field(default_factory=list)
    visit: Visit = field(default=lambda path, entry: None)


def scan(
    root: Path,
    caption_extensions: Sequence[str] = CAPTION_EXTENSIONS,
    index_path: Path | None = None,
    progress: Progress | None = None,
    *,
    noun: str = "dataset folder",
    visit: Visit | None = None,
    may_be_empty: bool = False,
) -> Scan:
    """Find all pictures below root, with their sizes and captions. `noun`: what messages call the folder.

    A picture's caption is the file with the same base name and the first of caption_extensions that exists. Pictures
    that cannot be opened, or have been cut off, become problems; they stop nothing. index_path: where the sizes are
    remembered; written only when something changed. progress(done, total) counts the pictures that had to be opened.
    visit(path, entry) is told of every file that is no picture, hidden ones apart.
    Linked folders are followed, each folder is visited once.
    Raises UserError if the folder is missing, unreadable or, unless it may be empty, without a usable picture.
    """
    root = Path(root)
    _check_folder(root, noun)
    known = {} if index_path is None else _load_index(index_path, root)
    found = _walk(root, tuple(caption_extensions), known, noun, visit)
    if not found.items and not found.new and not may_be_empty:
        raise UserError(_why_empty(root, found, noun), code=BROKEN)
    items, broken = found.items, 0
    for path, result in _probe_all(root, list(found.new), progress):
        if isinstance(result, BrokenImage):
            found.problems.append(ScanProblem(path, f"{path} {result.reason}"))
            broken += 1
        else:
            caption, size, mtime_ns, repeats, class_tokens = found.new[path]
            items.append(Item(path, *result, caption, size, mtime_ns, repeats, class_tokens))
    items.sort(key=attrgetter("path"))
    problems = tuple(sorted(found.problems, key=lambda problem: problem.path))
    if not items and not may_be_empty:
        raise UserError(
            f"None of the {broken} pictures in {root} can be used; the first problem: {problems[0].message}",
            code=BROKEN,
        )
    # A broken picture is not remembered: it may be mended, or get other rights, without a change of size or time.
    if index_path is not None and (len(found.new) > broken or len(known) != len(items)):
        _save_index(index_path, root, items)
    return Scan(root, tuple(items), problems)


def content_hash(path: Path) -> str:
    """BLAKE2b with 128 bits of a file's bytes, as 32 hex digits; reads in pieces. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


class ContentHashes:
    """Remembers content hashes in a file, so that no unchanged picture is read twice.

    A hash counts as long as the file has the size and the time of change that it had when it was read.
    """

    def __init__(self, path: Path | None, root: Path) -> None:
        """path: where the hashes are kept (see beside()), None: nowhere; root: the dataset's folder."""
        self._path = path
        self._root = root
        self._known: dict[str, tuple[int, int, str]] = {} if path is None else load_columns(path, root, _HASH_COLUMNS)
        self._changed = False

    @classmethod
    def beside(cls, index_path: Path, root: Path) -> "ContentHashes":
        """The hashes that belong to the index at index_path: "x.json" has them in "x.hashes.json"."""
        return cls(index_path.with_suffix(".hashes.json"), root)

    def of(self, item: Item) -> str:
        """The content hash of an item. Raises UserError if its file cannot be read or has changed since the scan."""
        known = self._known.get(item.path)
        if known is not None and known[:2] == (item.size, item.mtime_ns):
            return known[2]
        file = self._root / item.path
        try:
            digest = content_hash(file)
            status = file.stat()
        except OSError as error:
            raise UserError(f"{file} cannot be read: {error.strerror}; scan the dataset again.", code=BROKEN) from error
        if (status.st_size, status.st_mtime_ns) != (item.size, item.mtime_ns):
            raise UserError(f"{file} has changed since the dataset was scanned; scan it again.", code=BROKEN)
        self._known[item.path] = (item.size, item.mtime_ns, digest)
        self._changed = True
        return digest

    def save(self) -> None:
        """Write the hashes to their file, if there are new ones."""
        if self._changed and self._path is not None:
            rows = [(path, *values) for path, values in sorted(self._known.items())]
            save_columns(self._path, self._root, _HASH_COLUMNS, rows)
            self._changed = False


# --- walking ---


def _check_folder(root: Path, noun: str) -> None:
    if not root.exists():
        raise UserError(f"The {noun} {root} does not exist; check the path.", code=BROKEN)
    if not root.is_dir():
        raise UserError(f"The {noun} {root} is a file; give the folder that holds the pictures.", code=BROKEN)


def _walk(root: Path, caption_extensions: tuple[str, ...], known: _Known, noun: str, visit: Visit | None) -> _Found:
    """Look into every folder below root once; real ones before linked ones, so that a link never hides its target."""
    found = _Found() if visit is None else _Found(visit=visit)
    visited: set[tuple[int, int]] = set()
    real: list[str] = [""]
    linked: list[str] = []
    while real or linked:
        folder = real.pop() if real else linked.pop()
        try:
            status = (root / folder).stat()
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            with os.scandir(root / folder) as listing:
                entries = list(listing)
        except OSError as error:
            message = f"cannot be looked into: {error.strerror}; check the folder's rights."
            if not folder:
                raise UserError(f"The {noun} {root} {message}", code=BROKEN) from error
            found.problems.append(ScanProblem(folder, f"The folder {folder} {message}"))
            continue
        prefix = f"{folder}/" if folder else ""
        subfolders = _sort_out(entries, prefix, caption_extensions, known, found)
        for entry in sorted(subfolders, key=lambda entry: entry.name, reverse=True):  # pop() takes the first name
            (linked if entry.is_symlink() else real).append(prefix + entry.name)
    found.problems.extend(found.folder_problems.values())
    return found


def _sort_out(
    entries: list[os.DirEntry[str]], prefix: str, caption_extensions: tuple[str, ...], known: _Known, found: _Found
) -> list[os.DirEntry[str]]:
    """Enter one folder's pictures into `found`; the answer is its sub-folders."""
    subfolders: list[os.DirEntry[str]] = []
    pictures: list[tuple[os.DirEntry[str], str]] = []
    names: set[str] = set()
    for entry in entries:
        name = entry.name
        if name.startswith(".") or name in SKIPPED_NAMES:
            found.skipped.append(prefix + name)
        elif entry.is_dir():
            subfolders.append(entry)
        else:
            stem, _, suffix = name.rpartition(".")
            if suffix.lower() in PICTURE_SUFFIXES and stem:
                pictures.append((entry, stem))
            else:
                names.add(name)
                found.visit(prefix + name, entry)
    if not pictures and not found.items and not found.new:
        found.others.update(map(_kind, names))  # only a folder without pictures is told what lies there instead
    repeats, class_tokens = _repeats(prefix, bool(pictures), found)
    if repeats < 1:
        return subfolders
    spellings = [spelling for extension in caption_extensions for spelling in _spellings(extension)]
    for entry, stem in pictures:
        path = prefix + entry.name
        try:
            status = entry.stat()
        except OSError as error:
            reason = "is a link to a file that does not exist" if entry.is_symlink() else f"is lost: {error.strerror}"
            found.problems.append(ScanProblem(path, f"{path} {reason}; remove it or put the picture there."))
            continue
        if not stat.S_ISREG(status.st_mode):
            # Opening a pipe would wait for ever.
            found.problems.append(ScanProblem(path, f"{path} is not a file but a pipe or device; remove it."))
            continue
        caption = None
        for spelling in spellings:
            if stem + spelling in names:
                caption = prefix + stem + spelling
                break
        size, mtime_ns, row = status.st_size, status.st_mtime_ns, known.get(path)
        if row is not None and row[0] == size and row[1] == mtime_ns:
            found.items.append(Item(path, row[2], row[3], caption, size, mtime_ns, repeats, class_tokens))
        else:
            found.new[path] = (caption, size, mtime_ns, repeats, class_tokens)
    return subfolders


def _kind(name: str) -> str:
    stem, _, suffix = name.rpartition(".")
    return f".{suffix.lower()}" if stem else "without suffix"


def _spellings(extension: str) -> tuple[str, ...]:
    """An extension and the other letter cases it is found in, as Windows users expect."""
    return tuple(dict.fromkeys((extension, extension.lower(), extension.upper())))


def _repeats(prefix: str, has_pictures: bool, found: _Found) -> tuple[int, str]:
    """Repeats and class tokens of the folder `prefix`; kohya's rule for the direct sub-folder that it lies in."""
    top = prefix.split("/", 1)[0]
    match = _REPEATS_FOLDER.fullmatch(top)
    if match is None:
        return 1, ""
    repeats, class_tokens = int(match[1]), match[2].strip()
    message = ""
    if repeats > MAXIMUM_REPEATS:
        message = (
            f"The folder {top} begins with a number above {MAXIMUM_REPEATS}, which is not taken as repeats; "
            "rename it if it was meant so."
        )
        repeats, class_tokens = 1, ""
    elif repeats < 1:
        message = f"The folder {top} asks for 0 repeats, so its pictures are left out; rename it to use them."
    if message and has_pictures:
        found.folder_problems[top] = ScanProblem(top, message)
    return repeats, class_tokens


def _why_empty(root: Path, found: _Found, noun: str) -> str:
    """One sentence about a folder without pictures: what lies there instead, or where pictures are."""
    wanted = ", ".join(f".{suffix}" for suffix in sorted(PICTURE_SUFFIXES))
    start = f"The {noun} {root} holds no pictures ({wanted})"
    if found.problems:
        return f"{start} that can be used; the first problem: {min(problem.message for problem in found.problems)}"
    if found.others:
        most = [f"{count} {suffix}" for suffix, count in found.others.most_common(3)]
        more = "" if len(found.others) <= len(most) else " and others"
        start += f", only {', '.join(most)}{more} file{'s' if found.others.total() > 1 else ''}"
    elif found.skipped:
        start += f", only hidden or system files such as {min(found.skipped)}"
    else:
        start += "; it is empty"
    above = _pictures_directly_in(root.absolute().parent)
    if above:
        return f"{start}; but {above} pictures lie one folder higher, in {root.absolute().parent}."
    return f"{start}; give the folder that holds the pictures, or convert them."


def _pictures_directly_in(folder: Path) -> int:
    if not os.access(folder, os.R_OK | os.X_OK):
        return 0
    with os.scandir(folder) as entries:
        return sum(1 for entry in entries if entry.name.rpartition(".")[2].lower() in PICTURE_SUFFIXES)


# --- opening pictures ---


def _probe_all(
    root: Path, paths: Sequence[str], progress: Progress | None
) -> Iterator[tuple[str, tuple[int, int] | BrokenImage]]:
    """Open the pictures in a few threads: reading from slow disks and networks is mostly waiting."""
    if not paths:
        return
    tasks = [paths[start : start + _FILES_PER_TASK] for start in range(0, len(paths), _FILES_PER_TASK)]
    done = 0
    executor = ThreadPoolExecutor(max_workers=min(16, len(tasks), 2 * (os.cpu_count() or 1)))
    try:
        for task, results in zip(tasks, executor.map(lambda task: _probe_some(root, task), tasks), strict=True):
            yield from zip(task, results, strict=True)
            done += len(task)
            if progress is not None:
                progress(done, len(paths))
    finally:
        # After an interruption the waiting tasks must not be worked off first.
        executor.shutdown(cancel_futures=True)


def _probe_some(root: Path, paths: Sequence[str]) -> list[tuple[int, int] | BrokenImage]:
    results: list[tuple[int, int] | BrokenImage] = []
    for path in paths:
        try:
            results.append(probe(root / path))
        except BrokenImage as error:
            results.append(error)
    return results


# --- the index file ---


def _load_index(path: Path, root: Path) -> _Known:
    return load_columns(path, root, _INDEX_COLUMNS)


def _save_index(path: Path, root: Path, items: Sequence[Item]) -> None:
    save_columns(path, root, _INDEX_COLUMNS, list(map(attrgetter(*_INDEX_COLUMNS), items)))
