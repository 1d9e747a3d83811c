"""A finished run with a bit of everything in its folder."""

from pathlib import Path

import pytest

from loratory.runs import RunFolder
from tests.made_runs import make_run


@pytest.fixture
def run(loratory_home: Path) -> RunFolder:
    """A finished run called dog."""
    return make_run(loratory_home / "output", "dog")
