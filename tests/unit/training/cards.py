"""A graphics card for machines that have none: what is not on it, and what it gave back, reads as not-a-number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from loratory.networks import base as networks
from loratory.training import swapping

NOTHING = 255
"""A byte of which every float, the 8-bit ones included, is not a number."""


class Card:
    """A `swapping.Place` that keeps the true weights to itself, and looks at what is on it at every change."""

    def __init__(self) -> None:
        self.device = torch.device("cpu")
        self._true: dict[int, tuple[Tensor, Tensor]] = {}
        self.fetched: list[int] = []
        """Which piece, in the order in which they were asked for."""
        self.waited = 0
        self.most = 0

    def keep(self, piece: Tensor) -> Tensor:
        self._true[id(piece)] = piece, piece.clone()
        return piece.fill_(NOTHING)

    def fetch(self, kept: Tensor) -> tuple[Tensor, Callable[[], None]]:
        """Empty until somebody waits for it, as if it were slow."""
        _, true = self._true[id(kept)]
        copy = torch.full_like(true, NOTHING)
        self.fetched.append(list(self._true).index(id(kept)))

        def wait() -> None:
            self.waited += 1
            copy.copy_(true)

        return copy, wait

    def true(self, tensor: Tensor) -> Tensor:
        """The numbers of one that may be waiting."""
        for kept, true in self._true.values():
            if kept.data_ptr() == tensor.untyped_storage().data_ptr():
                found = torch.empty(0, dtype=tensor.dtype)
                return found.set_(true.untyped_storage(), tensor.storage_offset(), tensor.shape, tensor.stride())
        return tensor


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> list[Card]:
    """From now on the CPU is such a card; those that were made."""
    made: list[Card] = []

    def place_for(_: torch.device) -> Card:
        made.append(Card())
        return made[-1]

    original = swapping.Swap._keep_only

    def keep_only(swap: Any, wanted: Any) -> None:
        made[-1].most = max(made[-1].most, len(swap.present))
        before = dict(swap.present)
        original(swap, wanted)
        for block in before.keys() - swap.present.keys():
            before[block].fill_(NOTHING)

    @contextmanager
    def lent_to(_: object, layer: nn.Module) -> Iterator[None]:
        tensors = [*layer.parameters(), *layer.buffers()] if made else []
        before = [tensor.data for tensor in tensors]
        for tensor, data in zip(tensors, before, strict=True):
            tensor.data = made[-1].true(data)
        yield
        for tensor, data in zip(tensors, before, strict=True):
            tensor.data = data

    monkeypatch.setattr(networks, "lent_to", lent_to)
    monkeypatch.setattr(swapping, "place_for", place_for)
    monkeypatch.setattr(swapping.Swap, "_keep_only", keep_only)
    return made
