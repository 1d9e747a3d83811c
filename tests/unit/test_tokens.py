"""Tokens that Loratory keeps: where they come from, who may read them, and that no output shows them."""

import os
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from loratory.cli import app
from loratory.errors import UserError
from loratory.files import DiskFull
from loratory.secrets import SECRET_VARIABLES
from loratory.tokens import forget_token, keep_new_tokens, keep_token, load_tokens, sources, tokens_path

VALUE = "hf_AbCd0123456789AbCd"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in SECRET_VARIABLES:
        monkeypatch.setenv(name, "x")  # so that it is put back whatever the test sets
        monkeypatch.delenv(name)
    monkeypatch.setenv("LORATORY_HOME", str(tmp_path / "home"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def test_a_kept_token_is_there_next_time():
    keep_token("HF_TOKEN", f" {VALUE}\n")
    keep_token("WANDB_API_KEY", "second")
    assert os.environ.pop("HF_TOKEN") == VALUE
    load_tokens()
    assert os.environ["HF_TOKEN"] == VALUE
    assert sources() == {"HF_TOKEN": "kept", "WANDB_API_KEY": "kept"}
    assert forget_token("HF_TOKEN")
    assert "HF_TOKEN" not in os.environ
    assert sources() == {"WANDB_API_KEY": "kept"}
    assert not forget_token("HF_TOKEN")


@pytest.mark.skipif(os.name == "nt", reason="platform: Windows has no such rights")
def test_only_the_owner_may_read_them():
    before = os.umask(0)
    try:
        keep_token("HF_TOKEN", VALUE)
    finally:
        os.umask(before)
    assert stat.S_IMODE(tokens_path().stat().st_mode) == 0o600


def test_the_environment_comes_before_a_file_here_and_that_before_what_is_kept(monkeypatch: pytest.MonkeyPatch):
    for name in SECRET_VARIABLES:
        keep_token(name, "kept-one")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_TOKEN", "from-shell")
    Path(".env").write_text("HF_TOKEN=from-file\nCIVITAI_API_KEY=from-file")
    load_tokens()
    assert [os.environ[name] for name in SECRET_VARIABLES] == ["from-shell", "from-file", "kept-one"]
    assert sources() == {"HF_TOKEN": "environment", "CIVITAI_API_KEY": "environment", "WANDB_API_KEY": "kept"}


@pytest.mark.parametrize("value", ["", "  \n", "two words", "line\nbreak", "'quoted'", "schlüssel", "x" * 5000])
def test_what_is_no_token_is_refused_and_not_told(value: str):
    keep_token("HF_TOKEN", VALUE)
    with pytest.raises(UserError, match="is no token") as caught:
        keep_token("HF_TOKEN", value)
    assert value.strip() == "" or value.strip() not in str(caught.value)
    assert os.environ["HF_TOKEN"] == VALUE


def test_an_unknown_name_is_refused():
    with pytest.raises(UserError, match="HF_TOKEN, CIVITAI_API_KEY, WANDB_API_KEY"):
        keep_token("PATH", VALUE)
    with pytest.raises(UserError, match="no token 'PATH'"):
        forget_token("PATH")


def test_a_full_disk_leaves_the_old_ones(monkeypatch: pytest.MonkeyPatch):
    keep_token("HF_TOKEN", VALUE)
    monkeypatch.setenv("LORATORY_FAULT", "tokens.before_rename=enospc")
    with pytest.raises(DiskFull):
        keep_token("HF_TOKEN", "another")
    assert f"HF_TOKEN={VALUE}\n" in tokens_path().read_text()
    assert os.environ["HF_TOKEN"] == VALUE


def test_tokens_of_another_programs_file_never_replace_ones_own():
    keep_token("HF_TOKEN", VALUE)
    said = keep_new_tokens({"HF_TOKEN": "theirs-0123", "WANDB_API_KEY": "theirs-4567"})
    assert os.environ["HF_TOKEN"] == VALUE
    assert os.environ["WANDB_API_KEY"] == "theirs-4567"
    assert "stays as it is" in said[0]
    assert str(tokens_path()) in said[1]
    assert "theirs" not in "".join(said)
    assert keep_new_tokens({"WANDB_API_KEY": "theirs-4567"}) == [], "there is nothing to say the second time"


def test_the_commands_never_show_one():
    runner = CliRunner()
    said = [runner.invoke(app, ["tokens", "set", "HF_TOKEN"], input=VALUE + "\n")]
    assert os.environ["HF_TOKEN"] == VALUE
    said += [runner.invoke(app, ["tokens", *words.split()]) for words in ("list", "remove HF_TOKEN", "list")]
    assert [each.exit_code for each in said] == [0, 0, 0, 0]
    assert VALUE not in "".join(each.output for each in said)
    assert f"kept in {tokens_path()}" in said[1].output
    assert "HF_TOKEN         not set" in said[3].output
    wrong = runner.invoke(app, ["tokens", "set", "HFTOKEN"], input="x")
    assert wrong.exit_code == 1
    assert "no token 'HFTOKEN'" in wrong.output


@pytest.mark.parametrize(("file", "text"), [
    ("job.yaml", "job: extension\nconfig:\n  name: x\n  process:\n  - type: sd_trainer\n    training_folder: out\n"
                 "    model: {name_or_path: demo}\n    network: {type: lora, linear: 4}\n"
                 "    datasets: [{folder_path: pictures}]\n"
                 f"    logging: {{wandb_key: {VALUE}}}\n"),
    ("job.toml", 'pretrained_model_name_or_path = "demo"\ntrain_data_dir = "pictures"\noutput_name = "x"\n'
                 f'network_module = "networks.lora"\nwandb_api_key = "{VALUE}"\n'),
])  # fmt: skip
def test_importing_a_file_keeps_its_token_in_the_settings(file: str, text: str):
    Path("pictures/3_bird").mkdir(parents=True)
    Path(file).write_text(text)
    said = CliRunner().invoke(app, ["config", "import", file])
    assert said.exit_code == 0, said.output
    assert VALUE not in said.output
    assert os.environ["WANDB_API_KEY"] == VALUE
    assert "WANDB_API_KEY is kept in" in said.output
    assert sources() == {"WANDB_API_KEY": "kept"}
