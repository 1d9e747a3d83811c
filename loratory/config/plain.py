"""Plain data (mappings, lists, texts, numbers) out of a file that a person wrote: YAML, TOML or JSON.

Whatever is wrong with the text becomes one sentence with line and column. What a file may cost is bounded before it is
read: its size, and then how many values there are in it once every alias is written out.
"""

from __future__ import annotations

import codecs
import json
import re
import tomllib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from loratory.errors import UserError

MOST_BYTES = 1_000_000
"""No job is that long; a file of weights or pictures given by mistake is longer."""
MOST_VALUES = 20_000
DEEPEST = 100
_TOO_MANY = f"there are more than {MOST_VALUES} values in it, aliases written out"
_TOO_DEEP = f"values lie more than {DEEPEST} deep in one another"


class Remove:
    """In a fix: what is to be taken out, not set."""


REMOVE = Remove()


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong with a file: where, and what to do. As a text it is the line that people read."""

    message: str
    path: str = ""
    """The dotted path of the key; empty for the text as a whole."""
    code: str = "text"
    """For programs; it stays the same where words change."""
    fix: Mapping[str, Any] = field(default_factory=dict)
    """Dotted paths and their new values, REMOVE among them, that end it; empty where a person has to decide."""
    line: int | None = None
    column: int | None = None
    """In the text, counted from 1."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ConfigError(UserError):
    """A file that does not say what to do. `problems` holds one line each, `mistakes` the same for programs."""

    def __init__(self, source: str, problems: Sequence[str | Mistake]) -> None:
        self.source = source
        self.mistakes = tuple(each if isinstance(each, Mistake) else Mistake(each) for each in problems)
        self.problems = tuple(map(str, self.mistakes))
        lines = "".join(f"\n  - {line}" for line in self.problems) if len(problems) > 1 else f" {self.problems[0]}"
        super().__init__(f"{source}:{lines}")


def read_file(path: Path, what: str = "job file") -> Any:
    """The plain data of a file; its ending says how it is written (.toml, .json; everything else is YAML).

    Raises UserError for a file that cannot be read and ConfigError for one that cannot be understood.
    """
    text = read_text(path, what)
    kind = {".toml": read_toml, ".json": read_json}.get(path.suffix.lower(), read_yaml)
    return kind(text, str(path))


def read_text(path: Path, what: str = "job file") -> str:
    """The text of a file: UTF-8, or UTF-16 with its mark, as PowerShell writes it. Raises UserError."""
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise UserError(f"There is no {what} {path}; give the path of a .yaml file or of a run's folder.") from None
    except OSError as error:
        raise UserError(f"The {what} {path} cannot be read: {error.strerror or error}.") from error
    return text_of(raw, f"The {what} {path}")


def text_of(raw: bytes, name: str) -> str:
    """The text of a file's bytes: UTF-8, or UTF-16 with its mark. `name` begins messages. Raises UserError."""
    if len(raw) > MOST_BYTES:
        raise UserError(f"{name} is too long: more than {MOST_BYTES // 1_000_000} MB. Is it another file?")
    marked = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return raw.decode("utf-16" if marked else "utf-8-sig")
    except UnicodeDecodeError as error:
        form = "UTF-16" if marked else "UTF-8"
        raise UserError(f"{name} is not {form} text (byte {error.start}); save it as UTF-8.") from error


# YAML --------------------------------------------------------------------------------------------------------

_TAG = "tag:yaml.org,2002:"
_AT_WORK = (0, 0)
_EXPONENT = re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")


