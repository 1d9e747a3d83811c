"""Every example is a job that passes its architecture's rules without a warning, and every architecture has one."""

import re
from pathlib import Path

import pytest

from loratory.config.architectures import SPECS
from loratory.config.load import load
from loratory.config.modules import sizes
from loratory.config.rules import check
from loratory.planner.counts import typed
from loratory.planner.estimate import estimate
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


OTHER_SIZES = {"flux2_klein-9b": "flux2_klein-9b", "sd3-large": "sd3-5-large"}
"""Examples for models of another size than their architecture's usual one, and that size's table."""


@each_example
def test_it_fits_the_card_of_its_name_by_the_planners_estimate(path: Path) -> None:
    """In every phase, with pictures of the usual size; a twentieth is left over, as in presets."""
    config, spec = load(path), SPECS[architecture_of(path.stem)]
    kind, _, memory = path.stem.rpartition("-")
    names = (spec.name, *spec.other_true_configs)
    found = sizes(spec)[names.index(OTHER_SIZES.get(kind, spec.name))]
    pictures = typed(20, (spec.default_resolution, spec.default_resolution))
    phases = estimate(config, spec, found, [pictures] * len(config.datasets)).memory.phases
    limit = 0.95 * int(memory.removesuffix("gb")) * 2**30
    too_much = {phase.name: f"{phase.bytes / 2**30:.1f} GiB" for phase in phases if phase.bytes > limit}
    assert not too_much
    assert "training" in {phase.name for phase in phases}


@each_example
def test_it_says_so_where_the_model_is_gated(path: Path) -> None:
    spec = SPECS.get(architecture_of(path.stem))
    text = path.read_text(encoding="utf-8")
    if spec is not None and spec.gated and load(path).model.path == spec.usual_repository:
        assert "gated" in text
        assert "HF_TOKEN" in text
