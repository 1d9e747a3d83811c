"""What a person sees while a job runs: log lines with the time, and one progress bar that does not fight with them.

The same log, with what libraries and subprocesses print, goes to the run's log.txt.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from loratory.secrets import RedactingFormatter

SECONDS_BETWEEN_LINES = 10.0
"""Without a terminal a line is printed so often instead of a moving bar."""


def duration(seconds: float | None) -> str:
    """3725 → 1:02:05; unknown → "?"."""
    if seconds is None:
        return "?"
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, last = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{last:02}" if hours else f"{minutes}:{last:02}"


class _Words(ProgressColumn):
    """The task's own words, such as loss and speed; set by whoever moves the bar."""

    def render(self, task: Any) -> Text:
        return Text(str(task.fields.get("words", "")), style="cyan")


class Show:
    """The terminal. Without one (a pipe, a log of a cluster) progress becomes a line now and then."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._last_line = 0.0
        self._what = ""

    def line(self, text: str, style: str = "") -> None:
        """Print a line above the bar."""
        self.console.print(text, style=style or None, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def progress(self, what: str, total: int, done: int = 0) -> Iterator[Show]:
        """A bar for one phase; move it with `advance_to`."""
        self._what, self._last_line = what, time.monotonic()
        if not self.console.is_terminal:
            yield self
            return
        bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            _Words(),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            refresh_per_second=4,
        )
        with bar:
            self._bar, self._task = bar, bar.add_task(what, total=total, completed=done, words="")
            try:
                yield self
            finally:
                self._bar = self._task = None

    def say(self, words: str) -> None:
        """Tell what goes on meanwhile: beside the bar until it moves again, or as a line now and then."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, words=words)
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            self.line(f"{time.strftime('%H:%M:%S')} {f'{self._what} {words}'.strip()}")

    def advance_to(self, done: int, total: int, words: str = "") -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total, words=words)
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES or (done == total and self._what):
            self._last_line = time.monotonic()
            self.line(f"{time.strftime('%H:%M:%S')} {self._what} {done}/{total} {words}".rstrip())


class _Lines(logging.Handler):
    """Log records as lines above the bar: time, message; warnings and errors in colour.

    A record with `extra={"only_in_files": True}` is left out: its news reaches the terminal in another way.
    """

    def __init__(self, show: Show) -> None:
        super().__init__()
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "only_in_files", False):
            return
        style = "red" if record.levelno >= logging.ERROR else "yellow" if record.levelno >= logging.WARNING else ""
        # On the terminal an error is a sentence; its traceback stands in the log file. (A filter cannot take it away:
        # before Python 3.12 it can only let a record pass or not.)
        record = logging.makeLogRecord(record.__dict__ | {"exc_info": None, "exc_text": None})
        try:
            self._show.line(f"{time.strftime('%H:%M:%S', time.localtime(record.created))} {self.format(record)}", style)
        except Exception:
            self.handleError(record)


def log_to(show: Show, level: str) -> logging.Handler:
    """Send log records to the terminal, with the time in front. Returns the handler."""
    handler = _Lines(show)
    handler.setFormatter(RedactingFormatter("%(message)s"))
    handler.setLevel(level.upper())
    return handler


@contextmanager
def captured_output(show: Show, write: logging.Logger) -> Iterator[None]:
    """Send everything that is printed past the log (libraries, subprocesses, C code) into it, line by line.

    The two standard streams are replaced at the level of the operating system; `show` keeps the real terminal.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    real = {number: os.dup(number) for number in (1, 2)}
    terminal: IO[str] = os.fdopen(os.dup(real[2]), "w", encoding="utf-8", errors="replace", buffering=1)
    former = show.console.file
    show.console.file = terminal
    reading, writing = os.pipe()
    for number in real:
        os.dup2(writing, number)
    os.close(writing)

    def pump() -> None:
        with os.fdopen(reading, "r", encoding="utf-8", errors="replace", newline=None) as lines:
            for line in lines:
                if line.strip():
                    write.debug("%s", line.rstrip())

    thread = threading.Thread(target=pump, name="captured output", daemon=True)
    thread.start()
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, copy in real.items():
            os.dup2(copy, number)
            os.close(copy)
        thread.join(timeout=5)
        show.console.file = former
        terminal.close()
