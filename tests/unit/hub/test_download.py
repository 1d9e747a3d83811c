"""Finding and fetching models: paths, a Hub that this test plays on the loopback address, and no network at all."""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from loratory.errors import UserError
from loratory.files import DiskFull
from loratory.hub import download
from loratory.hub.download import resolve_model

ROOT = Path(__file__).parents[3]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
INDEX = json.dumps({"_class_name": "P", "unet": ["d", "U"], "image_encoder": [None, None], "flag": True})
PIPELINE = {
    "model_index.json": INDEX,
    "README.md": "words",
    "whole.safetensors": "once more",
    "unet/config.json": "{}",
    "unet/model[1].safetensors": "weights",
    "unet/model[1].fp16.safetensors": "half",
    "unet/model.bin": "pickle",
    "image_encoder/model.safetensors": "not in use",
}
REPOSITORIES = {
    "owner/pipeline": PIPELINE,
    "owner/encoder": {"config.json": "{}", "model.safetensors": "weights", "model.onnx": "x"},
    "owner/pickles": {"config.json": "{}", "pytorch_model.bin": "x"},
    "owner/singles": {"one.safetensors": "1", "two.safetensors": "2"},
    "owner/broken": {"model_index.json": "{", "unet/model.safetensors": "x"},
}
REFUSED = {  # status and the Hub's code for it
    "owner/gated": (401, "GatedRepo"),
    "owner/asked": (403, "GatedRepo"),
    "owner/fine": (403, "Please enable access to public gated repositories in your fine-grained token settings."),
    "owner/missing": (404, "RepoNotFound"),
    "owner/disabled": (403, "Access to this resource is disabled."),
    "owner/token": (401, ""),
    "owner/busy": (429, ""),
    "owner/down": (503, ""),
}