class _Loader(yaml.SafeLoader):
    """YAML as people mean it: a key given twice is refused, 1e-4 is a number (YAML 1.1 wants 1.0e-4), and `off` and
    2024-01-01 are words: `caching.latents: off` names a mode, and a run may be called by a date."""

    depth = 0
    count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        self.count += 1
        if self.depth > DEEPEST:
            raise _refused(_TOO_DEEP, self.peek_event().start_mark)  # type: ignore[no-untyped-call]
        if self.count > MOST_VALUES:
            raise _refused(_TOO_MANY, self.peek_event().start_mark)  # type: ignore[no-untyped-call]
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        if node is not None:
            _written_out(node, {})
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == f"{_TAG}merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (f"{_TAG}bool", f"{_TAG}timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(f"{_TAG}bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(f"{_TAG}float", *_EXPONENT)


def _refused(problem: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.composer.ComposerError(None, None, problem, mark)


def _written_out(node: yaml.Node, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """How many values a node is, and how deep, when aliases are written out; each node is looked at once.

    Raises MarkedYAMLError for too many, too deep, and for a value that holds itself.
    """
    found = known.get(id(node))
    if found == _AT_WORK:
        raise _refused("a value holds itself by an alias", node.start_mark)
    if found is None:
        known[id(node)] = _AT_WORK
        inside = [_written_out(inner, known) for inner in _inside(node)]
        found = 1 + sum(count for count, _ in inside), 1 + max((depth for _, depth in inside), default=0)
        for most, value, problem in ((MOST_VALUES, found[0], _TOO_MANY), (DEEPEST, found[1], _TOO_DEEP)):
            if value > most:
                raise _refused(problem, node.start_mark)
        known[id(node)] = found
    return found


def _inside(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


class _Dumper(yaml.SafeDumper):
    """Puts quotes around a text such as 1e4, which `_Loader` would read as a number, and escapes rare line breaks."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    # Written as they are, these would be read as spaces: only double quotes make PyYAML escape them.
    style = '"' if any(sign in value for sign in "\x85\u2028\u2029") else None
    return dumper.represent_scalar(f"{_TAG}str", value, style=style)


_Dumper.add_implicit_resolver(f"{_TAG}float", *_EXPONENT)
_Dumper.add_representer(str, _text)


def read_yaml(text: str, source: str) -> Any:
    """Parse YAML. Raises ConfigError with line and column."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise ConfigError(source, [_told(text, error)]) from error
    except yaml.reader.ReaderError as error:
        raise ConfigError(source, [_strange_sign(text, error)]) from error
    except yaml.YAMLError as error:
        raise ConfigError(source, [str(error).replace("\n", " ")]) from error
    except ValueError as error:  # such as 0b2, which looks like a number
        raise ConfigError(source, [f"a value cannot be read: {error}"]) from error


def _told(text: str, error: yaml.MarkedYAMLError) -> Mistake:
    mark, advice = error.problem_mark, _advice(text, error)
    if mark is None:
        return Mistake(f"{error.problem}{advice}")
    line, column = mark.line + 1, mark.column + 1
    return Mistake(f"{error.problem} (line {line}, column {column}){advice}", line=line, column=column)


def _strange_sign(text: str, error: yaml.reader.ReaderError) -> Mistake:
    """A sign that YAML does not allow; PyYAML knows only how far it is from the beginning."""
    before = text[: error.position]
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    return Mistake(str(error).replace("\n", " "), line=line, column=column)


def places(text: str) -> dict[str, tuple[int, int]]:
    """Line and column, from 1, of every key of a YAML text by its dotted path. Nothing for a text that is none."""
    try:
        root = yaml.compose(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError):
        return {}
    found: dict[str, tuple[int, int]] = {}
    waiting: list[tuple[str, yaml.Node]] = [] if root is None else [("", root)]
    while waiting and len(found) < MOST_VALUES:
        prefix, node = waiting.pop()
        inside: list[tuple[str, yaml.Node, yaml.Node]] = []
        if isinstance(node, yaml.MappingNode):
            inside = [(str(key.value), key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)]
        elif isinstance(node, yaml.SequenceNode):
            inside = [(str(number), value, value) for number, value in enumerate(node.value)]
        for name, at, value in inside:
            path = f"{prefix}{name}"
            found[path] = (at.start_mark.line + 1, at.start_mark.column + 1)
            waiting.append((f"{path}.", value))
    return found


def _advice(text: str, error: yaml.MarkedYAMLError) -> str:
    """What to do about the mistakes that are made most."""
    mark, problem = error.problem_mark, str(error.problem)
    lines = text.splitlines()
    line = lines[mark.line] if mark is not None and mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())] or "'\\t'" in problem:
        return "; YAML wants spaces, and there is a tab"
    if "unknown escape character" in problem or "expected escape sequence" in problem:
        return "; in double quotes a backslash is more than itself: write paths of Windows in single quotes, or with /"
    if "mapping values are not allowed" in problem:
        return "; a text with a colon and a space wants quotes, and the lines of a section begin at the same column"
    if "constructor for the tag" in problem:
        return "; files have no tags here, and include no other files: what jobs share can be a preset"
    if problem.startswith("expected") and ("but found" in problem or "but got" in problem):
        return "; is a quote, a bracket or a comma missing before it?"
    return ""


def write_yaml(data: Any) -> str:
    """Plain data as YAML that `read_yaml` reads as the same."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


# TOML and JSON -----------------------------------------------------------------------------------------------


def read_toml(text: str, source: str) -> dict[str, Any]:
    """Parse TOML. Raises ConfigError with line and column."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = str(error).replace("(at ", "(")
        at = re.search(r"\(line (\d+), column (\d+)\)", said)
        advice = ""
        if "Unescaped '\\'" in said or "hex" in said.lower():
            advice = "; write paths of Windows in single quotes, or with /"
        elif "Invalid value" in said:
            advice = "; texts want quotes, and numbers, true and false none"
        line, column = (int(at[1]), int(at[2])) if at else (None, None)
        raise ConfigError(source, [Mistake(f"{said}{advice}", line=line, column=column)]) from error
    except RecursionError as error:
        raise ConfigError(source, [_TOO_DEEP]) from error
    bounded(data, source)
    return data


def read_json(text: str, source: str) -> Any:
    """Parse JSON. Raises ConfigError with line and column."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for key, value in found:
            if key in seen:
                raise ConfigError(source, [f"the key {key!r} is given twice"])
            seen[key] = value
        return seen

    try:
        data = json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        where = f"(line {error.lineno}, column {error.colno})"
        advice = "; write paths of Windows with / or \\\\" if "escape" in error.msg else ""
        told = Mistake(f"{error.msg} {where}{advice}", line=error.lineno, column=error.colno)
        raise ConfigError(source, [told]) from error
    except RecursionError as error:
        raise ConfigError(source, [_TOO_DEEP]) from error
    bounded(data, source)
    return data


def bounded(data: Any, source: str) -> None:
    """Raises ConfigError for more values than any job has, or deeper ones."""
    level, count = [data], 0
    for _ in range(DEEPEST):
        count += len(level)
        if count > MOST_VALUES:
            raise ConfigError(source, [_TOO_MANY])
        level = [
            each
            for value in level
            if isinstance(value, dict | list)
            for each in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise ConfigError(source, [_TOO_DEEP])
