"""Logging in and out, over HTTP."""

import pytest

from loratory.server.app import create_app
from loratory.server.context import Options
from tests.server_routes import Client

TOKEN = "a-token-of-some-length"
OUTSIDE = "https://lora.example.org"
HERE = "http://127.0.0.1:8675"


def remote(root_path: str = "", address: str = OUTSIDE) -> Client:
    return Client(create_app(Options(host="0.0.0.0", token=TOKEN, root_path=root_path)), base_url=address)


def test_log_in_and_out(loratory_home):
    with remote() as client:
        answer = client.post("/api/auth/login", json={"token": TOKEN})
        assert answer.json() == {"how": "cookie", "token_needed": True}
        cookie = answer.headers["set-cookie"]
        for part in ("HttpOnly", "Secure", "SameSite=lax", "Path=/;", f"Max-Age={30 * 86400}"):
            assert part in cookie, cookie
        assert TOKEN not in cookie
        assert client.get("/api/auth").json() == {"how": "cookie", "token_needed": True}
        assert client.post("/api/auth/logout", headers={"origin": OUTSIDE}).status_code == 204
        assert client.get("/api/auth").status_code == 401


def test_a_token_in_the_address_becomes_a_cookie_and_leaves_it(loratory_home):
    with remote() as client:
        answer = client.get(f"/runs/a%20b?tab=2&token={TOKEN}&x=%26", follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/runs/a%20b?tab=2&x=%26")
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert client.get("/api/auth").json()["how"] == "cookie"
        again = client.get(f"/?token={TOKEN}", follow_redirects=False)
        assert (again.headers["location"], "set-cookie" in again.headers) == ("/", False)


def test_a_wrong_token_in_the_address_gives_nothing(loratory_home):
    with remote() as client:
        answer = client.get("/?token=wrong", headers={"accept": "text/html"}, follow_redirects=False)
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers


def test_here_a_token_leaves_the_address_too(client):
    answer = client.get("/runs?token=whatever", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs")
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("path", ["//evil.org", "///evil.org/x", "/%5cevil.org", "/\\evil.org", "//evil.org%2f.."])
def test_the_way_back_is_never_to_another_site(loratory_home, path):
    with remote() as client:
        answer = client.get(f"{OUTSIDE}{path}?token={TOKEN}", follow_redirects=False)
        assert answer.status_code == 303
        location = answer.headers["location"]
        assert location.startswith("/")
        assert not location.startswith(("//", "/\\")), location


def test_no_line_ends_get_into_headers(loratory_home):
    with remote() as client:
        answer = client.get(f"/a%0d%0aX-Evil:%201?token={TOKEN}&b=%0d%0aX-Evil:1", follow_redirects=False)
        assert "x-evil" not in answer.headers


def test_the_cookie_is_not_for_https_where_there_is_none(loratory_home):
    with remote(address="http://192.168.1.2:8675") as client:
        assert "Secure" not in client.post("/api/auth/login", json={"token": TOKEN}).headers["set-cookie"]
        client.cookies.clear()
        proxied = client.post("/api/auth/login", json={"token": TOKEN}, headers={"x-forwarded-proto": "https"})
        assert "Secure" in proxied.headers["set-cookie"]


@pytest.mark.parametrize("strips", [True, False], ids=["the proxy strips the prefix", "the proxy leaves it"])
def test_below_a_path(loratory_home, strips):
    below = "" if strips else "/x"
    with remote("/x") as client:
        answer = client.get(f"{below}/runs?token={TOKEN}", follow_redirects=False)
        assert answer.headers["location"] == "/x/runs"
        assert "Path=/x;" in answer.headers["set-cookie"]
        cookie = answer.headers["set-cookie"].partition(";")[0]
        found = client.get(f"{below}/api/auth", headers={"cookie": cookie})
        assert (found.status_code, found.json()["how"]) == (200, "cookie")
        client.cookies.clear()
        page = client.get(below or "/", headers={"accept": "text/html"})
        assert 'data-login="/x/api/auth/login"' in page.text


def test_a_page_asks_for_the_token_and_runs_only_its_own_script(loratory_home):
    with remote() as client:
        answer = client.get("/runs/1", headers={"accept": "text/html,*/*"})
        assert answer.status_code == 401
        assert 'data-login="/api/auth/login"' in answer.text
        policy = answer.headers["content-security-policy"]
        assert "script-src 'sha256-" in policy
        assert "frame-ancestors 'none'" in policy
        assert client.get("/api/auth", headers={"accept": "*/*"}).headers["content-type"] == "application/problem+json"


def test_guessing_ends(loratory_home):
    """Ten wrong ones, whatever way they come; then also the right one is not looked at."""
    with remote() as client:
        for number in range(4):
            assert client.post("/api/auth/login", json={"token": f"{number}"}).status_code == 401
            assert client.get("/api/auth", headers={"authorization": f"Bearer {number}"}).status_code == 401
        assert client.get("/?token=a").status_code == 401
        assert client.get("/?token=b").status_code == 401
        limited = client.post("/api/auth/login", json={"token": TOKEN})
        assert limited.status_code == 429
        assert 290 <= int(limited.headers["retry-after"]) <= 300
        assert limited.json()["code"] == "too_many_attempts"
        assert client.get("/api/auth", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 429
        assert client.get(f"/?token={TOKEN}").status_code == 429
        elsewhere = client.post("/api/auth/login", json={"token": TOKEN}, headers={"x-forwarded-for": "1.2.3.4"})
        assert elsewhere.status_code == 200
        assert client.get("/api/auth").status_code == 200, "who is in stays in"


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"token": 3}', b'{"token": null}', b'{"token": "x", "more": 1}', b"\xff"]
)
def test_a_login_that_is_not_understood(loratory_home, body):
    with remote() as client:
        answer = client.post("/api/auth/login", content=body, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 422)
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_huge_login_is_not_read(loratory_home):
    with remote() as client:
        answer = client.post("/api/auth/login", json={"token": "x" * 10_000})
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        wrong = client.post("/api/auth/login", json={"token": TOKEN + "x" * 600})
        assert (wrong.status_code, TOKEN in wrong.text) == (422, False)


def test_the_token_can_be_asked_for_on_this_machine_too(loratory_home):
    with Client(create_app(Options(token=TOKEN)), base_url=HERE) as client:
        assert client.get("/api/auth").json() == {"how": "open", "token_needed": False}
        kept = client.get("/api/settings").json()
        kept["settings"]["access"]["ask_on_this_machine"] = True
        assert client.put("/api/settings", json=kept).status_code == 200
        assert client.get("/api/auth").status_code == 401
        assert client.get("/api/auth", headers={"authorization": f"Bearer {TOKEN}"}).json()["how"] == "bearer"


def test_headers_of_every_answer(client):
    for path in ("/", "/api/health", "/api/nothing", "/assets/none.js"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["x-frame-options"] == "DENY", path
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
        assert headers["referrer-policy"] == "same-origin", path
        assert "server" not in headers, path
    assert client.get("/api/health").headers["cache-control"] == "no-store"


def test_two_hosts_are_none(client):
    answer = client.get("/api/health", headers=[("host", "127.0.0.1:8675"), ("host", "evil.org")])
    assert answer.status_code == 400


def test_an_error_that_nobody_foresaw_is_safe_too(application, monkeypatch):
    monkeypatch.setattr("loratory.server.routes.system.machine.memory", lambda: 1 // 0)
    with Client(application, base_url=HERE, raise_server_exceptions=False) as client:
        answer = client.get("/api/system")
    assert (answer.status_code, answer.json()["code"]) == (500, "unforeseen")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "ZeroDivision" not in answer.text
