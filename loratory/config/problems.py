"""What a rule across fields is, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.train import TrainConfig


@dataclass(frozen=True)
class Problem:
    level: Literal["error", "warning"]
    fields: tuple[str, ...]
    message: str
    fix: dict[str, Any] = field(default_factory=dict)
    """A change (dotted path to value) that ends the problem."""
    code: str = field(default="", compare=False)
    """The rule that found it."""

    def __str__(self) -> str:
        return f"{', '.join(self.fields)}: {self.message}"


Rule = Callable[[TrainConfig, ArchitectureSpec], Iterator[Problem]]
RULES: list[Rule] = []


def rule(function: Rule) -> Rule:
    RULES.append(function)
    return function
