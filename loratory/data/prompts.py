"""kohya's prompt lines: `a dog on a beach --n blurry --w 768 --h 512 --d 7 --l 7.5 --s 30`.

ai-toolkit's names of the same options are understood, too. `interop/prompt_files.py` reads whole files.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

from loratory.errors import UserError


@dataclass(frozen=True)
class Prompt:
    """One picture to make. None means: the job's or the architecture's usual value."""

    text: str
    negative: str | None = None
    width: int | None = None
    height: int | None = None
    seed: int | None = None
    scale: float | None = None
    """Classifier-free guidance."""
    steps: int | None = None
    guidance: float | None = None
    """Guidance that the model itself is told."""
    rescale: float | None = None
    """Lin et al. 2023, section 3.4: 0 leaves the contrast that classifier-free guidance has raised."""
    strength: float | None = None
    """Of the LoRA; 0 shows the base model."""
    sampler: str | None = None
    flow_shift: float | None = None
    """Time shift of a flow model instead of its own."""
    control_images: tuple[str, ...] = ()
    """Paths."""

    def digest(self) -> str:
        """Eight hex digits that stand for these settings in file names."""
        if self.negative is None:
            return replace(self, negative="").digest()
        usual = Prompt("", strength=1.0)
        told = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(self)
            # Options that came later are left out where they do nothing, so that names of files stay.
            if field.name in _FIRST or getattr(self, field.name) not in (None, getattr(usual, field.name))
        ]
        return hashlib.blake2b(f"Prompt({', '.join(told)})".encode(), digest_size=4).hexdigest()


_FIRST = ("text", "negative", "width", "height", "seed", "scale", "steps", "guidance")

FLAGS = {
    "n": "negative",
    "w": "width",
    "h": "height",
    "d": "seed",
    "seed": "seed",
    "s": "steps",
    "steps": "steps",
    "l": "scale",
    "cfg": "scale",
    "g": "guidance",
    "gr": "rescale",
    "am": "strength",
    "m": "strength",
    "network_multiplier": "strength",
    "ss": "sampler",
    "fs": "flow_shift",
    "ci": "control_images",
    "ctrl_img": "control_images",
    "ctrl_img_1": "control_images",
    "ctrl_img_2": "control_images",
    "ctrl_img_3": "control_images",
}
"""Options of a line, without `--`, and the fields that they set."""

_GUIDED = "guidance works in every step and is renormalised, as its pipeline does it"
_SECOND_TEXT = "all text encoders read the same text here; put it into the prompt"
_VIDEO = "samples are single pictures"
_BEGIN = "samples begin from noise, not from a picture"
REFUSED = {
    "cn": "no ControlNet is used in samples; for a model's own control input there is --ci",
    "ctr": _GUIDED,
    "rcfg": _GUIDED,
    "i": _BEGIN,
    "img": _BEGIN,
    "ei": _VIDEO,
    "f": _VIDEO,
    "fps": _VIDEO,
    "frames": _VIDEO,
    "num_frames": _VIDEO,
    "p2": _SECOND_TEXT,
    "n2": _SECOND_TEXT,
    "a": "no adapter is used in samples",
    "ref": "no refiner is used in samples",
    "ev": "no architecture here has extra values",
    "ctrl_idx": "there is no choice of control inputs",
}
"""Options that other programs know and that cannot have an effect here, and why."""

_WHOLE = {"width": (16, 16384), "height": (16, 16384), "seed": (0, 2**63 - 1), "steps": (1, 1000)}
_BROKEN = {"scale": None, "guidance": None, "strength": None, "rescale": (0, 1), "flow_shift": (1e-3, 1e3)}
_FLAG = re.compile(r"(?:^|\s)--(?P<key>[a-zA-Z][a-zA-Z0-9_]*)(?=\s|$)")


def parse_prompt(line: str) -> Prompt:
    """Read one line. Keys may be in any order and letter case; the last of a key counts, as it does for kohya.

    Raises UserError for an unknown key or a value that is no number.
    """
    return prompt_of(options_of(line), f"The prompt {line!r}")


def options_of(line: str) -> dict[str, Any]:
    """The text and the options of a line, by the fields that they set; values are texts as they were written.

    Raises UserError for an option that is unknown or can have no effect.
    """
    flags = list(_FLAG.finditer(line))
    text = line[: flags[0].start()] if flags else line
    found: dict[str, Any] = {"text": text.strip()}
    for number, flag in enumerate(flags):
        end = flags[number + 1].start() if number + 1 < len(flags) else len(line)
        key, value = flag["key"].lower(), line[flag.end() : end].strip()
        if key in REFUSED:
            raise UserError(f"The prompt {line!r} has --{flag['key']}: {REFUSED[key]}; take it out.")
        if key not in FLAGS:
            known = ", ".join(f"--{name}" for name in FLAGS)
            raise UserError(f"The prompt {line!r} has the unknown option --{flag['key']}; known: {known}.")
        field = FLAGS[key]
        found[field] = [*found.get(field, []), value] if field == "control_images" else value
        if field in _WHOLE | _BROKEN:
            _number(value, field, f"The prompt {line!r} has --{key} {value!r}")
    return found


def prompt_of(options: dict[str, Any], what: str) -> Prompt:
    """A prompt of options by field; numbers may be numbers or texts. `what` begins the sentence of an error.

    Raises UserError for a value of another kind or out of range.
    """
    values: dict[str, Any] = {}
    for name, value in options.items():
        if value is None:
            continue
        if name in _WHOLE | _BROKEN:
            values[name] = _number(value, name, f"{what} has {name} {value!r}")
        elif name == "control_images":
            paths = value if isinstance(value, list | tuple) else [value]
            if not all(isinstance(path, str) and path for path in paths):
                raise UserError(f"{what} has {name} {value!r}; it must be the paths of pictures.")
            values[name] = tuple(paths)
        elif not isinstance(value, str):
            raise UserError(f"{what} has {name} {value!r}; it must be a text.")
        else:
            values[name] = value
    for name, limits in (_WHOLE | _BROKEN).items():
        if name in values and limits is not None and not limits[0] <= values[name] <= limits[1]:
            low, high = limits
            raise UserError(f"{what} asks for {name} {values[name]}; it must lie in {low} to {high}.")
    return Prompt(**values)


def _number(value: Any, field: str, has: str) -> int | float:
    is_whole = field in _WHOLE
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError(value)
        number = int(value) if is_whole else float(value)
        if number != (float(value) if isinstance(value, float) else number) or not math.isfinite(number):
            raise ValueError(value)
        return number
    except (ValueError, OverflowError):
        kind = "a whole number" if is_whole else "a number"
        raise UserError(f"{has}; it must be {kind}.") from None


def parse_prompts(lines: Iterable[str], where: str = "") -> list[Prompt]:
    """Read lines; blank ones and those that begin with # are left out.

    Raises UserError, which names `where` (a file, for example) and the number of the line.
    """
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            found.append(parse_prompt(line.strip()))
        except UserError as error:
            raise UserError(f"{where}, line {number}: {error}" if where else str(error)) from None
    return found
