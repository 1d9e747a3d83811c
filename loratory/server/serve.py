"""Run the server until it is asked to stop: one for each LORATORY_HOME, heard of only once it listens."""

from __future__ import annotations

import errno
import json
import logging
import signal
import socket
import sys
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
import uvicorn
from fastapi import FastAPI

from loratory.errors import UserError
from loratory.files import WINDOWS, declare_points, write_json
from loratory.runs import LockHeld, home, home_folder
from loratory.runs.lock import exclusive
from loratory.secrets import MASK, RedactingFormatter
from loratory.server.access import Token, binds_loopback, find_token
from loratory.server.app import create_app
from loratory.server.context import Options

declare_points("server")

SECONDS_TO_LEAVE = 2
"""For answers that are on their way. An open stream would otherwise keep the process alive."""
LOG_BYTES, LOG_FILES = 5_000_000, 3
_WILDCARDS = ("0.0.0.0", "::")

Say = Callable[[str], None]


class _Server(uvicorn.Server):
    """uvicorn's, which says when it listens and leaves signals that it obeyed alone."""

    def __init__(self, config: uvicorn.Config, on_listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_listening()


def run(options: Options, say: Say, *, open_browser: bool = False) -> int:
    """Serve until a signal comes; then 0. Raises UserError where that is not possible; the sentence says why."""
    options = replace(options, root_path=normal_root(options.root_path))
    token = find_token()
    with _only_one(), _listening(options.host, options.port) as listener:
        port = int(listener.getsockname()[1])
        options = replace(options, port=port, token=token.value)
        with _logging(token.value):
            app = create_app(options)
            asks = not binds_loopback(options.host) or app.state.context.access.ask_on_this_machine
            announcement = _Announcement(options, token if asks else None, say, open_browser)
            return _serve(app, listener, announcement)


class _Announcement:
    """What is said, and left for others, once the server listens. `token`: where it will be asked for."""

    def __init__(self, options: Options, token: Token | None, say: Say, open_browser: bool) -> None:
        self.options, self.token, self.say, self.open_browser = options, token, say, open_browser

    def __call__(self) -> None:
        options = self.options
        here = address(options)
        write_json(note_path(), {"address": here, "host": options.host, "port": options.port}, point="server")
        self.say(f"Loratory is served at {here}")
        if self.token is not None and not self.token.given:
            self.say(f"With its token, for the first visit of each browser: {here}?token={self.token.value}")
        elif self.token is not None:
            self.say("It asks for the token of LORATORY_TOKEN.")
        self.say("Ctrl+C stops it; jobs go on.")
        if self.open_browser:
            webbrowser.open(here)


def _serve(app: FastAPI, listener: socket.socket, announce: Callable[[], None]) -> int:
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, proxy_headers=False, http="httptools",
        timeout_graceful_shutdown=SECONDS_TO_LEAVE,
    )  # fmt: skip
    server = _Server(config, announce)

    def leave(number: int, frame: FrameType | None) -> None:
        # Before uvicorn listens to signals, and once more after it has obeyed one, which is no reason to die of it.
        server.should_exit = True

    before = {each: signal.signal(each, leave) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        server.run(sockets=[listener])
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        note_path().unlink(missing_ok=True)
    return 0 if server.started else 1


def address(options: Options) -> str:
    """Where a browser finds it. For a server that listens everywhere: this machine's address in its network."""
    host = _own_address() if options.host in _WILDCARDS else options.host
    return f"http://{f'[{host}]' if ':' in host else host}:{options.port}{options.root_path}/"


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it only chooses the way that a packet would take
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def normal_root(text: str) -> str:
    """ "/loratory" for "loratory/" and the like; "" for "/". Raises UserError for what can be no such path."""
    root = "/" + text.strip("/") if text.strip("/") else ""
    parts = root.split("/")[1:]
    if any(not part or part in (".", "..") or not all(c.isalnum() or c in "-._~" for c in part) for part in parts):
        raise UserError(f"--root-path {text} is no path such as /loratory; take letters, digits, - . _ ~ and slashes.")
    if parts and parts[0] in ("api", "assets"):
        raise UserError(f"--root-path {text} is in the way of Loratory's own paths; take another, such as /loratory.")
    return root


# One server for each home


def note_path() -> Path:
    """Where the server that works with this home says what its address is. Not there while there is none."""
    return home_folder("state") / "server.json"


@contextmanager
def _only_one() -> Iterator[None]:
    lock = exclusive(home_folder("state") / "server.lock")
    try:
        lock.__enter__()
    except LockHeld as error:
        process = f"process {error.holder.pid}" if error.holder else "another process"
        raise UserError(
            f"A server for {home()} is running already{_where()} ({process}); use that one, stop it, or set "
            "LORATORY_HOME to another folder."
        ) from error
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def _where() -> str:
    try:
        return f" at {json.loads(note_path().read_text(encoding='utf-8'))['address']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # it has not said so yet


# The socket


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket at this address, before anything else is begun. Raises UserError."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise UserError(f"--host {host} is no address of this machine ({error}); take 127.0.0.1 or 0.0.0.0.") from error
    with socket.socket(family, kind, protocol) as listener:
        if not WINDOWS:  # there it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(where)
            listener.listen(128)
        except OSError as error:
            raise UserError(_cannot_listen(host, port, error)) from error
        yield listener


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} is taken{_holder(port)}; take another one, such as --port {port + 1 if port < 65535 else 0}."
        )
    if error.errno == errno.EACCES:
        return f"Port {port} may not be used by you; take one above 1023, such as --port 8675."
    return f"{host}:{port} cannot be listened at ({error.strerror}); take --host 127.0.0.1, or 0.0.0.0 for all."


def _holder(port: int) -> str:
    """Which process listens at a port, as far as the system tells."""
    try:
        found = [each.pid for each in psutil.net_connections("tcp")
                 if each.status == psutil.CONN_LISTEN and each.laddr.port == port and each.pid]  # fmt: skip
        return f" by process {found[0]} ({psutil.Process(found[0]).name()})" if found else ""
    except psutil.Error:
        return ""  # only for administrators, on some systems


# Logs


class _Formatter(RedactingFormatter):
    """Without this server's own token, too."""

    def __init__(self, token: str) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._token = token

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace(self._token, MASK)


class _LogFile(RotatingFileHandler):
    """A log that stops nothing when it cannot be written: the work is worth more."""

    def handleError(self, record: logging.LogRecord) -> None:
        error: Any = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)


def _is_no_false_alarm(record: logging.LogRecord) -> bool:
    """uvicorn takes every socket that was refused with an answer for one that was left half open."""
    return record.msg != "ASGI callable returned without completing handshake."


@contextmanager
def _logging(token: str) -> Iterator[None]:
    """Everything from INFO on goes into `state/server.log`, warnings to the terminal, too."""
    path = home_folder("state") / "server.log"
    try:
        file = _LogFile(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8")
    except OSError as error:
        raise UserError(f"The log {path} cannot be written ({error.strerror}); make the file yours.") from error
    terminal = logging.StreamHandler()
    terminal.setLevel(logging.WARNING)
    root, level = logging.getLogger(), logging.getLogger().level
    for handler in (file, terminal):
        handler.setFormatter(_Formatter(token))
        root.addHandler(handler)
    root.setLevel(logging.INFO)
    uvicorns = logging.getLogger("uvicorn.error")
    uvicorns.addFilter(_is_no_false_alarm)
    try:
        yield
    finally:
        root.setLevel(level)
        uvicorns.removeFilter(_is_no_false_alarm)
        for handler in (file, terminal):
            root.removeHandler(handler)
            handler.close()
