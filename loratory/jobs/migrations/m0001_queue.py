"""Jobs and queues."""

from __future__ import annotations

from sqlalchemy import Connection, text

_STATEMENTS = (
    """CREATE TABLE queues (
        name TEXT PRIMARY KEY,
        paused INTEGER NOT NULL DEFAULT 0
    )""",
    """CREATE TABLE jobs (
        id TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        folder TEXT NOT NULL UNIQUE,
        queue TEXT NOT NULL,
        origin TEXT NOT NULL,
        state TEXT NOT NULL,
        priority INTEGER NOT NULL DEFAULT 0,
        position INTEGER NOT NULL DEFAULT 0,
        not_before TEXT,
        weights_only INTEGER NOT NULL DEFAULT 0,
        created TEXT NOT NULL,
        changed TEXT NOT NULL,
        launched TEXT,
        pid INTEGER,
        began TEXT,
        boot TEXT,
        oom_kills INTEGER,
        stop_asked TEXT,
        cause TEXT
    )""",
    "CREATE INDEX jobs_in_order ON jobs (queue, state, priority DESC, position)",
    "CREATE INDEX jobs_by_state ON jobs (state)",
)


def apply(connection: Connection) -> None:
    """Make the tables."""
    for statement in _STATEMENTS:
        connection.execute(text(statement))
