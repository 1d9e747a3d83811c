"""The built app's files and its page."""

import base64
import gzip
import hashlib

import pytest

from loratory.server.app import create_app
from loratory.server.context import Options
from loratory.server.routes import browser
from tests.server_routes import Client

HTML = {"accept": "text/html,application/xhtml+xml"}
INLINE = "document.documentElement.dataset.scheme = 'dark'"
PAGE = f"""<!doctype html><html><head lang="en"><base href="/"><script>{INLINE}</script>
<script type="module" src="./assets/app-1.js"></script></head><body></body></html>"""


@pytest.fixture
def built(tmp_path, monkeypatch):
    """A built app."""
    static = tmp_path / "static"
    (static / "assets").mkdir(parents=True)
    (static / "index.html").write_text(PAGE, encoding="utf-8")
    (static / "assets" / "app-1.js").write_text("plain", encoding="utf-8")
    (static / "assets" / "app-1.js.gz").write_bytes(gzip.compress(b"packed"))
    (static / "favicon.svg").write_text("<svg/>", encoding="utf-8")
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    monkeypatch.setattr(browser, "STATIC", static)
    return static


def test_without_a_built_app_it_is_said_how_to_build_it(client, tmp_path, monkeypatch):
    monkeypatch.setattr(browser, "STATIC", tmp_path / "none")
    answer = client.get("/", headers=HTML)
    assert answer.status_code == 200
    assert "was installed without its pages" in answer.text
    assert "<code>pip install .</code>" in answer.text
    assert client.get("/api/openapi.json").status_code == 200


def test_the_page_answers_for_every_view(built, client):
    for path in ("/", "/index.html", "/runs/01ABC/samples", "/datasets/x/edit/01.png"):
        answer = client.get(path, headers=HTML)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache"), path
        assert '<head lang="en"><base href="/">' in answer.text
        assert answer.text.count("<base") == 1


def test_only_the_pages_own_inline_script_may_run(built, client):
    policy = client.get("/", headers=HTML).headers["content-security-policy"]
    wanted = base64.b64encode(hashlib.sha256(INLINE.encode()).digest()).decode()
    assert f"script-src 'self' 'sha256-{wanted}';" in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]


@pytest.mark.parametrize("path", ["/assets/none.js", "/assets/", "/api/none", "/api", "/api/", "/none.png"])
def test_what_is_missing_is_not_the_page(built, client, path):
    answer = client.get(path, headers={"accept": "*/*"})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    if not path.endswith(".png"):
        assert client.get(path, headers=HTML).status_code == 404


def test_the_interface_for_programs_has_no_pages(built, client):
    assert client.post("/api/none", json={}).status_code == 404
    assert client.get("/api/auth/", follow_redirects=False).status_code == 404
    assert client.get("/api/auth/login").status_code == 405
    assert client.get("/apis", headers=HTML).status_code == 200
    assert client.post("/runs", json={}).status_code == 405


def test_files_are_kept_as_long_as_their_names_last(built, client):
    answer = client.get("/assets/app-1.js", headers={"accept-encoding": "identity"})
    assert (answer.text, answer.headers["cache-control"]) == ("plain", "private, max-age=31536000, immutable")
    assert answer.headers["content-type"].startswith("text/javascript")
    packed = client.get("/assets/app-1.js", headers={"accept-encoding": "br;q=1.0, gzip"})
    assert (packed.text, packed.headers["content-encoding"]) == ("packed", "gzip")
    assert packed.headers["content-type"] == answer.headers["content-type"]
    assert packed.headers["vary"] == answer.headers["vary"] == "accept-encoding"
    (built / "assets" / "app-1.js.br").write_bytes(b"\x0b\x02\x80smaller\x03")  # brotli's own way to hold plain bytes
    for asked, encoding in [
        ("gzip, deflate, br", "br"), ("br;q=0, gzip", "gzip"), ("GZIP;q=0.5, br; q=0.000", "gzip"),
        ("gzip;q=0", None), ("", None), ("deflate", None),
    ]:  # fmt: skip
        with client.stream("GET", "/assets/app-1.js", headers={"accept-encoding": asked}) as answer:
            assert answer.headers.get("content-encoding") == encoding, asked
    assert client.get("/favicon.svg").headers["cache-control"] == "private, no-cache"
    assert client.head("/assets/app-1.js").status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/..%2fsecret.txt", "/assets/..%2f..%2fsecret.txt", "/%2e%2e/secret.txt", "/..%5csecret.txt", "/%00", "/C:%2fx"],
)
def test_no_file_outside_is_given(built, client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert "secret" not in answer.text.replace(path, "").replace("/../secret.txt", "").replace("secret.txt", "")


def test_a_link_out_of_the_folder_is_not_followed(built, client):
    (built / "link.txt").symlink_to(built.parent / "secret.txt")
    assert client.get("/link.txt").status_code == 403


@pytest.mark.parametrize("below", ["", "/deep/er"], ids=["stripped", "left"])
def test_below_a_path(built, loratory_home, below):
    with Client(create_app(Options(root_path="/deep/er")), base_url="http://127.0.0.1:8675") as client:
        assert '<base href="/deep/er/">' in client.get(f"{below}/runs/1", headers=HTML).text
        assert client.get(f"{below}/assets/app-1.js").status_code == 200
        assert client.get(f"{below}/api/health").status_code == 200
        assert client.get(f"{below}/api/none").status_code == 404
    assert client.get("/deep/er", headers=HTML).status_code == 200
