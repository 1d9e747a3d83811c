"""How fast a run is, and why it failed in a sentence: for the list of runs. All folders are read again."""

from __future__ import annotations

from sqlalchemy import Connection, text


def apply(connection: Connection) -> None:
    """Add the column, and forget what is known, for the folders say it."""
    connection.execute(text("ALTER TABLE runs ADD COLUMN iterations_per_second REAL"))
    connection.execute(text("DELETE FROM runs"))