class FakeHub(BaseHTTPRequestHandler):
    """The three things that a download asks a Hub for: what a revision is, what it holds, and a file."""

    def log_message(self, *arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def answer(self, content: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        repository = "/".join(path.removeprefix("/api/models").split("/")[1:3])
        if repository in REFUSED:
            status, code = REFUSED[repository]
            code_header = {"X_Error_Code": code} if " " not in code else {}
            self.answer(b"{}", status, **code_header, X_Error_Message=code or "refused", Retry_After="0")
        elif repository not in REPOSITORIES:
            self.answer(b"{}", 404, X_Error_Code="RepoNotFound")
        elif "/revision/" in path and not path.endswith(("/main", COMMIT)):
            self.answer(b"{}", 404, X_Error_Code="RevisionNotFound")
        elif "/revision/" in path or path == f"/api/models/{repository}":
            self.answer(json.dumps({"id": repository, "sha": COMMIT, "siblings": []}).encode())
        elif "/tree/" in path:
            files = REPOSITORIES[repository].items()
            rows = [{"type": "file", "path": name, "size": len(text), "oid": oid(text)} for name, text in files]
            self.answer(json.dumps(rows).encode(), Content_Type="application/json")
        else:
            name = path.split(f"/resolve/{COMMIT}/")[-1].split("/resolve/main/")[-1]
            text = REPOSITORIES[repository].get(name)
            if text is None:
                self.answer(b"", 404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
            else:
                self.answer(text.encode(), ETag=f'"{oid(text)}"', X_Repo_Commit=COMMIT)


def oid(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeHub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def start_client(cache: Path, **variables: str) -> tuple[subprocess.Popen[str], Callable[..., dict]]:
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment |= {
        "PYTHONPATH": str(ROOT),
        "HF_HOME": str(cache),
        "HF_HUB_CACHE": str(cache),
        "HF_HUB_DISABLE_XET": "1",
    }
    client = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("client.py"))],
        env={**environment, "HF_HUB_DISABLE_PROGRESS_BARS": "1", **variables},
        cwd=cache,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def ask(path_or_id: str, **arguments: object) -> dict:
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(json.dumps({"path_or_id": path_or_id, **arguments}) + "\n")
        client.stdin.flush()
        return json.loads(client.stdout.readline())

    return client, ask


@pytest.fixture(scope="module")
def online(hub: str, cache: Path) -> Iterator[Callable[..., dict]]:
    client, ask = start_client(cache, HF_HUB_OFFLINE="0", HF_ENDPOINT=hub)
    yield ask
    client.kill()
    client.communicate()


# Paths


def test_what_is_there_is_returned_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "owner" / "pipeline").mkdir(parents=True)
    (tmp_path / "file.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    assert resolve_model(str(tmp_path / "file.safetensors")) == tmp_path / "file.safetensors"
    assert resolve_model("owner/pipeline") == Path("owner/pipeline"), "a folder that is there is no repository"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert resolve_model("~/file.safetensors") == tmp_path / "file.safetensors"


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("./sdxl_bse", "sdxl_base"),
        ("SDXL_Base.safetensor", "sdxl_base"),
        ("models/sdxl_bse.safetensors", "models/sdxl_base.safetensors"),
        ("nowhere/at/all", None),
        ("../x", None),
        ("owner--x/name", None),
        ("owner/na..me", None),
        ("owner/name/sub/", None),
        ("owner/name/weights.bin", None),
        ("Q:\\weights\\flux", None),
        ("https://huggingface.co/owner/name", "owner/name"),
        ("https://huggingface.co/owner/name/tree/main", "owner/name"),
        ("huggingface.co/owner/name/blob/main/a/b.safetensors", "owner/name/a/b.safetensors"),
        ("https://hf.co/owner/name/resolve/main/b.safetensors?download=true", "owner/name/b.safetensors"),
        ("https://civitai.com/models/1", None),
        ("just-a-name", None),
        ("", None),
        ("x" * 5000, None),
        ("~no-such-user-at-all/x", None),
    ],
)
def test_neither_path_nor_repository(
    text: str, suggestion: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sdxl_base").mkdir()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "sdxl_base.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        resolve_model(text)
    message = str(caught.value)
    assert repr(text) in message
    if suggestion:
        shown = suggestion if ".co/" in text else str(Path(suggestion))
        assert message.endswith(f"did you mean {shown!r}?")
    else:
        assert "did you mean" not in message


# A Hub


def test_pipeline(online: Callable[..., dict]) -> None:
    found = online("owner/pipeline")
    assert found["files"] == ["model_index.json", "unet/config.json", "unet/model[1].safetensors"]
    assert Path(found["path"], "unet/model[1].safetensors").read_text() == "weights"
    assert Path(found["path"]).name == COMMIT
    assert online("owner/pipeline", variant="fp16")["files"] == sorted(
        [*found["files"], "unet/model[1].fp16.safetensors"]
    )
    assert "unet/model.bin" in online("owner/pipeline", allow_patterns=["*.bin"])["files"]
    assert online("owner/pipeline", revision=COMMIT)["path"] == found["path"]


def test_no_pipeline(online: Callable[..., dict]) -> None:
    assert online("owner/encoder")["files"] == ["config.json", "model.safetensors"]
    single = online("owner/singles/two.safetensors")
    assert Path(single["path"]).read_text() == "2"


@pytest.mark.parametrize(
    ("model", "revision", "said"),
    [
        (
            "owner/gated",
            None,
            r"gated: accept its licence at https://huggingface\.co/owner/gated, make a token .*/settings/tokens, and "
            r"write HF_TOKEN=… into a file named \.env",
        ),
        ("owner/asked", None, r"gated, and the account of your token may not read it: .*co/owner/asked with that acc"),
        ("owner/fine", None, r"may not read gated models such as 'owner/fine': allow it .*settings/tokens"),
        ("owner/missing", None, "no model 'owner/missing' on the Hub, or it is private: check the spelling"),
        ("owner/missing", COMMIT, "no model 'owner/missing' on the Hub"),
        ("owner/disabled", None, "has been disabled"),
        ("owner/token", None, "the token is wrong|or it is private"),
        ("owner/busy", None, "in a few minutes"),
        ("owner/down", None, r"has trouble .HTTP 503. .* try again later"),
        ("owner/pipeline", "v9", "has no revision 'v9'"),
        ("owner/singles", None, r"holds 2 single weight files.*for example: owner/singles/one\.safetensors"),
        ("owner/singles/three.safetensors", None, "has no such file"),
        ("owner/pickles", None, "has no weights in safetensors form"),
        ("owner/broken", None, r"model_index\.json is damaged"),
    ],
)
def test_what_goes_wrong(model: str, revision: str | None, said: str, online: Callable[..., dict]) -> None:
    answer = online(model, revision=revision)
    assert "error" in answer, answer
    assert re.search(said, answer["error"]), answer
    assert "\n" not in answer["error"]


def test_without_network(cache: Path, online: Callable[..., dict]) -> None:
    """Offline, and online where nobody answers: what was fetched is found, what was not is explained."""
    fetched = online("owner/pipeline")
    for variables, said in (
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE forbids a download: unset it; or run `hf download owner/"),
        (
            {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"},
            r"could not be reached .*ConnectError.*run `hf download owner/.* --local-dir FOLDER` where there is a",
        ),
    ):
        client, ask = start_client(cache, **variables)
        try:
            again = ask("owner/pipeline")
            assert again.get("path") == fetched["path"], again
            assert re.search(said, ask("owner/never")["error"])
            assert re.search(said, ask("owner/pipeline", allow_patterns=["README.md"])["error"])
        finally:
            client.kill()
            client.communicate()


def test_single_file_offline() -> None:
    with pytest.raises(UserError, match="HF_HUB_OFFLINE forbids a download"):
        resolve_model("owner/never/x.safetensors")


def test_cache_of_an_older_library(tmp_path: Path) -> None:
    """Older versions of the library left no list of files; offline the snapshot itself says what there is."""
    snapshot = tmp_path / "models--owner--old" / "snapshots" / COMMIT
    for name, text in PIPELINE.items():
        path = snapshot / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "models--owner--old" / "refs").mkdir()
    (tmp_path / "models--owner--old" / "refs" / "main").write_text(COMMIT)
    client, ask = start_client(tmp_path, HF_HUB_OFFLINE="1")
    try:
        assert ask("owner/old")["path"] == str(snapshot)
    finally:
        client.kill()
        client.communicate()


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("xet: No space left on device")]
)
def test_no_room(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> Path:
        raise error

    monkeypatch.setattr(download, "_fetch", fail)
    with pytest.raises(DiskFull, match=r"MB free.*set HF_HOME to a folder on a larger disk") as caught:
        resolve_model("owner/name")
    assert caught.value.__cause__ is error


def test_our_own_faults_are_not_explained_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> Path:
        raise ZeroDivisionError

    monkeypatch.setattr(download, "_fetch", fail)
    with pytest.raises(ZeroDivisionError):
        resolve_model("owner/name")


def test_suggestion_for_a_repository_that_looks_like_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`models/sdxl_bse` may be meant as a path: what the Hub does not have, a neighbour may be."""
    (tmp_path / "models" / "sdxl_base").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"HF_HUB_OFFLINE.*did you mean 'models.+sdxl_base'\?"):
        resolve_model("models/sdxl_bse")
