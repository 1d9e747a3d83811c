"""One file that holds a whole model, or a part of one, under the names of the program that trained it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load, load_file
from torch import Tensor

from loratory.config.architectures import Shapes, read_header
from loratory.config.identify import PICKLE_SUFFIXES, check_pickle_allowed, check_suffix
from loratory.pickles import read_tensors

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """A single file. Until `tensors` is called, only the header of a .safetensors file has been read."""

    path: Path
    shapes: Shapes
    _unpickled: Tensors | None = field(default=None, repr=False)
    mapped: bool = True
    """Are tensors of a .safetensors file mapped, so that pages are read when they are used, or read at once?"""

    def outline(self) -> Tensors:
        """Tensors of the right shapes without content (on the meta device), to try a conversion on."""
        return {name: torch.empty(shape, device="meta") for name, shape in self.shapes.items()}

    def tensor(self, name: str) -> Tensor:
        """One tensor, for what only its numbers tell; nothing else is read."""
        if self._unpickled is not None:
            return self._unpickled[name]
        with safe_open(self.path, framework="pt") as file:
            found: Tensor = file.get_tensor(name)
        return found

    def tensors(self) -> Tensors:
        """All tensors on the CPU."""
        if self._unpickled is not None:
            return dict(self._unpickled)
        return load_file(self.path) if self.mapped else load(self.path.read_bytes())


def open_checkpoint(path: Path, *, allow_pickle: bool, field: str, mapped: bool = True) -> Checkpoint:
    """Open a .safetensors file, or with `allow_pickle` a pickle. `field` names the config's field in messages.

    Raises UserError for a broken file, another kind of file, or a pickle that is not allowed or holds more than
    tensors.
    """
    if path.suffix.lower() in PICKLE_SUFFIXES:
        check_pickle_allowed(path, allow_pickle, field)
        tensors = read_tensors(path)
        return Checkpoint(path, {name: tuple(tensor.shape) for name, tensor in tensors.items()}, tensors)
    check_suffix(path, field)
    shapes, _, _ = read_header(path)
    return Checkpoint(path, shapes, mapped=mapped)
