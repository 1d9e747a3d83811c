"""What was done to a dataset's captions: who, when, and the bytes before and after, in one SQLite file.

It is the history that people read, what undo needs, and the journal by which an edit that a killed process left half
done is finished. Steps are added and marked, and no content is ever changed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from loratory.datasets.errors import NotThere
from loratory.datasets.library import Dataset
from loratory.errors import UserError
from loratory.runs import new_ulid, utc_now

What = Literal["edit", "bulk", "undo", "restore"]
State = Literal["planned", "applying", "done", "failed"]

FILE = "edits.sqlite"
SYNCHRONOUS = "FULL"
"""What is said to be written is on the disk."""
_VERSION = 1
_PLANS_KEPT = 5
_BUSY_SECONDS = 10
_TABLES = """
CREATE TABLE steps (
    id TEXT PRIMARY KEY, time TEXT NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL, title TEXT NOT NULL,
    state TEXT NOT NULL, count INTEGER NOT NULL, undoes TEXT, undone_by TEXT, problem TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE TABLE changes (
    step TEXT NOT NULL, number INTEGER NOT NULL, item TEXT NOT NULL, caption TEXT NOT NULL, before BLOB, after BLOB,
    PRIMARY KEY (step, number)
) WITHOUT ROWID;
CREATE INDEX changes_by_item ON changes (item);
CREATE TABLE left_out (
    step TEXT NOT NULL, number INTEGER NOT NULL, item TEXT NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (step, number)
) WITHOUT ROWID;
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_STEP = "id, time, who, what, title, state, count, undoes, undone_by, problem"


@dataclass(frozen=True, slots=True)
class Step:
    """One edit of one or many captions. `title` says what it was, `undoes` and `undone_by` are ids of other steps."""

    id: str
    time: str
    who: str
    what: What
    title: str
    state: State
    count: int
    undoes: str | None
    undone_by: str | None
    problem: str


@dataclass(frozen=True, slots=True)
class CaptionChange:
    """One caption file of a step. Bytes are None where there is no file."""

    item: str
    caption: str
    before: bytes | None
    after: bytes | None


class Journal:
    """The journal of one dataset. Each call opens the file for itself, so that threads need not know of each other."""

    def __init__(self, dataset: Dataset) -> None:
        self._path = dataset.state / FILE
        self._folder = dataset.path

    def exists(self) -> bool:
        """Has anything ever been edited?"""
        return self._path.is_file()

    def add(self, what: What, who: str, title: str, changes: Iterable[CaptionChange], *, undoes: str | None = None,
            left_out: Sequence[tuple[str, str]] = ()) -> Step:  # fmt: skip
        """Write down what is to be done. Nothing is done yet. Plans that nobody carried out are forgotten in time."""
        identifier, count = new_ulid(), 0
        with self._open(write=True) as database:
            self._forget_plans(database)
            for change in changes:
                row = (identifier, count, change.item, change.caption, change.before, change.after)
                database.execute("INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?)", row)
                count += 1
            rows = [(identifier, number, item, reason) for number, (item, reason) in enumerate(left_out)]
            database.executemany("INSERT INTO left_out VALUES (?, ?, ?, ?)", rows)
            step = (identifier, utc_now(), who, what, title, "planned", count, undoes, None, "")
            database.execute(f"INSERT INTO steps ({_STEP}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", step)
            database.execute("INSERT OR REPLACE INTO facts VALUES ('folder', ?)", (str(self._folder),))
        return self.step(identifier)

    def mark(self, identifier: str, state: State, problem: str = "") -> None:
        """Say how far a step is; it is on the disk when this returns. A step that is done may undo another one."""
        with self._open(write=True) as database:
            database.execute("UPDATE steps SET state = ?, problem = ? WHERE id = ?", (state, problem, identifier))
            if state == "done":
                database.execute(
                    "UPDATE steps SET undone_by = ? WHERE id = (SELECT undoes FROM steps WHERE id = ?)",
                    (identifier, identifier),
                )

    def leave_out(self, identifier: str, items: Sequence[tuple[str, str]]) -> None:
        """Note changes of a step that are not carried out after all, with the reason, and forget them."""
        with self._open(write=True) as database:
            known = database.execute("SELECT count(*) FROM left_out WHERE step = ?", (identifier,)).fetchone()[0]
            rows = [(identifier, known + number, item, reason) for number, (item, reason) in enumerate(items)]
            database.executemany("INSERT INTO left_out VALUES (?, ?, ?, ?)", rows)
            names = [(identifier, item) for item, _ in items]
            database.executemany("DELETE FROM changes WHERE step = ? AND item = ?", names)
            database.execute(
                "UPDATE steps SET count = (SELECT count(*) FROM changes WHERE step = ?) WHERE id = ?",
                (identifier, identifier),
            )

    def step(self, identifier: str) -> Step:
        """One step. Raises NotThere."""
        for row in self._rows(f"SELECT {_STEP} FROM steps WHERE id = ?", (identifier,)):
            return Step(*row)
        raise NotThere(f"There is no edit {identifier} of this dataset's captions; old previews are forgotten.")

    def steps(self, limit: int = 100, before: str | None = None) -> list[Step]:
        """What was done, newest first; `before` is the id of the last one seen."""
        return [Step(*row) for row in self._rows(
            f"SELECT {_STEP} FROM steps WHERE state != 'planned' AND id < ? ORDER BY id DESC LIMIT ?",
            (before or "~", limit),
        )]  # fmt: skip

    def half_done(self) -> list[Step]:
        """Steps that were being carried out when a process died."""
        return [Step(*row) for row in self._rows(f"SELECT {_STEP} FROM steps WHERE state = 'applying' ORDER BY id")]

    def changes(self, identifier: str, offset: int = 0, limit: int = -1) -> Iterator[CaptionChange]:
        """The changes of a step, in order."""
        # By the number and not by OFFSET, which would count through all that came before.
        for row in self._rows(
            "SELECT item, caption, before, after FROM changes WHERE step = ? ORDER BY number LIMIT ? OFFSET ?",
            (identifier, limit, offset),
        ):
            yield CaptionChange(*row)

    def left_out(self, identifier: str, limit: int = 100) -> tuple[int, list[tuple[str, str]]]:
        """How many pictures a step leaves out, and the first of them with the reasons."""
        count = next(self._rows("SELECT count(*) FROM left_out WHERE step = ?", (identifier,)), (0,))[0]
        rows = self._rows("SELECT item, reason FROM left_out WHERE step = ? ORDER BY number LIMIT ?",
                          (identifier, limit))  # fmt: skip
        return count, [(item, reason) for item, reason in rows]

    def of_item(self, item: str, limit: int = 100) -> list[tuple[Step, CaptionChange]]:
        """What was done to one picture's caption, newest first."""
        rows = self._rows(
            f"SELECT {', '.join(f's.{name}' for name in _STEP.split(', '))}, c.item, c.caption, c.before, c.after "
            "FROM changes c JOIN steps s ON s.id = c.step WHERE c.item = ? AND s.state = 'done' "
            "ORDER BY c.step DESC LIMIT ?",
            (item, limit),
        )
        return [(Step(*row[:10]), CaptionChange(*row[10:])) for row in rows]

    def _forget_plans(self, database: sqlite3.Connection) -> None:
        old = database.execute(
            "SELECT id FROM steps WHERE state = 'planned' ORDER BY id DESC LIMIT -1 OFFSET ?", (_PLANS_KEPT - 1,)
        ).fetchall()
        for table, key in (("changes", "step"), ("left_out", "step"), ("steps", "id")):
            database.executemany(f"DELETE FROM {table} WHERE {key} = ?", old)

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        if not self.exists():
            return
        with self._open() as database:
            yield from database.execute(sql, values)

    @contextmanager
    def _open(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)) as database:
                database.execute("PRAGMA journal_mode = WAL")
                database.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
                self._prepare(database)
                if not write:
                    yield database
                    return
                database.execute("BEGIN IMMEDIATE")
                try:
                    yield database
                except BaseException:
                    database.execute("ROLLBACK")
                    raise
                database.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            raise UserError(
                f"The history {self._path} cannot be used ({error}); free some space, or move it away: captions are in "
                "their own files, only undo is lost."
            ) from error

    def _prepare(self, database: sqlite3.Connection) -> None:
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version > _VERSION:
            raise UserError(f"The history {self._path} is of a newer Loratory; update first.")
        if version == 0:
            database.execute("BEGIN EXCLUSIVE")
            if database.execute("PRAGMA user_version").fetchone()[0] == 0:
                for statement in filter(str.strip, _TABLES.split(";")):
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {_VERSION}")
            database.execute("COMMIT")
