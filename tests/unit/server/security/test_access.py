"""The token, the cookie that stands for it, and wrong ones."""

import hashlib
import hmac
import os
import time

import pytest

from loratory.errors import UserError
from loratory.server import access
from loratory.server.access import Attempts, Gate, find_token, token_path

TOKEN = "a-token-of-some-length"


def test_a_given_token_is_taken_out_of_the_environment(loratory_home, monkeypatch):
    monkeypatch.setenv("LORATORY_TOKEN", f" {TOKEN}\n")
    found = find_token()
    assert (found.value, found.given) == (TOKEN, True)
    assert "LORATORY_TOKEN" not in os.environ, "engines would inherit it"
    assert TOKEN not in repr(found)
    assert not token_path().exists()


def test_a_made_token_is_kept_for_its_owner_only(loratory_home, monkeypatch):
    monkeypatch.delenv("LORATORY_TOKEN", raising=False)
    first = find_token()
    assert not first.given
    assert len(first.value) >= 40
    assert find_token() == first
    if os.name == "posix":
        assert token_path().stat().st_mode & 0o077 == 0
    token_path().unlink()
    assert find_token().value != first.value


@pytest.mark.parametrize("bad", ["short", "x" * 11, "two words, not one", "ünïcode-token-long", "x" * 600, "a\tb" * 9])
def test_a_bad_token_is_refused_without_being_told(loratory_home, monkeypatch, bad):
    monkeypatch.setenv("LORATORY_TOKEN", bad)
    with pytest.raises(UserError, match="LORATORY_TOKEN") as error:
        find_token()
    assert bad not in str(error.value)


def test_a_damaged_token_file_is_said(loratory_home, monkeypatch):
    monkeypatch.delenv("LORATORY_TOKEN", raising=False)
    token_path().write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="delete it"):
        find_token()


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.0.0.2", True), ("localhost", True), ("::1", True), ("[::1]", True), ("LocalHost", True),
     ("0.0.0.0", False), ("::", False), ("", False), ("192.168.1.2", False), ("box.lan", False)],
)  # fmt: skip
def test_binds(host, loopback):
    assert access.binds_loopback(host) is loopback


def test_the_token_and_nothing_else_opens():
    gate = Gate(TOKEN)
    assert gate.is_token(TOKEN, "p")
    for wrong in ("", TOKEN[:-1], TOKEN + " ", TOKEN.upper(), "\udcff", "é", "None"):
        assert not gate.is_token(wrong, "p")


def test_without_a_token_nothing_opens():
    gate = Gate(None)
    assert not any(gate.is_token(given, "p") for given in ("", "None", TOKEN))
    assert not gate.is_session(gate.new_session(60))


def test_sessions_end_and_cannot_be_forged(monkeypatch):
    gate = Gate(TOKEN)
    session = gate.new_session(60)
    assert gate.is_session(session)
    until, _, signature = session.partition(".")
    later = str(int(until) + 10_000)
    forged = [f"{later}.{signature}", f"{until}.{'0' * 64}", until, f".{signature}", f"{until}.", "", "a.b",
              f"-{session}", f"{until}.{signature}x", f"{'9' * 5000}.{signature}", f"٣.{signature}",
              f"{until}.\udcff",
              f"{later}.{hmac.new(b'', later.encode(), 'sha256').hexdigest()}",
              f"{later}.{hashlib.sha256(TOKEN.encode()).hexdigest()}"]  # fmt: skip
    assert [value for value in forged if gate.is_session(value)] == []
    assert not Gate(TOKEN + "2").is_session(session), "a new token ends all sessions"
    assert TOKEN not in session + gate.cookie
    now = time.time()
    monkeypatch.setattr(access.time, "time", lambda: now + 61)
    assert not gate.is_session(session)


def test_servers_of_one_host_have_cookies_of_their_own():
    assert Gate(TOKEN).cookie != Gate(TOKEN + "2").cookie


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_one_peer_may_try_ten_times_in_five_minutes():
    clock = Clock()
    attempts = Attempts(clock)
    for number in range(10):
        assert attempts.seconds_to_wait("a") == 0, number
        attempts.wrong("a")
        clock.now += 1
    assert attempts.seconds_to_wait("a") == 290, "until the first of the ten is five minutes old"
    assert attempts.seconds_to_wait("b") == 0
    clock.now += 290
    assert attempts.seconds_to_wait("a") == 0
    attempts.wrong("a")
    assert attempts.seconds_to_wait("a") == 1


def test_all_together_may_try_a_hundred_times_and_who_knows_it_is_not_held_up():
    attempts = Attempts(Clock())
    attempts.right("friend")
    for number in range(100):
        assert attempts.seconds_to_wait("new") == 0
        attempts.wrong(f"{number}")
    assert attempts.seconds_to_wait("new") == 300
    assert attempts.seconds_to_wait("friend") == 0


def test_what_is_remembered_of_peers_is_bounded():
    attempts = Attempts(Clock())
    for number in range(3000):
        attempts.wrong(f"w{number}")
        attempts.right(f"r{number}")
    assert len(attempts._of) <= 1000
    assert len(attempts._known) <= 1000
    assert len(attempts._all) <= 100
