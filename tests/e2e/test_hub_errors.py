"""What the Hub can answer to `loratory train`, `config check` and `network preview`: one sentence, and no secret in it.

The answers become errors by the Hub's own library; only the download itself is played.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import errors
from huggingface_hub.utils import hf_raise_for_status

from loratory.hub import download
from tests.e2e.jobs import Data

REPOSITORY = "black-forest-labs/FLUX.1-dev"
PAGE = f"https://huggingface.co/{REPOSITORY}"
TOKEN = "hf_" + "abcdefghijklmnopqrstuvwxyz01234567"


def refusal(status: int, code: str = "", message: str = "") -> Exception:
    """What the library makes of an answer; the request carries the token."""
    request = httpx2.Request(
        "GET", f"{PAGE}/resolve/main/model_index.json", headers={"authorization": f"Bearer {TOKEN}"}
    )
    headers = {name: value for name, value in {"X-Error-Code": code, "X-Error-Message": message}.items() if value}
    with pytest.raises(errors.HfHubHTTPError) as caught:
        hf_raise_for_status(httpx2.Response(status, request=request, headers=headers))
    return caught.value


def unreachable() -> Exception:
    error = errors.LocalEntryNotFoundError(f"cannot find the files; token {TOKEN}")
    error.__cause__ = httpx2.ConnectError("Temporary failure in name resolution")
    return error


ANSWERS: dict[str, tuple[Callable[[], Exception], list[str]]] = {
    "gated, no token": (
        lambda: refusal(401, "GatedRepo"),
        [f"gated: accept its licence at {PAGE}", "settings/tokens", "HF_TOKEN=… into a file named .env"],
    ),
    "gated, not accepted": (lambda: refusal(403, "GatedRepo"), ["account of your token may not read it", PAGE]),
    "token without rights": (
        lambda: refusal(
            403, "", "Please enable access to public gated repositories in your fine-grained token settings"
        ),
        ["may not read gated models", "settings/tokens"],
    ),
    "no such repository": (lambda: refusal(404, "RepoNotFound"), ["no model", "or it is private", "spelling"]),
    "a wrong token": (
        lambda: refusal(401, "", "Invalid credentials in Authorization header"),
        ["HTTP 401", "make a new one at https://huggingface.co/settings/tokens"],
    ),
    "no network": (
        unreachable,
        ["HF_HUB_OFFLINE", f"`hf download {REPOSITORY} --local-dir FOLDER`", "give its path instead"],
    ),
    "disk full": (lambda: OSError(28, "No space left on device"), ["disk is full", "HF_HOME"]),
}


@pytest.fixture
def hub_says(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], None]:
    def says(error: Exception) -> None:
        def fail(*arguments: Any) -> Path:
            raise error

        monkeypatch.setattr(download, "_fetch", fail)
        monkeypatch.setattr(download, "_fetch_file", fail)

    return says


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("command", [("train",), ("config", "check"), ("network", "preview")], ids=" ".join)
def test_one_sentence(
    answer: str,
    command: tuple[str, ...],
    hub_says: Callable,
    make_job: Callable,
    job_file: Callable,
    loratory: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    make_error, words = ANSWERS[answer]
    hub_says(make_error())
    said = loratory(*command, job_file(make_job("sd15", {"model": {"path": REPOSITORY}})))
    assert said.code == 1
    for word in words:
        assert word in said.error
    assert TOKEN not in said.text
    assert len(said.error) < 500


@pytest.mark.parametrize("answer", ["gated, no token", "no network"])
def test_what_a_single_file_lacks(
    answer: str, hub_says: Callable, make_job: Callable, job_file: Callable, loratory: Callable, tiny_file: Callable
) -> None:
    """The person asked for a file: the sentence says why the Hub was asked for more."""
    make_error, words = ANSWERS[answer]
    hub_says(make_error())
    said = loratory("train", job_file(make_job("sd15", {"model": {"path": str(tiny_file("flux1", "original"))}})))
    assert said.code == 1
    assert f"Error: model.components (left out, so {REPOSITORY}): " in said.error
    assert all(word in said.error for word in words)
    assert len(said.error) < 500


@pytest.mark.parametrize("field", ["model.vae_path", "model.parts.text_encoder_2", "model.side_adapters"])
def test_other_fields_that_name_the_hub(
    field: str, hub_says: Callable, make_job: Callable, job_file: Callable, loratory: Callable
) -> None:
    hub_says(refusal(401, "GatedRepo"))
    value = [{"path": REPOSITORY}] if field == "model.side_adapters" else REPOSITORY
    job: Data = make_job("flux1", {field: value})
    said = loratory("train", job_file(job))
    assert said.code == 1
    assert f"{field}: The model '{REPOSITORY}' is gated" in said.error


def test_the_token_of_a_dotenv_file_is_used_by_every_command(
    make_job: Callable, job_file: Callable, loratory: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the sentence advises works for `config check`, too, which looks at the model first."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HF_TOKEN", "")  # put back afterwards
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(f"HF_TOKEN={TOKEN}\n", encoding="utf-8")
    seen = []

    def fetch(*arguments: Any) -> Path:
        import os

        seen.append(os.environ.get("HF_TOKEN"))
        raise refusal(403, "GatedRepo")

    monkeypatch.setattr(download, "_fetch", fetch)
    said = loratory("config", "check", job_file(make_job("sd15", {"model": {"path": REPOSITORY}})))
    assert said.code == 1
    assert seen == [TOKEN]


@pytest.mark.parametrize("command", [("train",), ("config", "check")], ids=" ".join)
def test_an_address_with_a_password_in_it(
    command: tuple[str, ...], make_job: Callable, job_file: Callable, loratory: Callable
) -> None:
    address = f"https://me:{TOKEN}@huggingface.co/{REPOSITORY}"
    said = loratory(*command, job_file(make_job("sd15", {"model": {"path": address}})))
    assert said.code == 1
    assert "me:***@huggingface.co" in said.error
    assert TOKEN not in said.text
