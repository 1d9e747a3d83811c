"""The queue's SQLite file: opening it, and lifting it to the newest form by numbered migrations.

It holds nothing that the run folders and settings do not know, but for the order of what waits.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DatabaseError

from loratory.errors import UserError
from loratory.jobs import migrations
from loratory.runs import home_folder

BUSY_SECONDS = 10


def open_database(path: Path) -> Engine:
    """The database at `path`, made or lifted if need be. Raises UserError for one that is damaged or of a newer
    Loratory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def _settings(connection: Any, _: object) -> None:
        # SQLAlchemy begins transactions itself; the driver's own way would commit before changes of tables.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get("reads", False)
        # Writers wait in line at the beginning: one that had read first could not go on behind another's change.
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    try:
        _lift(engine, path)
    except DatabaseError as error:
        engine.dispose()
        raise UserError(
            f"{path} cannot be read as the queue's database ({error.orig}); move it away and run `loratory jobs "
            "reindex`: all runs are in their folders, only the order of what waits is lost."
        ) from error
    return engine


def database_path() -> Path:
    """Where the queue of this home is."""
    return home_folder("state") / "queue.db"


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection that sees one moment of the database and holds up no writer."""
    with engine.connect().execution_options(reads=True) as connection:
        yield connection


def steps() -> list[tuple[int, Callable[[Connection], None]]]:
    """The migrations, by number: each module `m<number>_<name>` has a function `apply(connection)`."""
    names = sorted(found.name for found in pkgutil.iter_modules(migrations.__path__))
    return [(int(name[1:5]), importlib.import_module(f"{migrations.__name__}.{name}").apply) for name in names]


def _lift(engine: Engine, path: Path) -> None:
    with engine.begin() as connection:
        version = connection.execute(text("PRAGMA user_version")).scalar_one()
        known = steps()
        newest = max((number for number, _ in known), default=0)
        if version > newest:
            raise UserError(f"{path} is of a newer Loratory (form {version}, this one knows {newest}); update first.")
        for number, apply in known:
            if number > version:
                apply(connection)
                connection.execute(text(f"PRAGMA user_version = {number}"))
