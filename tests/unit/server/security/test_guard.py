"""Every route of the server, asked without a token, through forged proxies, from other sites and with paths that lead
out: routes that are added join by themselves."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi import WebSocket

from loratory.server.access import LOGIN
from loratory.server.app import create_app
from loratory.server.context import Options
from tests.server_routes import SOCKET, Client, Route, all_routes, ask_raw, status_of
from tests.unit.server.security.test_origins import FOREIGN, SIGNS

TOKEN = "a-token-of-some-length"
LOCAL = "http://127.0.0.1:8675"
WRONG = {"token": "not-the-token-at-all"}


@contextmanager
def served(host: str = "127.0.0.1", address: str = LOCAL, **options) -> Iterator[Client]:
    """A server with one more route, a socket, so that there is one in any case."""
    app = create_app(Options(host=host, token=TOKEN, **options))

    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close()

    app.router.add_api_websocket_route("/api/echo", echo)
    # Whatever answers everything stands last, and must not take its place.
    app.router.routes.insert(0, app.router.routes.pop())
    with Client(app, base_url=address) as client:
        yield client


@pytest.fixture(autouse=True)
def home(loratory_home, monkeypatch) -> Path:
    """No engine starts, whatever is asked for; and nobody is made to wait, unless a test is about that."""
    monkeypatch.setattr("loratory.server.machine.sys.executable", "/bin/true")
    monkeypatch.setattr("loratory.server.access.WRONG_FROM_ONE", 10**9)
    monkeypatch.setattr("loratory.server.access.WRONG_FROM_ALL", 10**9)
    return loratory_home


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Iterator[Client]:
    """One server for all who are refused: they change nothing."""
    yield from lasting(tmp_path_factory, "127.0.0.1")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory) -> Iterator[Client]:
    """The same on all addresses."""
    yield from lasting(tmp_path_factory, "0.0.0.0")


def lasting(tmp_path_factory: pytest.TempPathFactory, host: str) -> Iterator[Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORATORY_HOME", str(tmp_path_factory.mktemp("home")))
        with served(host) as client:
            yield client


def routes(client: Client) -> list[Route]:
    found = list(all_routes(client.app))
    assert len(found) > 12, "where are the routes?"
    assert Route(SOCKET, "/api/echo") in found
    return found


def answers(client: Client, headers: dict[str, str] | None = None, share: Share | None = None) -> dict[str, int]:
    asked = routes(client) if share is None else share.of(routes(client), str(headers))
    return {str(route): status_of(client, route, route.at(), headers, WRONG) for route in asked}


@dataclass(frozen=True)
class Share:
    """One part in `parts` of the routes, another one for each request that is tried on them."""

    parts: int

    def of(self, found: Sequence[Any], salt: str) -> list[Any]:
        return list(found[zlib.crc32(salt.encode()) % self.parts :: self.parts])


@pytest.fixture(params=[pytest.param(Share(8), id="some"), pytest.param(Share(1), id="every", marks=pytest.mark.full)])
def share(request: pytest.FixtureRequest) -> Share:
    """Every route is asked in some ways always, and in all ways in the full run."""
    assert isinstance(request.param, Share)
    return request.param


def only(status: int, found: dict[str, int]) -> None:
    assert {route: each for route, each in found.items() if each != status} == {}


EVERYWHERE = ["0.0.0.0", "::", "192.168.1.2", "box.lan", ""]


@pytest.mark.parametrize("host", EVERYWHERE)
def test_on_other_addresses_every_route_wants_the_token(host, share):
    with served(host) as client:
        only(401, answers(client, share=None if host == EVERYWHERE[0] else share))


@pytest.mark.parametrize("address", ["http://lora.example.org", "http://192.168.1.2:8675", "https://lora.example.org"])
def test_on_other_addresses_by_any_name(address, share):
    with served("0.0.0.0", address) as client:
        only(401, answers(client, share=share))


@pytest.mark.parametrize("sign", SIGNS, ids=str)
def test_here_every_route_wants_the_token_of_what_came_through_a_proxy(sign, share, here):
    only(401, answers(here, sign, share))


def test_every_route_wants_it_of_a_proxy_and_of_another_host_in_any_run(here):
    for headers in ({"x-forwarded-for": "203.0.113.7"}, {"host": "lora.example.org"}):
        only(401, answers(here, headers))


@pytest.mark.parametrize("host", [host for host in FOREIGN if host.isprintable()])
def test_here_every_route_wants_the_token_where_another_host_is_named(host, share, here):
    """A name that somebody made point to this machine (DNS rebinding)."""
    only(401, answers(here, {"host": host}, share))


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer wrong-token-wrong"}, {"authorization": TOKEN}, {"authorization": f"Basic {TOKEN}"},
        {"authorization": "Bearer"}, {"authorization": "Bearer "}, {"cookie": f"token={TOKEN}"}, {"x-token": TOKEN},
        {"cookie": "loratory=1"}, {"x-forwarded-for": "127.0.0.1"}, {"x-forwarded-host": "127.0.0.1:8675"},
        {"host": "127.0.0.1:8675"}, {"host": "localhost", "x-real-ip": "127.0.0.1"},
    ],
    ids=str,
)  # fmt: skip
def test_nothing_but_the_token_opens(headers, share, elsewhere):
    only(401, answers(elsewhere, headers, share))


def test_a_token_in_the_address_of_a_socket_or_a_change_opens_nothing():
    with served("0.0.0.0") as client:
        for route in routes(client):
            if route.method not in ("GET", "HEAD"):
                assert status_of(client, route, f"{route.at()}?token={TOKEN}", {}, WRONG) == 401, route


def test_methods_that_a_route_does_not_have_tell_nothing_either(share):
    with served("0.0.0.0") as client:
        for address in share.of(sorted({route.at() for route in routes(client)}), ""):
            for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
                assert client.request(method, address, json=WRONG).status_code == 401, (method, address)


def test_a_server_without_a_token_lets_nobody_else_in(loratory_home):
    with Client(create_app(Options(host="0.0.0.0"))) as client:
        for given in ("", "None", TOKEN):
            assert client.get("/api/auth", headers={"authorization": f"Bearer {given}"}).status_code == 401
            assert client.get(f"/api/auth?token={given}").status_code == 401


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_the_token_opens_every_route(host):
    """Without this, the tests above would also pass with a server that is closed to all."""
    with served(host, "https://lora.example.org") as client:
        found = answers(client, {"authorization": f"Bearer {TOKEN}"})
        assert found.pop(f"POST {LOGIN}") == 401, "the token of its body is wrong"
        assert 401 not in found.values()
        assert found[f"{SOCKET} /api/echo"] == 101


def test_here_everything_is_open():
    with served() as client:
        found = answers(client)
        assert found.pop(f"POST {LOGIN}") == 401
        assert not {401, 403} & set(found.values())
        assert found[f"{SOCKET} /api/echo"] == 101


FOREIGN_PAGES = [
    {"origin": "https://evil.org"}, {"origin": "null"}, {"origin": "http://127.0.0.1:3000"}, {"origin": "http://localhost:8675"},
    {"origin": "http://127.0.0.1.evil.org:8675"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"},
    {"origin": LOCAL, "sec-fetch-site": "cross-site"}, {"origin": "https://evil.org", "x-loratory": "1"},
    {"user-agent": "Mozilla/5.0 (very old)"},
]  # fmt: skip


@pytest.mark.parametrize("headers", FOREIGN_PAGES, ids=str)
def test_other_sites_change_nothing_here(headers, share, here):
    for route in share.of(routes(here), str(headers)):
        if route.method not in ("GET", "HEAD", "OPTIONS"):
            assert status_of(here, route, route.at(), headers, WRONG) == 403, route


@pytest.mark.parametrize("headers", [*FOREIGN_PAGES[:-1], {}, {"user-agent": "curl/8"}], ids=str)
def test_other_sites_change_nothing_with_the_cookie(headers, share):
    with served("0.0.0.0", "https://lora.example.org") as client:
        assert client.get(f"/api/auth?token={TOKEN}").json()["how"] == "cookie"
        for route in routes(client) if headers == FOREIGN_PAGES[0] else share.of(routes(client), str(headers)):
            if route.method not in ("GET", "HEAD", "OPTIONS"):
                assert status_of(client, route, route.at(), headers, WRONG) == 403, route


def test_other_sites_embed_nothing():
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}
    with served() as client:
        only(403, answers(client, headers))
        followed = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
        assert client.get("/", headers=followed).status_code == 200


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "text/plain", "text/plain; charset=utf-8", "TEXT/PLAIN"]
)
def test_forms_of_old_pages_are_not_read(kind):
    with served() as client:
        for route in routes(client):
            if route.method == "POST":
                answer = client.post(route.at(), content=b'{"token": "x"}', headers={"content-type": kind})
                assert (answer.status_code, answer.json()["code"]) == (415, "form_refused"), route


def test_no_answer_lets_other_origins_read():
    with served() as client:
        for route in routes(client):
            if route.method != SOCKET:
                answer = client.request(route.method, route.at(), headers={"origin": LOCAL}, json=WRONG)
                assert "access-control-allow-origin" not in answer.headers, route


# What must never come out, whatever stands in a path: no name in it is a secret of the machine that runs the test.
CANARY = "canary-7f3a9c"
UP = [
    "../",
    "..%2f",
    "%2e%2e/",
    "%2e%2e%2f",
    "..%5c",
    "..\\",
    "%252e%252e%252f",
    "....//",
    "..;/",
    "..%c0%af",
    "%2e%2e%00/",
]


ODD = ["..", "%2e%2e", ".", "%00", "a%00.png", "%0a", "CON", "nul.txt", "C:%5cWindows", "%5c%5chost%5cshare", "x" * 600,
       "%F0%9F%A6%9C", "%ff", "%20", "*", "-rf", "$(id)"]  # fmt: skip


def traversals(target: Path) -> list[str]:
    """Ways to write where a file lies, for a server that takes a path at its word."""
    name = target.name
    climbing = [up * depth + name for up in UP for depth in (1, 3)]
    plain = str(target)
    return [*climbing, plain, f"/{plain}", plain.replace("/", "%2f"), f"file:%2f%2f{plain}", f"~{plain}"]


def test_no_path_leads_out(home, share):
    (home / ".env").write_text(f"HF_TOKEN={CANARY}", encoding="utf-8")
    (home / "secret.txt").write_text(CANARY, encoding="utf-8")
    (home.parent / "secret.txt").write_text(CANARY, encoding="utf-8")
    canaries = [home / ".env", home / "secret.txt", home.parent / "secret.txt"]
    before = [path.read_text(encoding="utf-8") for path in canaries]
    corpus = list(dict.fromkeys([value for path in canaries for value in traversals(path)] + ODD))

    async def ask_all(app, asked: list[Route]) -> list[tuple[str, str, int]]:
        failed = []
        for route in asked:
            for value in share.of(corpus, str(route)):
                status, body = await ask_raw(app, route.method, route.at(value))
                if status >= 500 or CANARY.encode() in body:
                    failed.append((str(route), value, status))
        return failed

    with served() as client:
        asked = [route for route in routes(client) if route.method != SOCKET and route.parameters]
        assert client.portal is not None
        assert client.portal.call(ask_all, client.app, asked) == []
    assert [path.read_text(encoding="utf-8") for path in canaries] == before
