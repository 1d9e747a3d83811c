"""Each test of datasets has a home of its own."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LORATORY_HOME", str(tmp_path / "home"))
    return tmp_path / "home"
