"""The index of all runs: what a list of them shows, so that no folder has to be read for it."""

from __future__ import annotations

from sqlalchemy import Connection, text


def apply(connection: Connection) -> None:
    """Make the table. `stamp` says which files a row was made from; `tags` is a JSON list."""
    connection.execute(
        text("""
            CREATE TABLE runs (
                id TEXT PRIMARY KEY,
                path TEXT NOT NULL UNIQUE,
                name TEXT NOT NULL,
                state TEXT NOT NULL,
                created TEXT NOT NULL,
                updated TEXT NOT NULL,
                started TEXT,
                step INTEGER,
                total_steps INTEGER,
                epoch INTEGER,
                architecture TEXT,
                network TEXT,
                loss REAL,
                validation_loss REAL,
                error TEXT,
                sample TEXT,
                samples INTEGER NOT NULL,
                exports INTEGER NOT NULL,
                bytes INTEGER,
                notes TEXT NOT NULL,
                tags TEXT NOT NULL,
                search TEXT NOT NULL,
                stamp TEXT NOT NULL
            )
        """)
    )
