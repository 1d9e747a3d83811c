"""Files that somebody uploaded: shown where that is safe, downloaded otherwise."""

import pytest
from fastapi import FastAPI, Request

from loratory.server.media import send_file
from loratory.server.problems import Refused, add_handlers
from tests.server_routes import Client

ASKED = Request({"type": "http", "method": "GET", "headers": []})
SCRIPT = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"


@pytest.fixture
def files(tmp_path):
    app = FastAPI()
    add_handlers(app)

    @app.get("/{name}")
    def get(request: Request, name: str, download: bool = False):
        return send_file(request, tmp_path / name, save=download)

    return tmp_path, Client(app)


@pytest.mark.parametrize("name", ["a.svg", "a.html", "a.htm", "a.xhtml", "a.xml", "a.js", "a.pdf", "a.SVG",
                                  "a.mht", "a.xsl", "a", "a.png.html", "a.unknown", ".html", "a.css"])  # fmt: skip
def test_what_can_run_is_never_shown(files, name):
    folder, client = files
    (folder / name).write_bytes(SCRIPT)
    answer = client.get(f"/{name}")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert "script-src" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.png", "image/png"), ("A.JPG", "image/jpeg"), ("a.webp", "image/webp"), ("a.mp4", "video/mp4"),
     ("a.txt", "text/plain; charset=utf-8"), ("a.html.txt", "text/plain; charset=utf-8")],
)  # fmt: skip
def test_pictures_and_texts_are_shown(files, name, kind):
    folder, client = files
    (folder / name).write_bytes(SCRIPT)
    answer = client.get(f"/{name}")
    assert answer.headers["content-type"] == kind
    assert answer.headers["content-disposition"].startswith("inline")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert client.get(f"/{name}?download=true").headers["content-disposition"].startswith("attachment")


def test_parts_of_a_file(files):
    folder, client = files
    (folder / "a.safetensors").write_bytes(bytes(range(100)))
    part = client.get("/a.safetensors", headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, bytes(range(10, 20)))
    assert part.headers["content-range"] == "bytes 10-19/100"
    assert client.get("/a.safetensors", headers={"range": "bytes=100-"}).status_code == 416


def test_odd_names_are_whole_and_harmless_in_the_header(files):
    folder, client = files
    name = 'ü "q" 🦜; x=y.bin'
    (folder / name).write_bytes(b"x")
    disposition = client.get(f"/{name}").headers["content-disposition"]
    assert disposition.startswith("attachment; filename*=utf-8''%C3%BC%20%22q%22%20%F0%9F%A6%9C")
    assert ";" not in disposition.partition("''")[2]


def test_what_is_no_file(tmp_path):
    (tmp_path / "folder").mkdir()
    for name in ("folder", "none", "x" * 600):
        with pytest.raises(Refused) as error:
            send_file(ASKED, tmp_path / name)
        assert error.value.status == 404
