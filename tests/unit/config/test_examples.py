"""Every example is a job that passes its architecture's rules without a warning."""

from pathlib import Path

import pytest

from loratory.config.architectures import SPECS, get_spec
from loratory.config.load import load
from loratory.config.rules import check

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_sound_job(path: Path) -> None:
    config = load(path)
    assert check(config, get_spec(path.stem)) == []


def test_every_architecture_has_an_example() -> None:
    assert {path.stem for path in EXAMPLES} >= set(SPECS)
