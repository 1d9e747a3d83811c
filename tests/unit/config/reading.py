"""Which parameters the engine reads: attribute access followed through annotations, assignments and loops.

A small inference of types over the package's source: it knows where a section of the config comes from (a parameter or
attribute annotated with its class, or another section), so that `config.saving.format` counts for SavingConfig.format
and an unrelated `.format` counts for nothing. What it cannot follow does not count as read.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel

import loratory
from loratory.config.base import StrictModel
from loratory.config.fields import is_list_of_sections, section_types
from loratory.config.train import TrainConfig

ROOT = Path(loratory.__file__).parent
# Declarations, what handles all of them alike, and what says them in other words: nothing there uses a value.
NOT_USERS = (
    *(path.relative_to(ROOT).as_posix() for path in ROOT.glob("interop/*/**/*.py")),
    *(path.relative_to(ROOT).as_posix() for path in ROOT.glob("config/rules*.py")),
    "config/load.py",
    "config/mistakes.py",
    "config/fields.py",
    "config/docs.py",
    "config/base.py",
)

Types = frozenset[str]
"""Names of classes; `*Name` for several of them in a row."""
NOTHING: Types = frozenset()


def all_sections(model: type[BaseModel] = TrainConfig) -> dict[str, type[BaseModel]]:
    """Every class of the config by name."""
    found = {model.__name__: model}
    for field in model.model_fields.values():
        for section in section_types(field.annotation):
            found |= all_sections(section)
    return found


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


class Package:
    """All source files, what their classes' attributes are, and what was read."""

    def __init__(self, without: str = "") -> None:
        """`without` names a file to leave out, as if it were not there."""
        self.sections = all_sections()
        # Unions have a name of their own in annotations.
        self.names = {name: frozenset([name]) for name in self.sections}
        for union, field in (
            ("OptimizerConfig", "optimizer"),
            ("NetworkConfig", "network"),
            ("ScheduleConfig", "schedule"),
        ):
            members = section_types(TrainConfig.model_fields[field].annotation)
            self.names[union] = frozenset(section.__name__ for section in members)
        self.names["JobConfig"] = frozenset(["TrainConfig"])
        files = [path for path in sorted(ROOT.rglob("*.py")) if path.relative_to(ROOT).as_posix() != without]
        self.trees = {path: parsed(path) for path in files}
        self.attributes: dict[tuple[str, str], Types] = {}
        self.returns: dict[str, ast.expr | None] = {}
        self.read: set[tuple[str, str]] = set()
        self.used_names: set[str] = set()
        for tree in self.trees.values():
            self.names |= {n.name: frozenset([n.name]) for n in ast.walk(tree) if isinstance(n, ast.ClassDef)}
        # What is read of a base class is read of every section that is one.
        for section in self.sections.values():
            for base in section.__mro__:
                if issubclass(base, StrictModel) and base is not StrictModel:
                    self.names[base.__name__] = self.names.get(base.__name__, NOTHING) | {section.__name__}
        for _ in range(2):  # attributes that are assigned from attributes need a second look
            for path, tree in self.trees.items():
                self._look(path, tree)

    def annotation(self, node: ast.expr | None) -> Types:
        if node is None:
            return NOTHING
        text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ast.unparse(node)
        several = "*" if re.match(r"(Sequence|Iterable|list|tuple)\[", text) else ""
        found = [types for word in re.findall(r"\w+", text) if (types := self.names.get(word))]
        return frozenset(several + name for types in found for name in types)

    def _look(self, path: Path, tree: ast.Module) -> None:
        counts = path.relative_to(ROOT).as_posix() not in NOT_USERS
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                for part in node.body:
                    if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                        self.attributes[node.name, part.target.id] = self.annotation(part.annotation)
            if isinstance(node, ast.FunctionDef):
                self.returns[node.name] = node.returns
            if isinstance(node, ast.Attribute) and not path.is_relative_to(ROOT / "config"):
                self.used_names.add(node.attr)
        for function, owner in functions(tree):
            Reader(self, function, owner, counts).run()

    def unread(self) -> list[str]:
        """`Class.field` of every parameter that nothing reads."""
        result = []
        for name, section in self.sections.items():
            for field, facts in section.model_fields.items():
                if not section_types(facts.annotation) and (name, field) not in self.read:
                    result.append(f"{name}.{field}")
        return result


