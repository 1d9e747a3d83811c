"""What a job would train, counted from tables or headers, without torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.identify import Resolve, spec_of
from loratory.config.network_preview import Preview, check_blocks, file_bytes, layers_of, shape_of_file
from loratory.config.train import TrainConfig
from loratory.planner.model import model_of

__all__ = ["Group", "Trained", "groups", "spec_of", "trained"]


@dataclass(frozen=True)
class Trained:
    """How much a job trains; as a text in words."""

    layers: int
    numbers: int
    file_bytes: int
    """About what an exported file takes."""
    precision: str
    """Of that file."""
    shown: Preview | None
    """The layers one by one; None where only a file knows them (network.shape_from_start)."""

    def __str__(self) -> str:
        size = f"{self.file_bytes / 1e6:.1f} MB ({self.precision})"
        return f"{self.layers} layers, {self.numbers:,} numbers, a file of about {size}"


def trained(config: TrainConfig, spec: ArchitectureSpec, resolve: Resolve) -> Trained:
    """Raises UserError where nothing, or something impossible, would be trained."""
    network, precision = config.network, config.saving.precision
    shown = None
    if network.shape_from_start and network.start_from is not None:
        layers, numbers, tensors = shape_of_file(Path(network.start_from))
    else:
        found = layers_of(config.model, spec, resolve)
        shown = model_of(config, spec, found).shown  # remembered as long as layers and network stay the same
        check_blocks(config, spec, found, shown)
        layers, numbers, tensors = len(shown.layers), shown.parameters, shown.tensors
    return Trained(layers, numbers, file_bytes(numbers, tensors, precision), precision, shown)


@dataclass(frozen=True)
class Group:
    """Layers of one kind."""

    component: str
    group: str
    type: str
    layers: int
    numbers: int


def groups(shown: Preview) -> Iterator[Group]:
    """The trained layers by component, group and type of network."""
    found: dict[tuple[str, str, str], list[int]] = {}
    for each in shown.layers:
        component = each.layer.path.partition(".")[0]
        found.setdefault((component, each.group, each.type), []).append(each.parameters)
    for key, counts in found.items():
        yield Group(*key, len(counts), sum(counts))
