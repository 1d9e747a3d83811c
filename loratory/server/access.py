"""Who is let in: the server's token, the cookie that stands for it, and how many wrong ones are borne."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from loratory.errors import UserError
from loratory.files import declare_points, write_private
from loratory.runs import home_folder
from loratory.server.origins import is_loopback

declare_points("access")

log = logging.getLogger(__name__)

VARIABLE = "LORATORY_TOKEN"
SHORTEST, LONGEST = 12, 512
LOGIN = "/api/auth/login"
"""The one route that is reached without a token."""

How = Literal["open", "cookie", "bearer", "none"]
"""What let a request in. `none`: nothing did; only logging in is possible with that."""

WINDOW_SECONDS = 300.0
WRONG_FROM_ONE = 10
WRONG_FROM_ALL = 100
_REMEMBERED = 1000


@dataclass(frozen=True)
class Token:
    """The server's token. `given`: by its user, who knows it; else it was made here and must be shown."""

    value: str = field(repr=False)
    given: bool


def token_path() -> Path:
    """The file that holds the token that was made here; only its owner may read it."""
    return home_folder("state") / "token"


def find_token() -> Token:
    """The token of LORATORY_TOKEN, else the one that was made here before, else a new one, which is kept.

    The variable is taken out of the environment: engines and what they start must not know it. Raises UserError.
    """
    given = os.environ.pop(VARIABLE, "").strip()
    if given:
        _check(given, VARIABLE)
        return Token(given, given=True)
    path = token_path()
    try:
        kept = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        kept = secrets.token_urlsafe(32)
        write_private(path, kept + "\n", "access")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}); delete it, and a new token will be made.") from error
    _check(kept, str(path))
    return Token(kept, given=False)


def _check(token: str, where: str) -> None:
    if not SHORTEST <= len(token) <= LONGEST or not token.isascii() or not token.isprintable() or " " in token:
        raise UserError(
            f"What {where} holds is no good token: take {SHORTEST} to {LONGEST} letters, digits and signs, no spaces."
        )


def binds_loopback(host: str) -> bool:
    """Can only this machine reach an address that the server listens at?"""
    return is_loopback(host.strip("[]").lower())


class Attempts:
    """Wrong tokens of the last minutes: from one peer few are borne, from all together some.

    A peer that showed the right one of late is not held up by what others do.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # the guard asks in the loop, the login in a thread
        self._of: OrderedDict[str, deque[float]] = OrderedDict()
        self._all: deque[float] = deque(maxlen=WRONG_FROM_ALL)
        self._known: OrderedDict[str, None] = OrderedDict()

    def seconds_to_wait(self, peer: str) -> int:
        """0 where it may try."""
        now = self._clock()
        with self._lock:
            mine = self._of.get(peer)
            limits = [(mine, WRONG_FROM_ONE)] if mine else []
            if peer not in self._known:
                limits.append((self._all, WRONG_FROM_ALL))
            waits = [times[-most] + WINDOW_SECONDS - now for times, most in limits if len(times) >= most]
        return max(0, int(max(waits, default=0.0) + 0.999))

    def wrong(self, peer: str) -> None:
        """One more."""
        now = self._clock()
        with self._lock:
            self._all.append(now)
            self._of.setdefault(peer, deque(maxlen=WRONG_FROM_ONE)).append(now)
            self._of.move_to_end(peer)
            self._known.pop(peer, None)
            while len(self._of) > _REMEMBERED:
                self._of.popitem(last=False)

    def right(self, peer: str) -> None:
        """It knows the token."""
        with self._lock:
            self._of.pop(peer, None)
            self._known[peer] = None
            self._known.move_to_end(peer)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)


class Gate:
    """Compares what is shown with the token. Without a token nobody is let in who has to show one."""

    def __init__(self, token: str | None, attempts: Attempts | None = None) -> None:
        self._token = None if token is None else hashlib.sha256(token.encode()).digest()
        # Cookies of one host are sent to all its ports: the name keeps several servers apart.
        self.cookie = f"loratory_{self._sign('name')[:10]}"
        self.attempts = attempts or Attempts()

    def is_token(self, given: str, peer: str) -> bool:
        """Is it the token? Wrong ones are counted. Ask `attempts.seconds_to_wait` before."""
        digest = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
        right = self._token is not None and hmac.compare_digest(digest, self._token)
        (self.attempts.right if right else self.attempts.wrong)(peer)
        if not right:
            log.info("a wrong token from %r", peer)
        return right

    def new_session(self, seconds: int) -> str:
        """What the cookie holds: until when it is good, signed. Another token makes all of them worthless."""
        until = str(int(time.time()) + seconds)
        return f"{until}.{self._sign(until)}"

    def is_session(self, value: str) -> bool:
        """Was it made here, with this token, and is it still good?"""
        until, _, signature = value.partition(".")
        if self._token is None or not until.isascii() or not until.isdigit() or len(until) > 12:
            return False
        right = hmac.compare_digest(signature.encode("utf-8", "surrogateescape"), self._sign(until).encode())
        return right and int(until) > time.time()

    def _sign(self, text: str) -> str:
        return hmac.new(self._token or b"", f"loratory session {text}".encode(), "sha256").hexdigest()
