"""The index of all runs in the database: what their folders say, read again only where something has changed.

The folders are the truth. The index may be thrown away at any time: `rebuild` makes it anew.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from sqlalchemy import Connection, Engine, RowMapping, text

from loratory.errors import UserError
from loratory.jobs.facts import Facts, facts_of, stamp
from loratory.runs import ACTIVE_STATES, known_runs, read_status
from loratory.runs.status import read_status_file

log = logging.getLogger(__name__)

SortKey = Literal[
    "created",
    "updated",
    "name",
    "state",
    "step",
    "loss",
    "validation_loss",
    "bytes",
    "architecture",
    "iterations_per_second",
]
_NAMES = tuple(each.name for each in fields(Facts))
_COLUMNS = (*_NAMES, "search", "stamp")
_INSERT = text(
    f"INSERT OR REPLACE INTO runs ({', '.join(_COLUMNS)}) VALUES ({', '.join(f':{name}' for name in _COLUMNS)})"
)


class UnknownRun(UserError):
    """There is no run of this id."""

    code = "unknown_run"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"There is no run {run_id[:40]!r}; it was deleted, or moved to where Loratory does not look.")


@dataclass(frozen=True, slots=True)
class Query:
    """Which runs, in which order. Empty filters let everything through."""

    states: Sequence[str] = ()
    search: str = ""
    """Words that all must occur, in whatever case, in the name, architecture, network, notes or tags."""
    tags: Sequence[str] = ()
    """All of them."""
    sort: SortKey = "created"
    descending: bool = True
    offset: int = 0
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Changes:
    """What a refresh found: runs that are new or say something else than before, and ids of those that are gone."""

    changed: list[Facts] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)


class Index:
    """Reads and refreshes the table; any thread may call it."""

    def __init__(self, engine: Engine, tell: Callable[[Changes], None] = lambda changes: None) -> None:
        """`tell` is called with what a refresh has found, whoever asked for it."""
        self._engine, self._tell = engine, tell
        self._lock = threading.Lock()
        self._said: set[str] = set()

    def refresh(self) -> Changes:
        """Read again what has changed since the last time: new runs, new states, moved and deleted folders."""
        with self._lock:
            return self._refresh()

    def rebuild(self) -> int:
        """Forget everything and read all run folders. Returns how many there are."""
        with self._lock:
            with self._engine.begin() as connection:
                connection.execute(text("DELETE FROM runs"))
            return len(self._refresh().changed)

    def _refresh(self) -> Changes:
        with self._engine.begin() as connection:
            rows = {
                row.path: row for row in connection.execute(text("SELECT id, path, state, stamp, updated FROM runs"))
            }
        # No folder is read while the database is held.
        present: dict[str, str] = {}
        stamps: dict[str, str] = {}
        stale: list[Path] = []
        for path in known_runs():
            now, row = stamp(path), rows.get(str(path))
            if now is None:
                continue
            if row is not None and row.stamp == now and not _has_died(path, row.state):
                present[row.id] = row.path
            else:
                stamps[str(path)] = now
                stale.append(path)
        changed = []
        for path in sorted(stale, key=lambda path: str(path) not in rows):
            facts = self._read(path, present)
            if facts is not None:
                present[facts.id] = facts.path
                changed.append(facts)
        gone = sorted({row.id for row in rows.values()} - present.keys())
        with self._engine.begin() as connection:
            for run_id in (*gone, *(facts.id for facts in changed)):
                connection.execute(text("DELETE FROM runs WHERE id = :id"), {"id": run_id})
            for facts in changed:
                connection.execute(_INSERT, _row(facts, stamps[facts.path]))
        changes = Changes(changed, gone)
        if changed or gone:
            self._tell(changes)
        return changes

    def _read(self, path: Path, present: Mapping[str, str]) -> Facts | None:
        try:
            # A copied folder is the same run: the one that was there first stands for it.
            return None if read_status_file(path).id in present else facts_of(path)
        except (UserError, OSError) as error:
            # One damaged folder must not hide the others; it is said once, and again when it says something else.
            if str(error) not in self._said:
                self._said.add(str(error))
                log.warning("A run is left out of the list: %s", error)
            return None

    def find(self, run_id: str) -> Path:
        """The folder of a run, wherever it is now. Raises UnknownRun."""
        path = self._path(run_id)
        if path is None or not _is_run(path, run_id):
            self.refresh()
            path = self._path(run_id)
        if path is None:
            raise UnknownRun(run_id)
        return path

    def _path(self, run_id: str) -> Path | None:
        with self._engine.begin() as connection:
            found = connection.execute(text("SELECT path FROM runs WHERE id = :id"), {"id": run_id}).scalar()
        return None if found is None else Path(found)

    def get(self, run_id: str) -> Facts:
        """What the index says of one run. Raises UnknownRun."""
        with self._engine.begin() as connection:
            row = connection.execute(text("SELECT * FROM runs WHERE id = :id"), {"id": run_id}).mappings().first()
        if row is None:
            raise UnknownRun(run_id)
        return _facts(row)

    def list(self, query: Query) -> tuple[list[Facts], int]:
        """The runs of a page, and how many there are on all pages."""
        where, values = _where(query)
        order = f"{query.sort} {'DESC' if query.descending else 'ASC'} NULLS LAST, id DESC"
        assert query.sort in get_args(SortKey)
        with self._engine.begin() as connection:
            total = connection.execute(text(f"SELECT COUNT(*) FROM runs WHERE {where}"), values).scalar_one()
            rows = connection.execute(
                text(f"SELECT * FROM runs WHERE {where} ORDER BY {order} LIMIT :limit OFFSET :offset"),
                values | {"limit": query.limit, "offset": query.offset},
            ).mappings()
            return [_facts(row) for row in rows], total

    def tags(self) -> dict[str, int]:
        """Every tag in use, and of how many runs, the most used first."""
        return self._count("SELECT value, COUNT(*) FROM runs, json_each(runs.tags) GROUP BY value ORDER BY 2 DESC, 1")

    def states(self) -> dict[str, int]:
        """How many runs are in each state."""
        return self._count("SELECT state, COUNT(*) FROM runs GROUP BY state ORDER BY 2 DESC, 1")

    def _count(self, statement: str) -> dict[str, int]:
        with self._engine.begin() as connection:
            return _pairs(connection, statement)


def _pairs(connection: Connection, statement: str) -> dict[str, int]:
    return {row[0]: row[1] for row in connection.execute(text(statement))}


def _has_died(path: Path, state: str) -> bool:
    """The one thing that a run's files do not say: that nobody works on it any more, or somebody again."""
    try:
        return state in ACTIVE_STATES and read_status(path).state != state
    except UserError:
        return True  # it changes at this instant: look again


