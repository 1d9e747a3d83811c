"""The quickstart's last words: where its run can be seen."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from loratory.runs import exclusive, home_folder, known_runs
from loratory.server.serve import note_path
from scripts.quickstart import where_to_see
from tests.made_runs import make_run


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run outside of the home, as the quickstart leaves one in the checkout."""
    monkeypatch.setenv("LORATORY_HOME", str(tmp_path / "home"))
    return make_run(tmp_path / "checkout" / "output", "lory")


def test_it_names_the_command_and_the_address_of_the_run(run, monkeypatch):
    said = where_to_see(run.path)
    found = re.fullmatch(r"See the run in the browser: start `(.+) serve`, then open (http://\S+)/runs/(\w+)", said)
    assert found is not None, said
    assert (found[2], found[3]) == ("http://127.0.0.1:8675", run.id)
    assert shutil.which(found[1].partition(" -m")[0])
    assert known_runs() == [run.path.resolve()], "the server lists it"
    monkeypatch.chdir(Path(sys.executable).parent.parent)
    assert "start `bin/" in where_to_see(run.path) or "start `Scripts" in where_to_see(run.path)


def test_a_server_that_runs_already_is_named(run):
    with exclusive(home_folder("state") / "server.lock"):
        assert "start `" in where_to_see(run.path), "it has not said its address yet"
        note_path().write_text('{"address": "http://127.0.0.1:9000/studio/"}', encoding="utf-8")
        assert where_to_see(run.path) == f"See the run in the browser: http://127.0.0.1:9000/studio/runs/{run.id}"
    assert "start `" in where_to_see(run.path), "what a killed server left behind is no server"
