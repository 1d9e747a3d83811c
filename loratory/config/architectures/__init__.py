"""What is known about each architecture, as data: one file in `specs` per architecture. Nothing here loads torch."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterator

from loratory.config.architectures import specs
from loratory.config.architectures.base import ArchitectureSpec, Shapes
from loratory.config.architectures.header import read_header, strip_prefix
from loratory.errors import UserError

__all__ = [
    "SPECS", "ArchitectureSpec", "Shapes", "detect_header", "get_spec", "names_where", "read_header",
]  # fmt: skip


def _specs() -> Iterator[ArchitectureSpec]:
    for info in sorted(pkgutil.iter_modules(specs.__path__), key=lambda info: info.name):
        yield importlib.import_module(f"{specs.__name__}.{info.name}").SPEC


SPECS: dict[str, ArchitectureSpec] = {spec.name: spec for spec in _specs()}
"""By name, in its order."""


def names_where(test: Callable[[ArchitectureSpec], object]) -> tuple[str, ...]:
    """The architectures with some trait; for parameters that have an effect only there."""
    return tuple(name for name, spec in SPECS.items() if test(spec))


def known_architectures() -> str:
    """All architectures for a message: `chroma, …`."""
    return f"{', '.join(SPECS)} (loratory models says what they are)"


def get_spec(name: str) -> ArchitectureSpec:
    """The architecture called `name`. Raises UserError with the nearest right name."""
    if name in SPECS:
        return SPECS[name]
    plain = name.lower().replace(".", "").replace("-", "")
    likeness = {known: difflib.SequenceMatcher(None, known, plain).ratio() for known in SPECS}
    near = max(SPECS, key=likeness.__getitem__)  # of several, the first
    hint = f"did you mean {near}?" if likeness[near] >= 0.5 else f"known are {known_architectures()}."
    raise UserError(f"model.architecture: {name!r} is not known; {hint}")


def detect_header(shapes: Shapes) -> list[str]:
    """Every architecture one of whose signatures holds for these tensors; the usual prefixes are taken off first."""
    stripped = strip_prefix(shapes)
    return [
        spec.name
        for spec in SPECS.values()
        if any(all(test.holds(stripped) for test in group) for group in spec.signatures)
    ]
