"""Files of torch.save: read with the reader that knows nothing but tensors, and written for programs that want them."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from loratory.errors import UserError
from loratory.files import write_atomic


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of a pickle, on the CPU; nothing in it is executed.

    Whether the file may be opened at all is the caller's question. Raises UserError for one that holds anything but
    plain data, or no named tensors.
    """
    try:
        # Files of torch before 1.6 are no zip archives and cannot be mapped.
        content: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{path} cannot be loaded as plain tensors ({reason}); convert it to .safetensors with a tool you trust."
        ) from error
    while isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    # Beside the weights, training programs leave counters and the like.
    tensors = {str(k): v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, dict) else {}
    if not tensors:
        raise UserError(f"{path} holds no named tensors; give the file of a model.")
    return tensors


def write_tensors(path: Path, tensors: Mapping[str, Tensor], *, point: str = "file") -> None:
    """Write a dictionary of tensors whole or not at all. Equal tensors give equal bytes. Raises DiskFull."""
    write_atomic(path, lambda stream: torch.save(dict(tensors), stream), point=point)
