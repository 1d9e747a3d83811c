"""scripts/chromium.py: the browser of the browser tests is found, installed where that may be done, or asked for."""

import os

import pytest

from scripts import chromium

pytestmark = pytest.mark.skipif(os.name == "nt", reason="platform: needs programs that scripts can stand in for")


@pytest.fixture
def path(tmp_path, monkeypatch):
    """The only folder with programs; a system with no browser elsewhere."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("LORATORY_SKIP_WEB", raising=False)
    monkeypatch.setattr(chromium, "PLACES", ())
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


def program(path, name, body="exit 0"):
    (path / name).write_text(f"#!/bin/sh\n{body}\n")
    (path / name).chmod(0o755)
    return str(path / name)


@pytest.mark.parametrize("name", ["chromium", "chromium-browser", "google-chrome"])
def test_one_that_is_there_is_used(path, name, capsys):
    assert chromium.find() is None
    there = program(path, name)
    assert chromium.find() == there
    assert chromium.main() == 0
    assert capsys.readouterr().out == ""


def test_root_installs_debians(path, capsys):
    # Without lists of packages the first try fails, as in a new container.
    program(path, "apt-get", f"""
case "$*" in
  update) : > {path}/lists ;;
  "install --yes --no-install-recommends chromium") [ -e {path}/lists ] || exit 100
    : > {path}/chromium; /bin/chmod +x {path}/chromium ;;
  *) exit 1 ;;
esac""")  # fmt: skip
    assert chromium.main() == 0
    assert chromium.find() == str(path / "chromium")
    [line] = capsys.readouterr().out.splitlines()
    assert line.endswith("about 400 MB: apt-get install --yes --no-install-recommends chromium")


@pytest.mark.parametrize("root", [True, False])
def test_where_it_cannot_be_installed_one_sentence_says_what_to_do(path, monkeypatch, capsys, root):
    program(path, "apt-get", f"echo asked >> {path}/asked; echo 'E: Unable to locate package chromium'; exit 100")
    monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
    assert chromium.main() == 0, "the other tests can go on; those of the browser say themselves that they cannot"
    said = capsys.readouterr().out.splitlines()[-1]
    assert "sudo apt-get install --no-install-recommends chromium" in said
    assert ("Unable to locate package chromium" in said) is root
    assert (path / "asked").exists() is root
