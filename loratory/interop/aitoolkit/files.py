"""The text of an ai-toolkit job file as plain data: YAML, JSON or JSON with comments, environment variables put in."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from loratory.config.plain import ConfigError
from loratory.errors import UserError
from loratory.interop.named_files import is_confined

MOST_VALUES = 100_000
"""Values in a file. YAML can say a great many in a few lines, by repeating what has a name."""

_YAML_KEYS = tuple(re.compile(rf"^[\"']?{key}[\"']?\s*:", re.MULTILINE) for key in ("job", "config"))
_JSON_KEYS = tuple(re.compile(rf'"{key}"\s*:') for key in ("job", "config", "process"))
_VARIABLE = re.compile(r"\$\{([^}]+)\}")
FLOAT = re.compile(r"^[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+|\.[0-9_]+(?:[eE][-+]?[0-9]+)?)$")
# A text, a comment of either kind, or a comma before a closing bracket (with comments between them).
_JSONC = re.compile(r'(?P<text>"(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/|,(?=(?:\s|//[^\n]*|/\*.*?\*/)*[}\]])', re.DOTALL)


def recognises(path: Path, text: str) -> bool:
    """Is this a job file of ai-toolkit? It has `job` and `config` at the top; ours has no `config`."""
    if path.suffix.lower() not in (".yaml", ".yml", ".json", ".jsonc"):
        return False
    return all(key.search(text) for key in (_JSON_KEYS if text.lstrip()[:1] in "{/" else _YAML_KEYS))


class _Loader(yaml.SafeLoader):
    """YAML as their program reads it: `yes` and `off` are truth values, 1e-4 is a number."""


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+.0123456789"))


def parse(path: Path, text: str) -> dict[str, Any]:
    """The file as plain data. Raises UserError with line and column, and for variables that are not set."""
    text = with_variables(path, text)
    is_json = path.suffix.lower() in (".json", ".jsonc")
    data = _json(path, text) if is_json else _yaml(path, text)
    if not isinstance(data, dict):
        raise ConfigError(str(path), ["ai-toolkit's job files hold `job` and `config`; this one does not"])
    return data


def with_variables(path: Path, text: str) -> str:
    """`${NAME}` replaced from the environment, else from `.env` beside the file or in the current folder.

    Raises UserError for one that is not set.
    """
    names = dict.fromkeys(_VARIABLE.findall(text))
    if not names:
        return text
    if is_confined():
        raise UserError(
            f"{path.name}: ${{{next(iter(names))}}} stands for an environment variable, which no file that was sent is "
            "given; write the value in its place."
        )
    values = {**_dotenv(Path.cwd()), **_dotenv(path.absolute().parent), **os.environ}
    missing = [name for name in names if name not in values]
    if missing:
        line = text[: text.index(f"${{{missing[0]}}}")].count("\n") + 1
        raise UserError(
            f"{path}, line {line}: ${{{missing[0]}}} stands for an environment variable that is not set; set it, or "
            f"write {missing[0]}=value into a file .env in the current folder."
        )
    return _VARIABLE.sub(lambda match: values[match[1]], text)


def _dotenv(folder: Path) -> dict[str, str]:
    try:
        lines = (folder / ".env").read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{folder / '.env'} cannot be read ({error}); save it as UTF-8, or remove it.") from error
    found = (re.match(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$", line) for line in lines)
    return {match[1]: _unquoted(match[2]) for match in found if match}


def _unquoted(value: str) -> str:
    quoted = re.match(r"([\"'])(.*?)\1", value)
    return quoted[2] if quoted else re.split(r"\s#", value, maxsplit=1)[0].strip()


def _yaml(path: Path, text: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise ConfigError(str(path), [f"{error.problem}{where}"]) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(str(path), [str(error).replace("\n", " ")]) from error


def _json(path: Path, text: str) -> Any:
    # What is left out keeps its line breaks, so that places in messages are those in the file.
    plain = _JSONC.sub(lambda match: match["text"] or re.sub(r"[^\n]", " ", match[0]), text)
    try:
        return json.loads(plain)
    except (json.JSONDecodeError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError):
            raise ConfigError(str(path), [f"{error.msg} (line {error.lineno}, column {error.colno})"]) from error
        raise ConfigError(str(path), ["its values lie too deep within each other"]) from error


def with_name(data: Any, name: str, source: str) -> Any:
    """A copy in which `[name]` is the job's name in every text. Raises UserError for a file that repeats itself."""
    count = 0

    def copy(value: Any, depth: int) -> Any:
        nonlocal count
        count += 1
        if count > MOST_VALUES or depth > 50:
            raise UserError(
                f"{source} has more than {MOST_VALUES} values, or some within themselves; write out what "
                "is meant without repeating named parts (&name, *name)."
            )
        if isinstance(value, str):
            return value.replace("[name]", name)
        if isinstance(value, Mapping):
            return {str(key): copy(each, depth + 1) for key, each in value.items()}
        return [copy(each, depth + 1) for each in value] if isinstance(value, list | tuple) else value

    return copy(data, 0)
