"""kohya's prompt lines: `a dog on a beach --n blurry --w 768 --h 512 --d 7 --l 7.5 --s 30`."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from loratory.errors import UserError


@dataclass(frozen=True)
class Prompt:
    """One picture to make. None means: the architecture's usual value."""

    text: str
    negative: str = ""
    width: int | None = None
    height: int | None = None
    seed: int | None = None
    scale: float | None = None
    steps: int | None = None
    guidance: float | None = None

    def digest(self) -> str:
        """Eight hex digits that stand for these settings in file names."""
        return hashlib.blake2b(repr(self).encode(), digest_size=4).hexdigest()


_FLAG = re.compile(r"(?:^|\s)--(?P<key>[a-zA-Z]+)(?=\s|$)")
_WHOLE = {"w": "width", "h": "height", "d": "seed", "s": "steps"}
_BROKEN = {"l": "scale", "g": "guidance"}
_LIMITS = {"width": (16, 16384), "height": (16, 16384), "seed": (0, 2**63 - 1), "steps": (1, 1000)}


def parse_prompt(line: str) -> Prompt:
    """Read one line. Keys may be in any order and letter case; the last of a key counts, as it does for kohya.

    Raises UserError for an unknown key or a value that is no number.
    """
    flags = list(_FLAG.finditer(line))
    text = line[: flags[0].start()] if flags else line
    values: dict[str, str | int | float] = {}
    for number, flag in enumerate(flags):
        end = flags[number + 1].start() if number + 1 < len(flags) else len(line)
        key, value = flag["key"].lower(), line[flag.end() : end].strip()
        if key == "n":
            values["negative"] = value
        elif key in _WHOLE:
            values[_WHOLE[key]] = _number(line, key, value, whole=True)
        elif key in _BROKEN:
            values[_BROKEN[key]] = _number(line, key, value, whole=False)
        else:
            known = ", ".join(f"--{name}" for name in ("n", *_WHOLE, *_BROKEN))
            raise UserError(f"The prompt {line!r} has the unknown option --{flag['key']}; known: {known}.")
    for name, (low, high) in _LIMITS.items():
        if name in values and not low <= int(values[name]) <= high:
            raise UserError(f"The prompt {line!r} asks for {name} {values[name]}; it must lie in {low} to {high}.")
    return Prompt(text=text.strip(), **values)  # type: ignore[arg-type]


def _number(line: str, key: str, value: str, *, whole: bool) -> int | float:
    try:
        number = int(value) if whole else float(value)
        if isinstance(number, float) and not math.isfinite(number):
            raise ValueError(value)
        return number
    except ValueError:
        kind = "a whole number" if whole else "a number"
        raise UserError(f"The prompt {line!r} has --{key} {value!r}; it must be {kind}.") from None


def parse_prompts(lines: Iterable[str]) -> list[Prompt]:
    """Read lines; blank ones and those that begin with # are left out."""
    return [parse_prompt(line.strip()) for line in lines if line.strip() and not line.lstrip().startswith("#")]


def read_prompts(path: Path) -> list[Prompt]:
    """Read a prompt file. Raises UserError for one that cannot be read or holds no prompt."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The prompt file {path} cannot be read as UTF-8 text: {error}.") from error
    prompts = parse_prompts(lines)
    if not prompts:
        raise UserError(f"The prompt file {path} holds no prompt; write one in each line.")
    return prompts
