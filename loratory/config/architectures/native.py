"""The layers of an architecture's native model, and which of ours it fuses into one."""

from __future__ import annotations

from dataclasses import dataclass

from loratory.config.architectures.base import ArchitectureSpec, Place, Shapes


@dataclass(frozen=True)
class NativeLayer:
    """One layer of a file: the model's layers (full paths) it stands for, in the order of their rows."""

    name: str
    parts: tuple[str, ...]
    swapped: bool = False


def native_layers(spec: ArchitectureSpec, modules: Shapes) -> list[NativeLayer]:
    """The denoiser's layers as its native model has them, fused where that one fuses."""
    prefix = spec.denoiser + "."
    paths = [path.removeprefix(prefix) for path in modules if path.startswith(prefix)]
    grouped: dict[str, list[tuple[Place, str]]] = {}
    for path, place in spec.native_places(paths).items():
        grouped.setdefault(place.name, []).append((place, prefix + path))
    layers = []
    for name, members in grouped.items():
        members.sort(key=lambda member: member[0].turn)
        layers.append(NativeLayer(name, tuple(path for _, path in members), members[0][0].swapped))
    return layers
