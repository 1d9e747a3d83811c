"""Small trainings give the losses that they always gave."""

import json
from pathlib import Path

import pytest

from scripts.golden import OF_ONE, SETTINGS, STEPS, STORED, TOLERANCE, measure, settings_of
from tests.architectures import each_with
from tests.tiny import TINY

# Plainly every architecture is trained in the quick tier, too; what else there is, by a few of them.
CASES = [
    *((name, "plain") for name in TINY),
    *each_with(name for name in SETTINGS if name != "plain"),
    *((name, setting) for setting, (name, _) in OF_ONE.items()),
]
GOLDEN = json.loads(STORED.read_text(encoding="utf-8")) if STORED.exists() else {}


def test_each_architecture_has_its_losses() -> None:
    """A new architecture or setting: python scripts/golden.py --write --of NAME."""
    assert {name: settings.keys() for name, settings in GOLDEN.items()} == {
        name: settings_of(name).keys() for name in TINY
    }
    assert len(CASES) == sum(len(settings) for settings in GOLDEN.values())
    for settings in GOLDEN.values():
        for losses in settings.values():
            assert len(set(losses)) == STEPS, "every step has a loss of its own"


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "setting"), CASES)
def test_losses(architecture: str, setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a change of the numbers is wanted: python scripts/golden.py --write, and say why in the commit."""
    monkeypatch.setenv("LORATORY_HOME", str(tmp_path / "home"))  # put back afterwards
    (tmp_path / "work").mkdir()
    found = measure(architecture, setting, tmp_path / "work")
    assert found["losses"] == pytest.approx(GOLDEN[architecture][setting], rel=TOLERANCE)
