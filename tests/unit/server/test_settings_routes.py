"""Settings and tokens, over HTTP."""

import os

import pytest

from loratory.settings import settings_path

SECRET = "hf_" + "aZ3kQ9w" * 4


def test_settings_are_read_changed_and_refused_when_stale(client, tmp_path):
    (tmp_path / "more").mkdir()
    kept = client.get("/api/settings").json()
    assert kept["version"] == "0"
    kept["settings"]["paths"]["datasets"] = [str(tmp_path / "more")]
    changed = client.put("/api/settings", json=kept).json()
    assert changed["settings"] == kept["settings"]
    assert client.get("/api/settings").json() == changed
    stale = client.put("/api/settings", json=kept)
    assert (stale.status_code, stale.json()["code"]) == (409, "stale")
    assert stale.json()["settings"] == changed["settings"]
    assert stale.json()["version"] == changed["version"]


@pytest.mark.parametrize(
    "change",
    [
        {"colour": "red"}, {"access": {"session_days": 0}}, {"access": {"session_days": True}},
        {"paths": {"datasets": ["/"]}},
        {"paths": {"datasets": ["/etc"]}}, {"paths": {"models": ["../x"]}}, {"paths": []},
        {"paths": {"datasets": ["/not/there"]}},
    ],
    ids=str,
)  # fmt: skip
def test_bad_settings_are_refused(client, change):
    answer = client.put("/api/settings", json={"settings": change, "version": "0"})
    assert answer.status_code == 422
    assert not settings_path().exists()


def test_damaged_settings_are_said(client):
    settings_path().parent.mkdir(exist_ok=True)
    settings_path().write_text("paths: [", encoding="utf-8")
    for answer in (
        client.get("/api/settings"),
        client.put("/api/settings", json={"settings": {}, "version": "0"}),
        client.get("/api/system"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "settings_damaged")
        assert "line 1" in answer.json()["detail"]
    assert settings_path().read_text(encoding="utf-8") == "paths: ["


def test_tokens_are_written_and_never_told(client, monkeypatch):
    for name in ("HF_TOKEN", "WANDB_API_KEY", "CIVITAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    answers = [client.put("/api/settings/tokens/HF_TOKEN", json={"value": SECRET}), client.get("/api/settings/tokens")]
    assert os.environ["HF_TOKEN"] == SECRET, "engines that are started from now on have it"
    facts = {each["name"]: (each["is_set"], each["source"]) for each in answers[1].json()}
    assert facts == {
        "HF_TOKEN": (True, "kept"),
        "WANDB_API_KEY": (True, "environment"),
        "CIVITAI_API_KEY": (False, None),
    }
    answers.append(client.delete("/api/settings/tokens/HF_TOKEN"))
    assert not answers[-1].json()[0]["is_set"]
    assert "HF_TOKEN" not in os.environ
    answers.append(client.put("/api/settings/tokens/HF_TOKEN", json={"value": f"{SECRET} {SECRET}"}))
    answers.append(client.put("/api/settings/tokens/HF_TOKEN", json={"value": SECRET * 200}))
    answers.append(client.put("/api/settings/tokens/HF_TOKEN", json={"value": [SECRET]}))
    assert [answer.status_code for answer in answers[-3:]] == [422, 422, 422]
    assert [answer.text for answer in answers if SECRET in answer.text] == []
    assert client.put("/api/settings/tokens/PATH", json={"value": SECRET}).status_code == 404
