"""Files of prompts: kohya's lines (.txt), kohya's .toml and .json, ai-toolkit's `samples` (.yaml, .json, .toml)."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from loratory.data.prompts import FLAGS, REFUSED, Prompt, options_of, parse_prompts, prompt_of
from loratory.errors import UserError
from loratory.interop.named_files import read_named

# kohya's names, ai-toolkit's, and those of a Prompt itself; what is in no row is a flag's name.
_KEYS = {
    "prompt": "text",
    "negative_prompt": "negative",
    "neg": "negative",
    "negative": "negative",
    "width": "width",
    "height": "height",
    "seed": "seed",
    "sample_steps": "steps",
    "steps": "steps",
    "scale": "scale",
    "cfg_scale": "scale",
    "guidance": "guidance",
    "guidance_rescale": "rescale",
    "rescale": "rescale",
    "additional_network_multiplier": "strength",
    "network_multiplier": "strength",
    "strength": "strength",
    "sample_sampler": "sampler",
    "sampler": "sampler",
    "flow_shift": "flow_shift",
    "discrete_flow_shift": "flow_shift",
    "control_image_path": "control_images",
    "control_images": "control_images",
    "ctrl_img": "control_images",
    "ctrl_img_1": "control_images",
    "ctrl_img_2": "control_images",
    "ctrl_img_3": "control_images",
}
_REFUSED = {
    "controlnet_image": REFUSED["cn"],
    "cfg_trunc_ratio": REFUSED["ctr"],
    "renorm_cfg": REFUSED["rcfg"],
    "image": REFUSED["i"],
    "image_path": REFUSED["i"],
    "prompt_2": REFUSED["p2"],
    "neg_2": REFUSED["n2"],
    "num_frames": REFUSED["num_frames"],
    "fps": REFUSED["fps"],
    "extra_values": REFUSED["ev"],
    "adapter_conditioning_scale": REFUSED["a"],
    "refiner_start_at": REFUSED["ref"],
    "ctrl_idx": REFUSED["ctrl_idx"],
    "do_cfg_norm": "no architecture here normalises guidance so",
}
# What those programs write into every entry, and what says nothing there.
_HARMLESS: dict[str, tuple[Any, ...]] = {
    "num_frames": (1,), "fps": (1, 16), "ctrl_idx": (0,), "do_cfg_norm": (False,), "extra_values": ([],),
    "adapter_conditioning_scale": (1.0,), "refiner_start_at": (0.5,),
}  # fmt: skip
_LISTS = ("subset", "samples", "prompts")
_READERS: dict[str, Callable[[str], Any]] = {
    ".json": json.loads, ".toml": tomllib.loads, ".yaml": yaml.safe_load, ".yml": yaml.safe_load,
}  # fmt: skip


def read_prompts(path: Path, *, guided: bool = False) -> list[Prompt]:
    """Read a prompt file. `guided`: the model itself is told a guidance, which is what `guidance_scale` then means in
    ai-toolkit's files (in kohya's it always is). Paths of pictures count from the file's folder.

    Raises UserError, which names the file and the line or entry, for one that cannot be read or holds no prompt.
    """
    return parse_file(path, content_of(path), guided=guided)


def content_of(path: Path) -> bytes:
    """The bytes of a prompt file. Raises UserError for one that cannot be read."""
    try:
        return read_named(path)
    except OSError as error:
        raise UserError(f"The prompt file {path} cannot be read: {error.strerror}.") from error


def parse_file(path: Path, content: bytes, *, guided: bool = False) -> list[Prompt]:
    """As `read_prompts`, for a content that was read already."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"The prompt file {path} cannot be read as UTF-8 text: {error}.") from error
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        prompts = parse_prompts(text.splitlines(), str(path))
    else:
        try:
            data = reader(text)
        except (ValueError, yaml.YAMLError, RecursionError) as error:
            raise UserError(f"The prompt file {path} is not {path.suffix[1:].upper()}: {error}.") from error
        prompts = _entries(data, path, guided)
    if not prompts:
        raise UserError(f"The prompt file {path} holds no prompt; write one in each line.")
    return prompts


