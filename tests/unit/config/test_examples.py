"""Every example is a job that passes its architecture's rules without a warning, and every architecture has one."""

import re
from pathlib import Path

import pytest

from loratory.config.architectures import SPECS
from loratory.config.load import load
from loratory.config.rules import check
from tests.examples import EXAMPLES, architecture_of

each_example = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


def complaint(names: list[str], architecture: str) -> str:
    """What to do about an architecture that no example is for; nothing if there is one."""
    if any(architecture_of(name) == architecture for name in names):
        return ""
    return (
        f"no example is for {architecture}: add examples/{architecture}-<size>gb.yaml, a commented job file for cards "
        "of that many GB (docs/how-to-add/architecture.md), and more where other settings fit smaller cards"
    )


@pytest.mark.parametrize("architecture", SPECS)
def test_every_architecture_has_an_example(architecture: str) -> None:
    assert complaint([path.stem for path in EXAMPLES], architecture) == ""


def test_what_is_said_of_an_architecture_without_one() -> None:
    assert complaint(["flux2-48gb", "flux2_klein-16gb"], "flux2") == ""
    assert "add examples/flux2-<size>gb.yaml" in complaint(["flux2_klein-16gb", "flux1-dev-24gb"], "flux2")


@each_example
def test_it_is_named_after_architecture_and_card(path: Path) -> None:
    assert re.fullmatch(r"[a-z0-9_]+(-[a-z0-9]+)*-[0-9]+gb\.yaml", path.name), (
        f"{path.name}: name it <architecture>-<size>gb.yaml, or <architecture>-<kind>-<size>gb.yaml"
    )


@each_example
def test_it_is_commented(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert max(map(len, lines)) <= 120
    head = lines[: lines.index("job: train")]
    assert head, "it begins with what it is for"
    assert all(line.startswith("# ") for line in head), "it begins with what it is for"
    assert any(line.startswith("# Change: ") for line in head), "a line `# Change: …` says what to put in"
    size = path.stem.rpartition("-")[2].removesuffix("gb")
    assert re.search(rf"\b{size} GB\b", "\n".join(head)), "say the card's memory"
    assert sum("#" in line for line in lines) >= 4, "say what settings cost"


@each_example
def test_it_is_a_sound_job(path: Path) -> None:
    """Its fields are known; where its architecture is here, its rules have nothing to say."""
    config = load(path)
    spec = SPECS.get(architecture_of(path.stem))
    if spec is not None:
        assert check(config, spec) == []


@each_example
def test_it_says_so_where_the_model_is_gated(path: Path) -> None:
    spec = SPECS.get(architecture_of(path.stem))
    text = path.read_text(encoding="utf-8")
    if spec is not None and spec.gated and load(path).model.path == spec.usual_repository:
        assert "gated" in text
        assert "HF_TOKEN" in text
