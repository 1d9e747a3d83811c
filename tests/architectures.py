"""Which architectures the expensive columns of the test matrices run for: all in the full tier, a few in the quick one.

An added architecture is in every matrix by itself. In the quick tier (`make test`) it is loaded, its prediction is that
of its pipeline, gradients reach its adapters and its files go round; whole trainings are those of FEW, whose traits are
all that training knows of an architecture. The full tier trains every one of them.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import diffusers
import pytest

from loratory.config.architectures import SPECS
from tests.tiny import MODULES, TINY

KNOWN_TO_DIFFUSERS = [
    name
    for name in TINY
    if not hasattr(MODULES[name], "theirs")
    and hasattr(getattr(diffusers, SPECS[name].pipeline_class, None), "load_lora_weights")
]
"""Those whose pipelines are diffusers' own and load LoRA files."""

FEW = ("sd15", "flux1", "sdxl", "chroma_radiance")
"""A UNet that predicts noise, with a trained text encoder; a flow transformer whose file fuses layers; a UNet that is
told sizes, with two trained text encoders; pixels without an autoencoder, texts with masks, a network of our own."""


def each(names: Iterable[str] = TINY, *, quick: Sequence[str] = FEW) -> list[Any]:
    """A parameter for every name; those not in `quick` are left to the full tier."""
    return [pytest.param(name, id=name, marks=() if name in quick else pytest.mark.full) for name in names]


def each_pair(pairs: Iterable[tuple[str, Any]], *, quick: Sequence[str] = FEW) -> list[Any]:
    """The same for pairs whose first is a name."""
    return [pytest.param(name, other, marks=() if name in quick else pytest.mark.full) for name, other in pairs]


def spread(pairs: Iterable[tuple[Any, Any]]) -> list[Any]:
    """Parameters for all pairs. In the quick tier as few as name every first and every second at least once: for each
    first the second that was taken least so far, then what is left of the seconds.
    """
    known = list(dict.fromkeys(pairs))
    taken: set[tuple[Any, Any]] = set()
    for own in (0, 1):
        for value in dict.fromkeys(pair[own] for pair in known):
            if own and any(pair[1] == value for pair in taken):
                continue
            uses = Counter(pair[1 - own] for pair in taken)
            taken.add(min((pair for pair in known if pair[own] == value), key=lambda pair: uses[pair[1 - own]]))
    return [pytest.param(*pair, marks=() if pair in taken else pytest.mark.full) for pair in known]


def each_with(columns: Iterable[Any], names: Iterable[str] = TINY, *, always: Sequence[Any] = ()) -> list[Any]:
    """Parameters (name, column) for every pair. In the quick tier a column is run by one of FEW, each in its turn;
    those in `always` by every architecture.
    """
    known = list(names)
    few = [name for name in FEW if name in known]
    turns = {column: few[number % len(few)] for number, column in enumerate(columns)}
    return [
        pytest.param(
            name,
            column,
            id="-".join([name, column] if isinstance(column, str) else [name, *filter(None, column)]),
            marks=() if column in always or name == chosen else pytest.mark.full,
        )
        for column, chosen in turns.items()
        for name in known
    ]