def _is_run(path: Path, run_id: str) -> bool:
    try:
        return read_status_file(path).id == run_id
    except UserError:
        return False


def _row(facts: Facts, stamp: str) -> dict[str, Any]:
    words = [facts.name, facts.architecture or "", facts.network or "", facts.notes, *facts.tags]
    return asdict(facts) | {
        "tags": json.dumps(facts.tags, ensure_ascii=False), "search": "\n".join(words).casefold(), "stamp": stamp,
    }  # fmt: skip


def _facts(row: RowMapping) -> Facts:
    return Facts(**{name: row[name] for name in _NAMES} | {"tags": json.loads(row["tags"])})


def _where(query: Query) -> tuple[str, dict[str, Any]]:
    clauses = ["1"]
    values: dict[str, Any] = {}
    if query.states:
        values |= {f"state{number}": state for number, state in enumerate(query.states)}
        clauses.append(f"state IN ({', '.join(f':state{number}' for number in range(len(query.states)))})")
    for number, word in enumerate(query.search.casefold().split()):
        values[f"word{number}"] = word
        clauses.append(f"instr(search, :word{number}) > 0")
    for number, tag in enumerate(query.tags):
        values[f"tag{number}"] = tag
        clauses.append(f"EXISTS (SELECT 1 FROM json_each(runs.tags) WHERE value = :tag{number})")
    return " AND ".join(clauses), values
