"""What a step keeps for its backward pass, by the tables of the true models and what is trained. Torch-free.

A frozen net through which gradients pass keeps what its tables say, block by block. Each adapter adds the input of its
layer, unless that is kept anyway or another adapter reads the same, and what its type makes of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from loratory.config.memory_tables import Line, Net, Unit
from loratory.config.network import (
    BoftConfig,
    DiagOftConfig,
    DyloraConfig,
    FullConfig,
    GloraConfig,
    Ia3Config,
    LohaConfig,
    LokrConfig,
    LoraConfig,
    NetworkConfig,
    RankedConfig,
)
from loratory.config.network_preview import TrainedLayer
from loratory.config.network_shapes import boft_shape, rank_of

HALF = 2
"""Bytes of a number in the tables."""


@dataclass(frozen=True)
class Scene:
    """What goes through the net in one pass."""

    pictures: int
    latents: int
    """Of each picture."""
    tokens: int
    """Of each text."""
    bytes: int
    """Of a number in the arithmetic."""

    def size(self, line: Line) -> float:
        """Bytes of a line that counts bf16."""
        return self.pictures * line.at(self.latents, self.tokens) * self.bytes / HALF

    def count(self, line: Line) -> float:
        """Of a line that counts things."""
        return self.pictures * line.at(self.latents, self.tokens)


# What types of adapters keep of one layer besides its input: bytes for all rows, and bytes whatever there is to see


def _lora(config: NetworkConfig, shape: Sequence[int], rows: float, item: int) -> tuple[float, float]:
    assert isinstance(config, RankedConfig | DyloraConfig)
    rank = rank_of(config, shape) if isinstance(config, RankedConfig) else config.rank
    # The product with `down`, and both factors in the arithmetic's format.
    factors = rank * (math.prod(shape[1:]) + shape[0]) * item
    return rows * rank * item, factors if item < 4 else 0


def _loha(config: NetworkConfig, shape: Sequence[int], rows: float, item: int) -> tuple[float, float]:
    # Both products in fp32, the change of the weight in the arithmetic's format.
    return 0, math.prod(shape) * (8 + item)


def _glora(config: NetworkConfig, shape: Sequence[int], rows: float, item: int) -> tuple[float, float]:
    return 0, math.prod(shape) * (4 * (item < 4) + item)


def _full(config: NetworkConfig, shape: Sequence[int], rows: float, item: int) -> tuple[float, float]:
    return 0, math.prod(shape) * item


def _lokr(config: NetworkConfig, shape: Sequence[int], rows: float, item: int) -> tuple[float, float]:
    from loratory.config.network_shapes import factorization

    assert isinstance(config, LokrConfig)
    (a, b), (c, d) = factorization(shape[0], config.factor), factorization(shape[1], config.factor)
    if config.unbalanced:
        a, b = b, a
    return rows * b * c * item, (a * c + b * d * math.prod(shape[2:])) * item


def _ia3(config: NetworkConfig, shape: Sequence[int], rows: float, item: int) -> tuple[float, float]:
    return rows * shape[0] * item, 0


def _turned(config: NetworkConfig, shape: Sequence[int], rows: float, item: int) -> tuple[float, float]:
    assert isinstance(config, DiagOftConfig | BoftConfig)
    rounds = boft_shape(shape[0], config.rank)[0] if isinstance(config, BoftConfig) else 1
    return rows * shape[0] * 4 * (rounds + int(config.rescaled)), 0


_KEPT: dict[type, Callable[[NetworkConfig, Sequence[int], float, int], tuple[float, float]]] = {
    LoraConfig: _lora, DyloraConfig: _lora, LohaConfig: _loha, LokrConfig: _lokr, GloraConfig: _glora,
    FullConfig: _full, Ia3Config: _ia3, DiagOftConfig: _turned, BoftConfig: _turned,
}  # fmt: skip
WITHOUT_INPUT = (Ia3Config, DiagOftConfig, BoftConfig)
"""Types that work on the layer's output."""


def adapter_kept(layer: TrainedLayer, config: NetworkConfig, rows: float, item: int) -> tuple[float, float]:
    """Bytes that one adapter keeps besides its layer's input: for all rows, and whatever there is to see."""
    shape = layer.layer.shape
    if layer.type == "norm":
        return 0, 0
    own, fixed = (_full if layer.type == "full" else _KEPT[type(config)])(config, shape, rows, item)
    if getattr(config, "decompose", False) and layer.type not in ("norm", "full"):
        # DoRA: the changed output, and the weight in fp32 for the lengths of its rows.
        own += rows * shape[0] * item
        fixed += 4 * math.prod(shape)
    return own, fixed


@dataclass
class _Sum:
    """What one unit keeps."""

    kept: float = 0.0
    inputs: float = 0.0
    attention: float = 0.0


