"""An optimizer as other trainers write it: its name in their spelling, and its arguments as text.

`optimizer: AdamW8bit`, or `{type: adamw, arguments: "betas=0.9,0.99 weight_decay=0.1"}`; a list of such texts and JSON
do, too. What comes out are the typed fields of the optimizer's class, which are checked as always.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel

from loratory.config.base import param_of

OTHER_NAMES = {
    "sgdnesterov": "sgd",
    "sgdnesterov8bit": "sgd8bit",
    "pagedadamw": "paged_adamw32bit",
    "dadaptadampreprint": "dadaptation",
}
"""Optimizers that are called otherwise elsewhere, as `_plain` spells them."""
OTHER_ARGUMENTS = {
    "lr": "learning_rate",
    "decouple": "decoupled_decay",
    "t_alpha_beta3": "alpha_warmup_steps",
    "t_alpha": "alpha_warmup_steps",
    "t_beta3": "alpha_warmup_steps",
    "r": "averaging_power",
    "weight_lr_power": "rate_power",
    "use_adjusted_lr": "adjusted_rate",
}
"""Arguments that libraries call otherwise, besides the names that are declared with the fields."""
SEVERAL = {"betas": ("beta1", "beta2", "beta3"), "eps": ("eps1", "eps2", "smallest_scale")}
"""Arguments that may hold several numbers, and what these are here, as far as a class has them."""
_WORDS = {"true": True, "false": False, "none": None, "null": None}


def settled(given: Any, kinds: Mapping[str, type[BaseModel]]) -> Any:
    """Plain data of an optimizer with the type in our spelling and the arguments as fields.

    `kinds` are the classes by type. Raises ValueError for an argument that the type does not take.
    """
    if isinstance(given, str):
        given = {"type": given}
    if not isinstance(given, Mapping):
        return given
    data: dict[str, Any] = {"type": "adamw", **given}
    if isinstance(data["type"], str) and data["type"] not in kinds:
        data |= _of_name(data["type"], kinds)
    kind = kinds.get(data["type"])
    if kind is None or "arguments" not in data:
        return data
    arguments = _read(data["arguments"])
    if "arguments" in kind.model_fields:
        return {**data, "arguments": arguments}
    del data["arguments"]
    for name, value in _fields(kind, data["type"], arguments).items():
        if name in data:
            raise ValueError(f"{name} is given twice, as a field and among the arguments")
        data[name] = value
    return data


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _of_name(name: str, kinds: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    """The type for a name in another spelling. A class by its path is `custom` where no type is called so."""
    known = {_plain(each): each for each in kinds} | OTHER_NAMES
    path, _, last = name.replace(":", ".").rpartition(".")
    found = known.get(_plain(last))
    if found is not None:
        return {"type": found}
    return {"type": "custom", "implementation": f"{path}:{last}"} if path else {"type": name}


def _read(given: Any) -> dict[str, Any]:
    """Arguments by name, from a mapping, JSON, `a=1 b=2`, or a list of `a=1`."""
    if isinstance(given, Mapping):
        return dict(given)
    if isinstance(given, str):
        if given.lstrip().startswith("{"):
            return _from_json(given)
        given = re.split(r"[\s;,]+(?=\w+\s*=)", given.strip()) if given.strip() else []
    if not isinstance(given, Sequence) or not all(isinstance(each, str) for each in given):
        raise ValueError("arguments must be a text such as `betas=0.9,0.99 eps=1e-8`, a list of such texts, or keys "
                         "and values")  # fmt: skip
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name.isidentifier():
            raise ValueError(f"the argument {text!r} must be written as name=value")
        if name in found:
            raise ValueError(f"the argument {name} is given twice")
        found[name] = _value(value)
    return found


def _from_json(text: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"arguments cannot be read as JSON: {error}") from None
    return found


def _value(text: str) -> Any:
    """Python's literals, words for truth in any spelling, and what is left as a text."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _fields(kind: type[BaseModel], name_of_type: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments under the names of a class's fields. Raises ValueError for one that it does not take."""
    own = argument_names(kind)
    found: dict[str, Any] = {}
    for name, value in arguments.items():
        parts = [field for field in SEVERAL.get(name, ()) if field in kind.model_fields]
        if parts:
            values = list(value) if isinstance(value, list | tuple) else [value]
            if len(values) > len(parts):
                raise ValueError(f"{name_of_type} takes {len(parts)} numbers as {name}; there are {len(values)}")
            found |= dict(zip(parts, values, strict=False))
        elif name in own:
            found[own[name]] = value
        else:
            raise ValueError(_unknown(name, name_of_type, sorted(own)))
    return found


def argument_names(kind: type[BaseModel]) -> dict[str, str]:
    """What each field may be called: its own name, those declared with it, and those of the libraries."""
    names = {name: name for name in kind.model_fields if name != "type"}
    for name in list(names):
        facts = param_of(kind, name)
        for other in (*facts.kohya, *facts.aitoolkit):
            section, _, last = other.rpartition(".")
            if section in ("optimizer_args", "train.optimizer_params") and last not in SEVERAL:
                names.setdefault(last, name)
    names |= {other: name for other, name in OTHER_ARGUMENTS.items() if name in kind.model_fields}
    return names


def _unknown(name: str, name_of_type: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1)
    meant = f"; did you mean {near[0]}?" if near else f"; it takes {', '.join(known)}"
    return f"{name_of_type} takes no argument {name}{meant}"
