"""What `loratory serve` checks before it begins. That it begins and ends is in tests/e2e/server."""

import logging
import socket
import subprocess
import sys

import pytest

from loratory.errors import UserError
from loratory.server import serve
from loratory.server.access import Token
from loratory.server.context import Options
from loratory.server.serve import address, normal_root


@pytest.mark.parametrize(
    ("given", "root"),
    [
        ("", ""),
        ("/", ""),
        ("x", "/x"),
        ("/x/", "/x"),
        ("//x", "/x"),
        ("/a/b-c_d.e~f", "/a/b-c_d.e~f"),
        ("/apis", "/apis"),
    ],
)
def test_root_paths(given, root):
    assert normal_root(given) == root


@pytest.mark.parametrize(
    "given", ["/a b", "/a//b", "/..", "/a/../b", "/a?b", "/<x>", '/"x"', "/api", "/api/x", "/assets", "/a;b"]
)
def test_root_paths_that_are_none(given):
    with pytest.raises(UserError, match="--root-path"):
        normal_root(given)


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("no.such.host.invalid", "no address of this machine"),
        ("192.0.2.1", "cannot be listened at"),
        ("a b", "no address"),
    ],
)
def test_hosts_that_cannot_be(host, said):
    with pytest.raises(UserError, match=said), serve._listening(host, 0):
        pass


def test_a_taken_port_is_one_sentence(monkeypatch):
    with serve._listening("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(UserError, match=f"^Port {port} is taken.*") as error, serve._listening("127.0.0.1", port):
            pass
    assert "\n" not in str(error.value)
    with serve._listening("127.0.0.1", port):
        pass  # at once, although the other socket was there a moment ago


def test_addresses():
    assert address(Options(port=1, root_path="/x")) == "http://127.0.0.1:1/x/"
    assert address(Options(host="::1", port=1)) == "http://[::1]:1/"
    everywhere = address(Options(host="0.0.0.0", port=1))
    assert "0.0.0.0" not in everywhere
    socket.inet_aton(everywhere.removeprefix("http://").removesuffix(":1/"))


def announced(loratory_home, host: str, token: Token | None) -> str:
    said: list[str] = []
    serve._Announcement(Options(host=host, port=1), token, said.append, open_browser=False)()
    return "\n".join(said)


def test_only_a_token_that_nobody_knows_is_printed(loratory_home):
    assert "secret-token" in announced(loratory_home, "0.0.0.0", Token("secret-token", given=False))
    assert "secret-token" not in announced(loratory_home, "0.0.0.0", Token("secret-token", given=True))
    assert "token" not in announced(loratory_home, "127.0.0.1", None)


def test_logs_hold_no_token_and_the_terminal_only_warnings(loratory_home, capsys):
    with serve._logging("a-token-of-some-length"):
        log = logging.getLogger("some.library")
        log.info("GET /?x=a-token-of-some-length HF_TOKEN=hf_%s", "a1" * 15)
        log.warning("look out, a-token-of-some-length")
        log.debug("never")
        try:
            raise ValueError("a-token-of-some-length")
        except ValueError:
            log.exception("failed")
    text = (loratory_home / "state" / "server.log").read_text(encoding="utf-8")
    assert "GET /?x=*** HF_TOKEN=hf_***" in text
    assert "ValueError: ***" in text
    assert "never" not in text
    shown = capsys.readouterr().err
    assert "look out, ***" in shown
    assert "GET" not in shown
    assert "a-token" not in text + shown


ASK_ALL = """
import sys
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from loratory.server import serve
from loratory.server.context import Options
app = serve.create_app(Options())
asked = 0
with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
    for route in iter_route_contexts(app.routes):
        if "GET" in (getattr(route, "methods", None) or ()):
            client.get(route.path.replace("{", "").replace("}", ""))
            asked += 1
print(asked, *sorted({"torch", "diffusers", "transformers", "accelerate", "peft"} & set(sys.modules)))
"""


def test_no_engine_is_loaded_by_starting_and_asking(loratory_home):
    done = subprocess.run([sys.executable, "-c", ASK_ALL], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    asked, *heavy = done.stdout.split()
    assert int(asked) > 6
    assert heavy == []
