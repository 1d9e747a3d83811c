"""Command lines as people paste them: bash, cmd and PowerShell, with line breaks, quotes and variables."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from loratory.errors import UserError
from loratory.interop.kohya.names import ALL, FLAGS, LISTS

SCRIPT = re.compile(r"(?:^|[\s\"'/\\=])(?P<name>(?:\w+_)?(?:train(?:_\w+)?|fine_tune))\.py(?=[\s\"']|$)")
LAUNCHED = "accelerate launch --mixed_precision"
"""Stands for that option, which has no effect before the script's name."""

_CONTINUED = re.compile(r"[ \t]*(?:\\|\^|`)[ \t]*\r?\n[ \t]*")
_ASSIGNED = re.compile(
    r"^\s*(?:export\s+|set\s+\"?|\$)?(?P<name>[A-Za-z_]\w*)\s*=\s*(?P<value>\"[^\"]*\"|'[^']*'|[^\s\"';&]*)\"?\s*;?\s*(?:#.*)?$"
)
_USED = re.compile(r"\$\{(?P<braces>\w+)\}|\$(?:env:)?(?P<plain>[A-Za-z_]\w*)|%(?P<percent>[A-Za-z_]\w*)%")
_DRIVE = re.compile(r"(?:^|[\s\"'=])[A-Za-z]:\\|(?:^|[\s\"'=])\.{1,2}\\\w")


def commands(text: str, source: str) -> list[tuple[str, dict[str, Any]]]:
    """The trainings in a text: for each the script's name and its arguments. Raises UserError."""
    variables: dict[str, str] = {}
    found = []
    for line in _CONTINUED.sub(" ", text.replace("\r\n", "\n")).splitlines():
        if line.lstrip().lower().startswith(("#", "rem ", "::", "@rem ")):
            continue
        assigned = _ASSIGNED.match(line)
        if assigned is not None:
            variables[assigned["name"]] = _with_variables(assigned["value"].strip("\"'"), variables, source)
        elif SCRIPT.search(line):
            found.append(_command(_with_variables(line, variables, source), source))
    if not found:
        raise UserError(f"{source} has no command of sd-scripts in it, such as: accelerate launch train_network.py --…")
    return found


def _with_variables(line: str, variables: Mapping[str, str], source: str) -> str:
    def value(match: re.Match[str]) -> str:
        name = match["braces"] or match["plain"] or match["percent"]
        if name not in variables:
            raise UserError(
                f"{source} uses the variable {match[0]}, which it does not set; put its value in its place."
            )
        return variables[name]

    return _USED.sub(value, line)


def _command(line: str, source: str) -> tuple[str, dict[str, Any]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    if _DRIVE.search(line):
        lexer.escape = ""  # a backslash parts folders
    try:
        words = list(lexer)
    except ValueError as error:
        raise UserError(f"{source}: the command cannot be read: {str(error).lower()}.") from error
    at = next(i for i, word in enumerate(words) if SCRIPT.search(word))
    script = SCRIPT.search(words[at])
    assert script is not None
    rest = words[at + 1 :]
    end = next((i for i, word in enumerate(rest) if word in (";", "&&", "||", "|", "&", ">", ">>", "2>&1")), len(rest))
    found = arguments(rest[:end], source)
    if not found.keys() & {"mixed_precision"} and any(word.startswith("--mixed_precision") for word in words[:at]):
        found[LAUNCHED] = True
    return script["name"], found


def arguments(words: Sequence[str], source: str) -> dict[str, Any]:
    """Arguments by name: `--a=b`, `--a b`, switches, and lists that go on to the next name. Raises UserError."""
    found: dict[str, Any] = {}
    i = 0
    while i < len(words):
        word, i = words[i], i + 1
        if not word.startswith("--") or len(word) == 2:
            raise UserError(
                f"{source}: {word!r} stands alone; an argument such as --network_dim=16 was expected there."
            )
        name, equals, value = word[2:].partition("=")
        name = _full(name.replace("-", "_"), source)
        if name in FLAGS:
            found[name] = value if equals else True
            continue
        following = [value] if equals else []
        while (
            i < len(words)
            and not _is_name(words[i])
            and (name in LISTS or not following)
            and not (equals and name not in LISTS)
        ):
            following.append(words[i])
            i += 1
        if not following and name in ALL and name not in LISTS:
            raise UserError(f"{source}: --{name} needs a value.")
        # What nobody knows may be a switch.
        found[name] = following if name in LISTS else following[0] if following else True
    return found


def _is_name(word: str) -> bool:
    """Not a negative number and not a value."""
    return re.match(r"--[A-Za-z]", word) is not None


def _full(name: str, source: str) -> str:
    """Names may be cut short as long as they are clear, as argparse allows."""
    if name in ALL:
        return name
    longer = [known for known in ALL if known.startswith(name)]
    if len(longer) > 1:
        raise UserError(f"{source}: --{name} may be {', '.join(sorted(longer))}; write it in full.")
    return longer[0] if longer else name