def _by_unit(net: Net, layers: Sequence[TrainedLayer]) -> Mapping[str, list[TrainedLayer]]:
    """Trained layers by the unit they lie in; the empty name is what stands outside. Paths are those in the net."""
    units = {unit.path for unit in net.units}
    found: dict[str, list[TrainedLayer]] = {}
    for layer in layers:
        path = layer.layer.path.partition(".")[2]
        parts = path.split(".")
        home = next((name for end in range(len(parts), 0, -1) if (name := ".".join(parts[:end])) in units), "")
        found.setdefault(home, []).append(layer)
    return found


def _adapters(net: Net, layers: Sequence[TrainedLayer], config: NetworkConfig, scene: Scene) -> float:
    """What the adapters of one unit keep."""
    total, sources = 0.0, set[int]()
    for layer in layers:
        read = net.layers.get(layer.layer.path.partition(".")[2])
        if read is None:
            continue
        rows, shape = scene.count(read.rows), layer.layer.shape
        if not isinstance(config, WITHOUT_INPUT) and not read.is_kept and read.source not in sources:
            sources.add(read.source)
            total += rows * shape[min(1, len(shape) - 1)] * scene.bytes
        total += sum(adapter_kept(layer, config, rows, scene.bytes))
    return total


def _sees_time_only(net: Net, layer: TrainedLayer) -> bool:
    read = net.layers.get(layer.layer.path.partition(".")[2])
    return read is not None and not read.rows.by_latent and not read.rows.by_token


@dataclass(frozen=True)
class Training:
    """How a net is trained."""

    layers: Sequence[TrainedLayer]
    """Those of it that are; none where gradients only pass to others."""
    config: NetworkConfig
    policy: str = "off"
    """`memory.gradient_checkpointing`"""
    every: int = 1
    """`memory.checkpoint_every`"""
    passes: bool = False
    """Do gradients go through it to what comes before?"""


def _first_unit(net: Net, training: Training) -> int:
    """The first unit that gradients reach: the tables have layers in the order in which they compute."""
    if training.passes:
        return 0
    places = {path: place for place, path in enumerate(net.layers)}
    paths = (layer.layer.path.partition(".")[2] for layer in training.layers)
    first = min((places[path] for path in paths if path in places), default=0)
    for number, unit in enumerate(net.units):
        inside = [place for path, place in places.items() if path.startswith(f"{unit.path}.")]
        if inside and max(inside) >= first:
            return number
    return 0


def activations(net: Net, training: Training, scene: Scene) -> float:
    """Bytes on the card at the most in a forward and a backward pass.

    Units before the first trained layer keep nothing. Nothing is kept where no gradient comes by.
    """
    layers, config = training.layers, training.config
    if not net.units or not (layers or training.passes):
        return 0.0
    homes = _by_unit(net, layers)
    outside = homes.get("", [])
    modulated_outside = any(_sees_time_only(net, layer) for layer in outside)
    sums: list[tuple[Unit, _Sum]] = []
    for unit in net.units[_first_unit(net, training) :]:
        inside = homes.get(unit.path, [])
        modulated = modulated_outside or any(_sees_time_only(net, layer) for layer in inside)
        kept = scene.size(unit.kept_modulated if modulated else unit.kept) + _adapters(net, inside, config, scene)
        sums.append((unit, _Sum(kept, scene.size(unit.inputs), scene.size(unit.attention))))
    total = scene.size(net.outside_modulated if modulated_outside else net.outside)
    total += _adapters(net, outside, config, scene)
    return max(0.0, total + _of_units(sums, training.policy, training.every) + _passing(net, scene, training.policy))


def _of_units(sums: Sequence[tuple[Unit, _Sum]], policy: str, every: int) -> float:
    """The most at a time while the backward pass goes from the last unit to the first: what the units before it have
    left, and what is computed again of the one it is in."""
    left, most, numbers = 0.0, 0.0, dict[str, int]()
    for unit, each in sums:
        number = numbers.setdefault(unit.kind, 0)
        numbers[unit.kind] += 1
        if policy == "off" or number % every:
            left += each.kept
            most = max(most, left)
            continue
        # Offloaded inputs wait in the computer's memory.
        left += (0 if policy == "offload" else each.inputs) + (each.attention if policy == "selective" else 0)
        most = max(most, left + each.kept - (each.attention if policy == "selective" else 0))
    return most


def _passing(net: Net, scene: Scene, policy: str) -> float:
    """What comes and goes in the backward pass on top of what is kept: gradients of activations, mostly."""
    plain = [(unit, _Sum(scene.size(unit.kept), scene.size(unit.inputs), 0.0)) for unit in net.units]
    kept = _of_units(plain, "off" if policy == "off" else "on", 1)
    step = net.step if policy == "off" else net.step_recomputed
    return max(0.0, scene.size(step) - scene.size(net.outside) - kept)
