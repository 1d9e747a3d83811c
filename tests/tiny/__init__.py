"""Tiny random models in diffusers layout, one file per architecture; a new file joins every matrix by itself.

A file offers `build(folder) -> Path`, which writes the same model every time, and may offer `LAYOUTS`, names of
single-file layouts, with `single_file(folder, out, layout) -> Path`, which writes one from such a folder. The names in
a single file are worked out here, not taken from the code under test.
"""

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType


def _modules() -> dict[str, ModuleType]:
    found = {}
    for info in pkgutil.iter_modules(__path__):
        if info.name != "fixtures" and not info.name.startswith("_"):
            found[info.name] = importlib.import_module(f"{__name__}.{info.name}")
    return found


MODULES: dict[str, ModuleType] = _modules()
TINY: dict[str, Callable[[Path], Path]] = {name: module.build for name, module in MODULES.items()}
SINGLE_FILES: list[tuple[str, str]] = [
    (name, layout) for name, module in MODULES.items() for layout in getattr(module, "LAYOUTS", ())
]
"""(architecture, layout) of every single file that can be made."""


def single_file(architecture: str, folder: Path, out: Path, layout: str) -> Path:
    """Write the single file `out` in this layout from a tiny model's folder."""
    path: Path = MODULES[architecture].single_file(folder, out, layout)
    return path
