"""Only models and their specs know the names of architectures: what trains, adapts and reads data works for all."""

import re
from pathlib import Path

import pytest

import loratory
from loratory.config.architectures import SPECS

ROOT = Path(loratory.__file__).parent
NEUTRAL = ("captioning", "data", "jobs", "networks", "server", "training")
"""Packages that work for every architecture; those that are not there yet count once they are."""
OPTIONS = ("flux_shift", "nextdit_shift")
"""Names of options in the field that have an architecture's name in them."""


def words() -> re.Pattern[str]:
    """Names, titles, and names without their version where enough is left to be unlike other words."""
    plain = [re.sub(r"[\d_]+$", "", name) for name in SPECS]
    found = {*SPECS, *(spec.title for spec in SPECS.values()), *(name for name in plain if len(name) > 3)}
    return re.compile(r"(?<![a-z])(" + "|".join(re.escape(word) for word in sorted(found)) + ")", re.IGNORECASE)


def named(text: str) -> list[str]:
    for option in OPTIONS:
        text = text.replace(option, "")
    return [f"{number}: {line.strip()}" for number, line in enumerate(text.splitlines(), 1) if words().search(line)]


@pytest.mark.parametrize("package", [name for name in NEUTRAL if (ROOT / name).is_dir()])
def test_no_architecture_is_named(package: str) -> None:
    found = {path.name: named(path.read_text(encoding="utf-8")) for path in (ROOT / package).rglob("*.py")}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_the_search_finds_what_it_is_for() -> None:
    assert len(named('if spec.name == "sdxl":\n# as Flux.1 does\nx = SD15\n')) == 3
    assert named('timestep_sampling == "flux_shift"\ninfluxes = 1\n') == []