def functions(tree: ast.AST, owner: str = "") -> Iterator[tuple[ast.FunctionDef, str]]:
    """Every function that is not inside another one, with the class it belongs to."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            yield node, owner
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, node.name)
        else:
            yield from functions(node, owner)


class Reader(ast.NodeVisitor):
    """Follows one function (and those inside it)."""

    def __init__(self, package: Package, function: ast.FunctionDef, owner: str, counts: bool) -> None:
        self.package, self.function, self.owner = package, function, owner
        # What a section's own method reads counts where the method is used by someone else.
        owners = package.names.get(owner, frozenset([owner]))
        in_section = bool(owners & package.sections.keys())
        is_validator = any("validator" in ast.unparse(each) for each in function.decorator_list)
        self.counts = counts and (not in_section or (function.name in package.used_names and not is_validator))
        self.variables: dict[str, Types] = {"self": owners} if owner else {}

    def run(self) -> None:
        self._arguments(self.function)
        for statement in self.function.body:
            self.visit(statement)

    def _arguments(self, function: ast.FunctionDef) -> None:
        for argument in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs):
            if argument.arg != "self":
                self.variables[argument.arg] = self.package.annotation(argument.annotation)

    def types(self, node: ast.expr) -> Types:
        """The classes that an expression may be an object of."""
        if isinstance(node, ast.Name):
            return self.variables.get(node.id, NOTHING)
        if isinstance(node, ast.Attribute):
            return frozenset(found for each in self.types(node.value) for found in self._attribute(each, node.attr))
        if isinstance(node, ast.Subscript):
            return elements(self.types(node.value))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in ("zip", "enumerate"):
                return NOTHING
            returned = self.package.annotation(self.package.returns.get(node.func.id))
            return returned or self.package.names.get(node.func.id, NOTHING)
        return NOTHING

    def _attribute(self, name: str, attribute: str) -> Types:
        section = self.package.sections.get(name)
        if section is None:
            return self.package.attributes.get((name, attribute), NOTHING)
        field = section.model_fields.get(attribute)
        if field is None:
            return NOTHING
        several = "*" if is_list_of_sections(field.annotation) else ""
        return frozenset(several + each.__name__ for each in section_types(field.annotation))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if self.counts and isinstance(node.ctx, ast.Load):
            self.package.read |= {(name, node.attr) for name in self.types(node.value)}
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._arguments(node)
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                for each, value in zip(target.elts, node.value.elts, strict=False):
                    self._bind(each, self.types(value))
            elif isinstance(target, ast.Tuple):
                for each, annotation in zip(target.elts, self._returned_tuple(node.value), strict=False):
                    self._bind(each, self.package.annotation(annotation))
            else:
                self._bind(target, self.types(node.value))
        self.generic_visit(node)

    def _returned_tuple(self, call: ast.expr) -> list[ast.expr]:
        """Annotations of what a function returns several of."""
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
            returned = self.package.returns.get(call.func.id)
            if isinstance(returned, ast.Subscript) and isinstance(returned.slice, ast.Tuple):
                return returned.slice.elts
        return []

    def _bind(self, target: ast.expr, types: Types) -> None:
        if isinstance(target, ast.Name):
            self.variables[target.id] = types
        elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
            before = self.package.attributes.get((self.owner, target.attr), NOTHING)
            self.package.attributes[self.owner, target.attr] = before | types

    def visit_For(self, node: ast.For) -> None:
        self._loop(node.target, node.iter)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self._loop(node.target, node.iter)
        self.generic_visit(node)

    def _comprehend(self, node: ast.AST, generators: Sequence[ast.comprehension]) -> None:
        for each in generators:  # before the element, which stands in front of them
            self.visit(each)
        self.generic_visit(node)

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._comprehend(node, node.generators)

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self._comprehend(node, node.generators)

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._comprehend(node, node.generators)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self._comprehend(node, node.generators)

    def _loop(self, target: ast.expr, source: ast.expr) -> None:
        if isinstance(source, ast.Call) and isinstance(source.func, ast.Name) and isinstance(target, ast.Tuple):
            if source.func.id == "enumerate":
                self._loop(target.elts[1], source.args[0])
            elif source.func.id == "zip":
                for each, argument in zip(target.elts, source.args, strict=True):
                    self._loop(each, argument)
        else:
            self._bind(target, elements(self.types(source)))


def elements(types: Types) -> Types:
    return frozenset(name[1:] for name in types if name.startswith("*"))
