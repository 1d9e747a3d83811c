"""Carrying out edits of captions, so that no caption is ever lost.

Before the first file is written, the journal holds every file's bytes before and after. A process that is killed in the
middle leaves whole files, and `finish` writes the rest from the journal. A file that somebody else has changed since
is never written over.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from loratory.data.scan import Progress
from loratory.datasets.caption_files import encode, in_utf8, plain_text, read, read_bytes, version_of
from loratory.datasets.catalogue import NO_CAPTION, Caption
from loratory.datasets.diff import diff
from loratory.datasets.errors import Difference, NotThere, Stale
from loratory.datasets.journal import CaptionChange, Journal, Step
from loratory.datasets.library import Dataset, Library
from loratory.datasets.operations import Operation, Surroundings, ToUtf8, compiled, said
from loratory.datasets.shelf import Opened
from loratory.errors import UserError
from loratory.files import declare_points, patiently, reached, sweep_temporaries, sync_folder, write_atomic
from loratory.runs.lock import exclusive

declare_points("caption")
declare_points("caption", steps=("before_remove", "after_remove"))
declare_points("edit", steps=("applying", "written", "done"))

SHOWN_DIFFERENCES = 20
_WAIT_SECONDS = 30.0
_CHANGED_SINCE = "was changed by somebody else while the edit was carried out, and was left as it is"


# --- one caption ---


def write_caption(opened: Opened, item: str, text: str, based_on: str, who: str) -> Step | None:
    """Write one caption. `based_on` is the version that was read, or NO_FILE. None if it says that already.

    Raises Stale with the difference when the file has another version, UserError where writing would lose something.
    """
    with _alone(opened):
        number = opened.number(item)
        path = _caption_path(opened, number)
        before = read_bytes(opened.dataset.path / path)
        if version_of(before) != based_on:
            raise _stale([(item, path, text, before)], 1, "since you read it; your text is not written")
        after = encode(text, before, Path(path).suffix)
        if after == before or (before is None and not text):
            return None
        journal = Journal(opened.dataset)
        step = journal.add("edit", who, f"Edited {item}", [CaptionChange(item, path, before, after)])
        return _carry_out(opened, journal, step, None)


def restore_caption(opened: Opened, item: str, step_id: str, based_on: str, who: str) -> Step | None:
    """Make a caption what it was after a step of its history. Raises as write_caption()."""
    with _alone(opened):
        journal = Journal(opened.dataset)
        found = next((change for step, change in journal.of_item(item, -1) if step.id == step_id), None)
        if found is None:
            raise NotThere(f"The caption of {item} was not changed by an edit {step_id}.")
        path = _caption_path(opened, opened.number(item))
        before = read_bytes(opened.dataset.path / path)
        if version_of(before) != based_on:
            raise _stale([(item, path, _shown(found.after, path), before)], 1, "since you read it; it is not restored")
        if path != found.caption:
            raise UserError(f"The caption of {item} is now {path}, and was {found.caption}; rename it first.")
        if before == found.after:
            return None
        change = CaptionChange(item, path, before, found.after)
        return _carry_out(opened, journal, journal.add("restore", who, "Restored", [change]), None)


# --- many captions ---


def plan_edit(opened: Opened, numbers: Sequence[int], operations: Sequence[Operation], who: str,
              progress: Progress | None = None) -> Step:  # fmt: skip
    """Work out what operations make of captions, and write it down as a plan that `apply_edit` carries out.

    Raises UserError for operations that cannot be used.
    """
    left_out: list[tuple[str, str]] = []
    if any(isinstance(each, ToUtf8) for each in operations):
        if len(operations) > 1:
            raise UserError("The operation to_utf8 changes files and no texts; give it alone.")
        changes = _to_utf8(opened, numbers, operations[0].encoding, left_out)  # type: ignore[union-attr]
    else:
        # Numbers are worked off before a transaction begins, so that a wrong pattern leaves nothing behind.
        changes = iter(list(_changes(opened, numbers, operations, left_out, progress)))
    # The list of what is left out grows while changes are made.
    made = list(changes)
    title = "; ".join(map(said, operations))
    return Journal(opened.dataset).add("bulk", who, title, made, left_out=left_out)


def _changes(opened: Opened, numbers: Sequence[int], operations: Sequence[Operation],
             left_out: list[tuple[str, str]], progress: Progress | None) -> Iterator[CaptionChange]:  # fmt: skip
    catalogue, root = opened.catalogue, opened.dataset.path
    change = compiled(operations, Surroundings(opened.tag_counts()))
    for done, number in enumerate(numbers):
        if progress is not None and done % 1000 == 0:
            progress(done, len(numbers))
        item, known = catalogue.paths[number], catalogue.captions[number]
        if known.reading.problem:
            left_out.append((item, f"its caption {known.reading.problem}"))
            continue
        text = known.reading.text or ""
        new = change(text)
        if new == text:
            continue
        path = _caption_path(opened, number)
        before = read_bytes(root / path)
        if version_of(before) != known.reading.version:
            fresh = read(before, Path(path).suffix)
            if fresh.problem:
                left_out.append((item, f"its caption {fresh.problem}"))
                continue
            text = fresh.text or ""
            new = change(text)
            if new == text:
                continue
        try:
            after = encode(new, before, Path(path).suffix)
        except UserError as error:
            left_out.append((item, str(error)))
            continue
        yield CaptionChange(item, path, before, after)


def _to_utf8(opened: Opened, numbers: Sequence[int], encoding: str,
             left_out: list[tuple[str, str]]) -> Iterator[CaptionChange]:  # fmt: skip
    for number in numbers:
        path, item = opened.catalogue.captions[number].path, opened.catalogue.paths[number]
        before = None if path is None else read_bytes(opened.dataset.path / path)
        if path is None or before is None or plain_text(before) is not None:
            continue
        try:
            yield CaptionChange(item, path, before, in_utf8(before, encoding))
        except UserError as error:
            left_out.append((item, f"its caption {error}"))


def apply_edit(opened: Opened, step_id: str, *, skip_changed: bool = False, progress: Progress | None = None) -> Step:
    """Carry out a plan, once. Raises Stale, and writes nothing, when captions have changed since it was made, unless
    those are to be left out; DiskFull and other errors after what was written has been written back."""
    with _alone(opened):
        journal = Journal(opened.dataset)
        step = journal.step(step_id)
        if step.state in ("done", "applying"):
            return step
        if step.state == "failed":
            raise UserError(f"This edit failed before ({step.problem}); make a new preview.")
        _check_versions(opened, journal, step, skip_changed)
        return _carry_out(opened, journal, step, progress)


def undo(opened: Opened, step_id: str, who: str, *, skip_changed: bool = False,
         progress: Progress | None = None) -> Step:  # fmt: skip
    """Give every caption of a step the bytes from before it. Undoing an undo does the step again.

    Raises Stale, and writes nothing, when captions have changed since, unless those are to be left as they are.
    """
    with _alone(opened):
        journal = Journal(opened.dataset)
        step = journal.step(step_id)
        if step.state != "done":
            raise UserError("Only an edit that was carried out can be undone.")
        if step.undone_by is not None and journal.step(step.undone_by).undone_by is None:
            raise UserError("This edit is undone already; undo the undoing to have it again.")
        back = (CaptionChange(each.item, each.caption, each.after, each.before) for each in journal.changes(step_id))
        made = journal.add("undo", who, _title_of_undo(step), back, undoes=step_id)
        try:
            _check_versions(opened, journal, made, skip_changed)
        except Stale:
            journal.mark(made.id, "failed", "captions had changed")
            raise
        return _carry_out(opened, journal, made, progress)


def _title_of_undo(step: Step) -> str:
    verb, other = ("Undone", "Done again") if step.what != "undo" else ("Done again", "Undone")
    return f"{verb}: {step.title.removeprefix(f'{other}: ').removeprefix(f'{verb}: ')}"


# --- carrying out ---


def _carry_out(opened: Opened, journal: Journal, step: Step, progress: Progress | None) -> Step:
    root = opened.dataset.path
    many = step.count > 1
    journal.mark(step.id, "applying")
    if many:
        reached("edit.applying")
    lost: dict[str, str] = {}
    count = journal.step(step.id).count
    try:
        for number, change in enumerate(journal.changes(step.id)):
            if progress is not None and number % 500 == 0:
                progress(number, count)
            if read_bytes(root / change.caption) != change.before:
                lost[change.item] = _CHANGED_SINCE
                continue
            _write(root / change.caption, change.after, sync=not many)
        if many:
            _flush()
            reached("edit.written")
    except Exception as error:
        _write_back(root, (each for each in journal.changes(step.id) if each.item not in lost))
        journal.mark(step.id, "failed", str(error))
        raise
    if lost:
        journal.leave_out(step.id, list(lost.items()))
    journal.mark(step.id, "done")
    if many:
        reached("edit.done")
    _enter(opened, journal.changes(step.id))
    return journal.step(step.id)


def finish(library: Library) -> list[str]:
    """Finish what killed processes left half done, for all datasets; sentences about what was done.

    Called where the server starts. A file counts as not yet written when it has the bytes from before, or less of the
    new ones (what a power cut leaves of a file that was not flushed); one with other bytes is somebody else's.
    """
    said = []
    for dataset in library.all():
        journal = Journal(dataset)
        for step in journal.half_done():
            lost: list[tuple[str, str]] = []
            folders: set[Path] = set()
            with exclusive(_lock_file(dataset), wait_seconds=_WAIT_SECONDS):
                for change in journal.changes(step.id):
                    path = dataset.path / change.caption
                    if not path.parent.is_dir():
                        lost.append((change.item, "is gone, and its folder, too"))
                        continue
                    now = read_bytes(path)
                    torn = now is not None and change.after is not None and change.after.startswith(now)
                    if now == change.before or torn:
                        _write(path, change.after, sync=False)
                    elif now != change.after:
                        lost.append((change.item, _CHANGED_SINCE))
                    folders.add(path.parent)
                _flush()
                for folder in filter(Path.is_dir, folders):
                    sweep_temporaries(folder, older_than_seconds=0)
                if lost:
                    journal.leave_out(step.id, lost)
                journal.mark(step.id, "done")
            said.append(f"{dataset.name}: the edit {step.title!r} of {step.count} captions, cut off, was finished.")
    return said


def _write(path: Path, data: bytes | None, *, sync: bool) -> None:
    if data is not None:
        write_atomic(path, data, point="caption", sync=sync)
        return
    reached("caption.before_remove")
    patiently(lambda: path.unlink(missing_ok=True))
    reached("caption.after_remove")
    if sync:
        sync_folder(path.parent)


def _write_back(root: Path, changes: Iterable[CaptionChange]) -> None:
    for change in changes:
        path = root / change.caption
        if read_bytes(path) == change.after:
            _write(path, change.before, sync=False)


def _flush() -> None:
    """Bring all that was written to the disk: one call for any number of files."""
    if hasattr(os, "sync"):
        os.sync()


def _enter(opened: Opened, changes: Iterable[CaptionChange]) -> None:
    """Tell the catalogue what was written. What somebody else writes meanwhile is found by the next look."""
    for change in changes:
        path = opened.dataset.path / change.caption
        if change.after is None or not path.exists():
            opened.set_caption(change.item, NO_CAPTION)
            continue
        status = path.stat()
        reading = read(change.after, path.suffix)
        opened.set_caption(change.item, Caption(change.caption, status.st_size, status.st_mtime_ns, reading))


# --- versions ---


def _check_versions(opened: Opened, journal: Journal, step: Step, skip_changed: bool) -> None:
    """Raise Stale for captions that are not as the step expects; or take them off it."""
    root, count = opened.dataset.path, 0
    changed: list[tuple[str, str]] = []
    first: list[tuple[str, str, str | None, bytes | None]] = []
    for change in journal.changes(step.id):
        now = read_bytes(root / change.caption)
        if now != change.before:
            count += 1
            changed.append((change.item, "has changed since the preview, and was left as it is"))
            if len(first) < SHOWN_DIFFERENCES:
                first.append((change.item, change.caption, _shown(change.before, change.caption), now))
    if not count:
        return
    if skip_changed:
        journal.leave_out(step.id, changed)
        return
    what = "this edit" if step.what == "undo" else "the preview was made"
    raise _stale(first, count, f"since {what}; nothing is written")


def _stale(found: Sequence[tuple[str, str, str | None, bytes | None]], count: int, since: str) -> Stale:
    differences = [
        Difference(item, expected, (now_text := _shown(now, path)), version_of(now), diff(expected, now_text))
        for item, path, expected, now in found
    ]
    which = f"The caption of {found[0][0]} has" if count == 1 else f"{count} captions have"
    return Stale(f"{which} changed {since}.", differences, count)


def _shown(data: bytes | None, path: str) -> str | None:
    return read(data, Path(path).suffix).text


def _caption_path(opened: Opened, number: int) -> str:
    """The caption file of a picture: the one that is there, or that a new one would be."""
    path = opened.catalogue.captions[number].path
    if path is not None and (opened.dataset.path / path).exists():
        return path
    stem = opened.catalogue.paths[number].rpartition(".")[0]
    for extension in opened.settings.extensions:
        if (opened.dataset.path / (stem + extension)).exists():
            return stem + extension
    return stem + opened.settings.caption_extension


def _lock_file(dataset: Dataset) -> Path:
    dataset.state.mkdir(parents=True, exist_ok=True)
    return dataset.state / "lock"


@contextmanager
def _alone(opened: Opened) -> Iterator[None]:
    """Nobody else edits this dataset's captions, in this process or another one, until the block ends."""
    if not opened.editing.acquire(timeout=_WAIT_SECONDS):
        raise UserError(f"Another edit of the captions of {opened.dataset.name!r} is being written; try again soon.")
    try:
        with exclusive(_lock_file(opened.dataset), wait_seconds=_WAIT_SECONDS):
            yield
    finally:
        opened.editing.release()
