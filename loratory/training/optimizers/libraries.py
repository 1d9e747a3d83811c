"""Classes of libraries that not everybody has, imported when they are asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch

from loratory.config.optimizer import CustomConfig
from loratory.errors import UserError

INSTALL = {"bitsandbytes": "bitsandbytes"}
"""Library to the extra of this package that brings it; all others come with `optimizers`."""


def load_class(place: str, wanted_by: str) -> Any:
    """The class at `module:Class`. Raises UserError with what to install when the library is missing."""
    module, _, name = place.partition(":")
    library = module.partition(".")[0]
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, OSError) as error:
        extra = INSTALL.get(library, "optimizers")
        raise UserError(
            f"optimizer.type: {wanted_by} needs the library {library}, which cannot be loaded ({error}); "
            f"run pip install 'loratory[{extra}]'."
        ) from error


def custom_class(config: CustomConfig) -> Any:
    """The class that the user names. Raises UserError for one that cannot be imported or is no optimizer."""
    module, _, name = config.implementation.partition(":")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"optimizer.implementation: {config.implementation} cannot be imported: {error}.") from error
    if not (isinstance(found, type) and issubclass(found, torch.optim.Optimizer)):
        raise UserError(f"optimizer.implementation: {config.implementation} is no optimizer of PyTorch.")
    return found
