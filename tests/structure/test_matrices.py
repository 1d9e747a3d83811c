"""What every architecture pays for in the quick tier stays small: whole trainings go through `tests.architectures`."""

import ast
from pathlib import Path

import pytest

from tests.architectures import FEW, each, each_pair, each_with, spread
from tests.tiny import TINY

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("e2e", "chaos", "golden")
ALL = {"TINY", "SPECS", "SINGLE_FILES", "KNOWN_TO_DIFFUSERS"}
HELPERS = {"each", "each_pair", "each_with", "spread"}


def unmarked(source: str) -> list[str]:
    """Tests that are parametrised with every architecture and neither sorted by a helper nor marked `full`."""
    found = []
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, ast.FunctionDef):
            continue
        decorators = [ast.unparse(decorator) for decorator in function.decorator_list]
        if any("mark.full" in text for text in decorators):
            continue
        for decorator, text in zip(function.decorator_list, decorators, strict=True):
            names = {node.id for node in ast.walk(decorator) if isinstance(node, ast.Name)}
            if "parametrize" in text and names & ALL and not names & HELPERS:
                found.append(function.name)
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_whole_trainings_are_sorted_into_tiers(folder: str) -> None:
    paths = sorted((ROOT / "tests" / folder).glob("test_*.py"))
    assert paths
    found = {path.name: names for path in paths if (names := unmarked(path.read_text(encoding="utf-8")))}
    assert found == {}, "take a helper of tests/architectures.py, such as `each` or `spread`, in their parametrize"


def test_what_is_found() -> None:
    line = '@pytest.mark.parametrize("name", {})\ndef test_a(name): ...\n'
    assert unmarked(line.format("TINY")) == ["test_a"]
    assert unmarked(line.format("[n for n in TINY if n]")) == ["test_a"]
    assert unmarked(line.format("each(n for n in TINY if n)")) == []
    assert unmarked("@pytest.mark.full\n" + line.format("TINY")) == []
    assert unmarked(line.format("NAMES")) == []


def test_the_helpers_leave_every_case_to_some_tier() -> None:
    """All pairs are there once; the quick tier has each column, and each of the few."""

    def quick(cases: list) -> list:
        return [case.values for case in cases if not case.marks]

    assert [case.values for case in each()] == [(name,) for name in TINY]
    assert [name for (name,) in quick(each())] == [name for name in TINY if name in FEW]
    assert quick(each(quick=("sd15",))) == [("sd15",)]
    columns = ["a", "b", "c", "d", "e"]
    cases = each_with(columns, always=["e"])
    assert sorted(case.values for case in cases) == sorted((name, column) for name in TINY for column in columns)
    assert [column for name, column in quick(cases) if column != "e"] == ["a", "b", "c", "d"]
    assert sorted(name for name, column in quick(cases) if column != "e") == sorted(FEW)
    assert [name for name, column in quick(cases) if column == "e"] == list(TINY)
    assert quick(each_pair([("sd15", 1), ("sd3", 2)])) == [("sd15", 1)]
    pairs = [(name, column) for column in columns for name in TINY if (name, column) != ("sd15", "a")]
    assert [case.values for case in spread(pairs)] == pairs
    assert sorted(name for name, _ in quick(spread(pairs))) == sorted(TINY), "one for each of the longer side"
    assert {column for _, column in quick(spread(pairs))} == set(columns)
    assert quick(spread([("x", 1), ("x", 2), ("y", 2)])) == [("x", 1), ("y", 2)]
    assert set(FEW) <= set(TINY)
