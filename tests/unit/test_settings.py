"""The settings file: versions, damage, folders that may not be given away."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from loratory import settings as module
from loratory.errors import UserError
from loratory.settings import (
    DamagedSettings,
    Paths,
    Settings,
    StaleSettings,
    change_settings,
    read_settings,
    roots,
    settings_path,
)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("LORATORY_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def with_datasets(*folders: Path) -> Settings:
    return Settings(paths=Paths(datasets=tuple(map(str, folders))))


def test_without_a_file_everything_is_as_it_comes(home):
    kept = read_settings()
    assert kept.settings == Settings()
    assert kept.version == "0"
    assert not home.exists(), "looking makes nothing"


def test_a_change_is_kept_and_has_another_version(tmp_path):
    (tmp_path / "more").mkdir()
    first = change_settings(with_datasets(tmp_path / "more"), "0")
    assert read_settings() == first
    second = change_settings(Settings(), first.version)
    assert len({"0", first.version, second.version}) == 3
    assert settings_path().read_text(encoding="utf-8").startswith("paths:")


def test_a_change_to_an_older_version_is_refused(tmp_path):
    kept = change_settings(Settings(), "0")
    before = settings_path().read_bytes()
    with pytest.raises(StaleSettings) as error:
        change_settings(Settings(), "0")
    assert error.value.kept == kept
    settings_path().write_text("access: {session_days: 3}\n", encoding="utf-8")  # by hand
    with pytest.raises(StaleSettings) as error:
        change_settings(Settings(), kept.version)
    assert error.value.kept.settings.access.session_days == 3
    assert settings_path().read_bytes() != before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("paths: [", "line"), ("paths: {datasets: 3}", "paths.datasets"), ("colour: red", "colour"),
        ("- 1", "settings"),
        ("access: {session_days: 0}", "access.session_days"), ("access: {session_days: true}", "session_days"),
        ("\x00\x01", "understood"), ("a: 1\na: 2", "twice"), ("x" * 1_100_000, "settings"),
        ("paths:\n  datasets: [pictures]", "whole path"),
    ],
    ids=lambda value: value[:20],
)  # fmt: skip
def test_damage_is_said_and_never_written_over(text, said):
    settings_path().parent.mkdir(parents=True)
    settings_path().write_bytes(text.encode())
    with pytest.raises(DamagedSettings, match=said) as error:
        read_settings()
    assert str(settings_path()) in str(error.value)
    assert "move it away" in str(error.value)
    for version in ("0", ""):
        with pytest.raises(DamagedSettings):
            change_settings(Settings(), version)
    assert settings_path().read_bytes() == text.encode()


def test_no_bytes_that_are_no_text():
    settings_path().parent.mkdir(parents=True)
    settings_path().write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DamagedSettings, match="cannot be understood"):
        read_settings()


def test_an_empty_file_is_no_damage():
    settings_path().parent.mkdir(parents=True)
    settings_path().write_text("\n# nothing yet\n", encoding="utf-8")
    assert read_settings().settings == Settings()


def refused(folder: object) -> str:
    with pytest.raises(ValidationError) as error:
        Paths(datasets=(str(folder),))
    return module.mistakes(error.value)


def test_folders_that_are_no_roots(home, tmp_path, monkeypatch):
    monkeypatch.setattr(module.Path, "home", lambda: tmp_path / "user" / "maria")
    user = tmp_path / "user" / "maria"
    for folder in ("/", user, user.parent, tmp_path, home.parent):
        assert "too much" in refused(folder), folder
    assert "own folder" in refused(home)
    assert "own folder" in refused(home / "state")
    for folder in ("/etc", "/etc/ssl", "/proc/self", "/sys", "/dev", user / ".ssh", user / ".cache" / "x"):
        assert "belongs to the system" in refused(folder), folder
    for folder in ("pictures", "", "a\0b", "../x"):
        assert "whole path" in refused(folder), folder
    assert Paths(datasets=(str(user / "pictures"),)).datasets == (str(user / "pictures"),)


def test_a_folder_above_the_home_is_no_root(home, tmp_path, monkeypatch):
    monkeypatch.setenv("LORATORY_HOME", str(tmp_path / "work" / "loratory"))
    assert "own folder" in refused(tmp_path / "work")


def test_a_link_to_what_is_no_root_is_none(home, tmp_path):
    home.mkdir()
    (tmp_path / "link").symlink_to(home, target_is_directory=True)
    assert "own folder" in refused(tmp_path / "link")


def test_new_folders_must_be_there_and_old_ones_may_be_away(tmp_path):
    folder = tmp_path / "disk"
    with pytest.raises(UserError, match=r"paths\.datasets: there is no folder"):
        change_settings(with_datasets(folder), "0")
    folder.mkdir()
    kept = change_settings(with_datasets(folder), "0")
    folder.rmdir()
    (tmp_path / "other").mkdir()
    change_settings(with_datasets(folder, tmp_path / "other"), kept.version)


def test_roots_have_lasting_ids(home, tmp_path):
    (tmp_path / "more").mkdir()
    change_settings(with_datasets(tmp_path / "more", tmp_path / "more"), "0")
    found = roots("datasets")
    assert [(root.id == "home", root.path) for root in found] == [(True, home / "datasets"), (False, tmp_path / "more")]
    assert roots("datasets") == found
    assert len(found[1].id) == 12
    assert [root.path for root in roots("models")] == [home / "models"]
