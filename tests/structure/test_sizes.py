"""House numbers that ruff has no rule for: lines of a file, lines of a function.

Past the first number a file or function needs a line below with its reason; past the second nothing helps.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("loratory", "scripts", "benchmarks", "tests", "examples")
FILE_LINES, FILE_LINES_HARD = 500, 800
FUNCTION_LINES, FUNCTION_LINES_HARD = 60, 120
LOOP_LINES = 400

# path -> why it is good as it is
LONG_FILES: dict[str, str] = {}
# path::function -> why it is good as it is
LONG_FUNCTIONS: dict[str, str] = {}


def python_files(root: Path) -> Iterator[tuple[str, str]]:
    """(path relative to the root, text) of every Python file of ours."""
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            if "__pycache__" not in path.parts:
                yield path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")


def function_lengths(text: str) -> Iterator[tuple[str, int]]:
    """(name, lines from `def` to the last line) of every function and method."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def complaints(lengths: dict[str, int], soft: int, hard: int, excused: dict[str, str]) -> list[str]:
    """What is too long, and excuses that nothing needs any more."""
    found = []
    for name, lines in lengths.items():
        if lines > hard:
            found.append(f"{name}: {lines} lines, {hard} is the most: split it")
        elif lines > soft and not excused.get(name):
            found.append(f"{name}: {lines} lines, more than {soft}: split it, or list it with a reason")
    found += [f"{name}: listed as long and is not" for name in excused if lengths.get(name, 0) <= soft]
    return found


def test_files():
    lengths = {name: len(text.splitlines()) for name, text in python_files(ROOT)}
    assert len(lengths) > 30, "where are the files?"
    assert complaints(lengths, FILE_LINES, FILE_LINES_HARD, LONG_FILES) == []


def test_functions():
    lengths: dict[str, int] = {}
    for name, text in python_files(ROOT):
        for function, lines in function_lengths(text):
            key = f"{name}::{function}"
            lengths[key] = max(lines, lengths.get(key, 0))
    assert len(lengths) > 100, "where are the functions?"
    assert complaints(lengths, FUNCTION_LINES, FUNCTION_LINES_HARD, LONG_FUNCTIONS) == []


def test_the_loop_can_be_read_in_one_sitting():
    loop = ROOT / "loratory" / "training" / "loop.py"
    assert len(loop.read_text(encoding="utf-8").splitlines()) < LOOP_LINES


@pytest.mark.parametrize(
    ("lines", "excused", "words"),
    [
        (60, {}, []),
        (61, {}, ["more than 60"]),
        (61, {"f": "a table"}, []),
        (61, {"f": ""}, ["more than 60"]),
        (120, {"f": "a table"}, []),
        (121, {"f": "a table"}, ["120 is the most"]),
        (60, {"f": "a table"}, ["listed as long and is not"]),
    ],
)
def test_complaints(lines, excused, words):
    text = "def f():\n" + "    x = 1\n" * (lines - 1)
    found = complaints(dict(function_lengths(text)), 60, 120, excused)
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True))


def test_methods_and_inner_functions_count():
    text = "class A:\n    def outer(self):\n        async def inner():\n            pass\n        return inner\n"
    assert sorted(function_lengths(text)) == [("inner", 2), ("outer", 4)]