def _entries(data: Any, path: Path, guided: bool) -> list[Prompt]:
    """The prompts of a list, or of a section with values for all of them and a list under one of three names."""
    common: dict[str, Any] = {}
    is_aitoolkit = False
    if isinstance(data, Mapping):
        # [[prompt]] and [[sample]], a plain list of TOML's kind
        data = next((data[name] for name in ("prompt", "sample") if isinstance(data.get(name), list)), data)
    if isinstance(data, Mapping):
        section = next((data[name] for name in ("prompt", "sample") if isinstance(data.get(name), Mapping)), data)
        name = next((name for name in _LISTS if section.get(name)), None)
        is_aitoolkit = name in ("samples", "prompts")
        common = {key: value for key, value in section.items() if key not in _LISTS} if name else {}
        data = section[name] if name else [section] if section else []
    if not isinstance(data, list):
        raise UserError(
            f"The prompt file {path} holds no list of prompts; write one as kohya does, or as ai-toolkit's `samples`."
        )
    convert = _AsIn(path, "guidance" if guided or not is_aitoolkit else "scale")
    usual = convert.options(common, f"{path}: what all prompts share")
    found = []
    for number, entry in enumerate(data, 1):
        what = f"{path}, prompt {number}:"
        try:
            found.append(prompt_of(_without_none(usual | convert.entry(entry, what)), what))
        except UserError as error:
            raise UserError(str(error) if str(error).startswith(what) else f"{what} {error}") from None
    return found


def _without_none(options: dict[str, Any]) -> dict[str, Any]:
    return {"text": "", **{name: value for name, value in options.items() if value is not None}}


class _AsIn:
    """Reads one file's entries."""

    def __init__(self, path: Path, guidance_scale: str) -> None:
        """`guidance_scale`: the field that a key of this name sets."""
        self._path, self._keys = path, {**FLAGS, **_KEYS, "guidance_scale": guidance_scale}

    def entry(self, entry: Any, what: str) -> dict[str, Any]:
        """Options by field of an entry: a line, or named values whose text may have options, which then count."""
        if isinstance(entry, str):
            return self._from_here(options_of(entry))
        if not isinstance(entry, Mapping):
            raise UserError(f"{what} {entry!r} is neither a text nor named values.")
        found = self.options(entry, what)
        text = found.get("text", "")
        return found | self._from_here(options_of(text)) if isinstance(text, str) else found

    def options(self, entry: Mapping[str, Any], what: str) -> dict[str, Any]:
        """Options by field. Raises UserError for a key that is unknown or can have no effect."""
        found: dict[str, Any] = {}
        for key, value in entry.items():
            if key == "enum" or value is None or value in _HARMLESS.get(key, ()):
                continue
            if key in _REFUSED:
                raise UserError(f"{what} {key}: {_REFUSED[key]}; take it out.")
            if key not in self._keys:
                raise UserError(f"{what} unknown key {key!r}; known: {', '.join(self._keys)}.")
            field = self._keys[key]
            if field == "control_images":
                found[field] = [*found.get(field, []), *(value if isinstance(value, list) else [value])]
            else:
                found[field] = _plain(field, value)
        return self._from_here(found)

    def _from_here(self, options: dict[str, Any]) -> dict[str, Any]:
        """Relative paths of pictures counted from the file's folder."""
        paths = options.get("control_images")
        if paths is None:
            return options
        return options | {"control_images": [str(self._path.parent / each) if isinstance(each, str) else each
                                             for each in paths]}  # fmt: skip


def _plain(field: str, value: Any) -> Any:
    """What other programs write in their own way: `false` for no text, one multiplier for each network."""
    if field == "negative" and value is False:
        return ""
    if field == "strength" and isinstance(value, list) and len(value) == 1:
        return value[0]
    return value
