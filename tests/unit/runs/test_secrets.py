"""Tokens and keys are masked, and what only looks like one is not."""

import logging
import os
from pathlib import Path

import pytest

from loratory.errors import UserError
from loratory.secrets import RedactingFormatter, load_dotenv, redact, redact_values

HF = "hf_" + "aB3dE6gH" * 4 + "iJ"
HEX32 = "0123456789abcdef" * 2
HEX40 = HEX32 + "01234567"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"token {HF} is wrong", "token hf_*** is wrong"),
        (f'"{HF}"', '"hf_***"'),
        ("api_org_" + "aB3dE6gH" * 4, "api_org_***"),
        ("hf_abc12345", "hf_***"),
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer ***"),
        ("authorization: bearer abcdefghijk", "authorization: bearer ***"),
        ('{"Authorization": "Bearer abc=="}', '{"Authorization": "Bearer ***"}'),
        (r"{\"Authorization\": \"Basic abc==\"}", r"{\"Authorization\": \"Basic ***\"}"),
        ("sent Bearer abcdefgh123 off", "sent Bearer *** off"),
        (f"https://civitai.com/download/1?token={HEX32}&x=1", "https://civitai.com/download/1?token=***&x=1"),
        (f"the Civitai key is {HEX32}", "the Civitai key is ***"),
        (f"CIVITAI_API_KEY={HEX32}", "CIVITAI_API_KEY=***"),
        (f"wandb login key={HEX40}", "wandb login key=***"),
        (f"WANDB_API_KEY: '{HEX40}'", "WANDB_API_KEY: '***'"),
        ("wandb_v1_abcdefgh-IJKL_1", "wandb_v1_***"),
        ("HF_TOKEN=secretvalue", "HF_TOKEN=***"),
        ("access_token=secretvalue&b=2", "access_token=***&b=2"),
        ("password = correcthorse", "password = ***"),
        ("http://user:pass@host:80/x", "http://user:***@host:80/x"),
    ],
)
def test_masked(text: str, masked: str) -> None:
    assert redact(text) == masked
    assert redact(redact(text)) == masked


@pytest.mark.parametrize(
    "text",
    [
        "hf_hub_download and hf_transfer are functions",
        f"sha256 {HEX32}{HEX32}, md5 {HEX32}",
        "the key lora_unet_down_blocks_0_attentions_0_proj_in.lora_up.weight is missing",
        "key=lora_unet_mid_block_attentions_0",
        "caption: a photo of ohwx dog, token: 5, tokens=77",
        "max_token_length: 225, keep_tokens_separator='|||'",
        "http://localhost:8000/x@2x.png",
        "the bearer of this",
        "",
    ],
)
def test_left_alone(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("name", ["HF_TOKEN", "CIVITAI_API_KEY", "WANDB_API_KEY"])
def test_known_values_are_masked_wherever_they_stand(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "plain-looking-words")
    assert redact("x plain-looking-wordsy") == "x ***y"
    monkeypatch.setenv(name, "abc")
    assert redact("abc") == "abc", "too short to be a secret: masking it would tear every text apart"


def test_values() -> None:
    data = {
        "a": [f"x {HF}", 1, None, ("y", HF)],
        "api_key": "12345",
        "HF_TOKEN": "x",
        "access_token": 3,
        "token": "cat",
    }
    assert redact_values(data) == {
        "a": ["x hf_***", 1, None, ["y", "hf_***"]],
        "api_key": "***",
        "HF_TOKEN": "***",
        "access_token": 3,
        "token": "cat",
    }


def test_formatter_masks_tracebacks() -> None:
    try:
        raise ValueError(HF)
    except ValueError as error:
        record = logging.LogRecord("n", 40, "p", 1, "m %s", (HF,), (ValueError, error, error.__traceback__))
    text = RedactingFormatter("%(message)s").format(record)
    assert HF not in text
    assert text.count("hf_***") >= 2


# .env


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "CIVITAI_API_KEY", "WANDB_API_KEY", "OTHER_SETTING"):
        monkeypatch.setenv(name, "x")  # so that it is put back whatever the test sets
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("HF_TOKEN=abc", "abc"),
        ("\ufeffexport HF_TOKEN = abc  # mine\r\n", "abc"),
        ("# HF_TOKEN=no\n\nHF_TOKEN='a b#c' # x", "a b#c"),
        ('HF_TOKEN="abc"\nOTHER_SETTING=1\nrubbish', "abc"),
        ("HF_TOKEN=a=b#c", "a=b#c"),
        ("HF_TOKEN=one\nHF_TOKEN=two", "two"),
        ("HF_TOKEN=", None),
        ("", None),
    ],
)
@pytest.mark.usefixtures("clean")
def test_dotenv(content: str, value: str | None, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(content, encoding="utf-8", newline="")
    assert load_dotenv(tmp_path) == (("HF_TOKEN",) if value else ())
    assert os.environ.get("HF_TOKEN") == value
    assert "OTHER_SETTING" not in os.environ


@pytest.mark.usefixtures("clean")
def test_dotenv_does_not_overwrite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_dotenv(tmp_path) == ()
    (tmp_path / ".env").write_text("HF_TOKEN=file\nWANDB_API_KEY=key")
    monkeypatch.setenv("HF_TOKEN", "shell")
    assert load_dotenv(tmp_path) == ("WANDB_API_KEY",)
    assert os.environ["HF_TOKEN"] == "shell"


@pytest.mark.parametrize("content", [b"HF_TOKEN verysecret", b"HF_TOKEN='verysecret", b"HF_TOKEN=verysecret\xff"])
@pytest.mark.usefixtures("clean")
def test_broken_dotenv(content: bytes, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=1\n" + content)
    with pytest.raises(UserError) as caught:
        load_dotenv(tmp_path)
    assert "verysecret" not in str(caught.value)
    assert str(tmp_path / ".env") in str(caught.value)
    assert "HF_TOKEN" not in os.environ
