"""How long a run takes: its arithmetic, by what runs on this machine were seen to do in a second. Torch-free."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from loratory.config.memory_tables import Net
from loratory.config.targets import Layer
from loratory.planner.activations import HALF, Scene
from loratory.planner.counts import Counts
from loratory.planner.model import Model
from loratory.planner.samples import pictures_of


@dataclass(frozen=True)
class Clock:
    """Arithmetic in floating-point operations, and the time it takes where the speed is known."""

    flops_per_step: float
    """Of all batches of one step."""
    flops_of_samples: float
    """Of all samples of the run."""
    flops_per_second: float | None
    """Seen on this machine; None as long as nothing was measured."""
    seconds_per_step: float | None
    seconds_of_training: float | None
    seconds_of_samples: float | None

    @property
    def seconds(self) -> float | None:
        if self.seconds_of_training is None or self.seconds_of_samples is None:
            return None
        return self.seconds_of_training + self.seconds_of_samples


def forward_flops(net: Net, layers: dict[str, Layer], scene: Scene) -> tuple[float, float]:
    """Of products with weights, and of attention: 2 for each multiplication and addition."""
    products = sum(
        2 * scene.count(read.rows) * math.prod(layers[path].shape)
        for path, read in net.layers.items() if path in layers
    )  # fmt: skip
    queries = _queries(net, layers)
    return products, sum(_attention(unit.attention.at(scene.latents, scene.tokens), queries.get(unit.path, []), scene)
                         for unit in net.units)  # fmt: skip


def _queries(net: Net, layers: dict[str, Layer]) -> dict[str, list[int]]:
    """Widths of the layers that make queries, by the unit they lie in."""
    units = {unit.path for unit in net.units}
    found: dict[str, list[int]] = {}
    for name in net.layers:
        if name not in layers or not name.endswith((".to_q", ".to_qkv_mlp_proj", ".q_proj", ".q")):
            continue
        parts = name.split(".")
        for end in range(1, len(parts)):
            unit = ".".join(parts[:end])
            if unit in units:
                found.setdefault(unit, []).append(min(layers[name].shape))
    return found


def _attention(kept: float, queries: list[int], scene: Scene) -> float:
    """4 · places² · width for each picture: products of queries with keys, and of shares with values.

    A result's bytes say places · width; the width is that of the block's first queries.
    """
    if not kept or not queries:
        return 0.0
    width = queries[0]
    places = kept / HALF / width / len(queries)
    return scene.pictures * 4 * places**2 * width


def clock_of(model: Model, counts: Counts, flops_per_second: float | None) -> Clock:
    """Of a run. A backward pass through frozen layers is as much as a forward pass; blocks that are computed twice add
    theirs. Means over the buckets, since small pictures take less."""
    memory = model.config.memory
    again = 0.0 if memory.gradient_checkpointing == "off" else 1.0 / memory.checkpoint_every
    spares_attention = memory.gradient_checkpointing == "selective"
    total = sum(
        samples * _of_picture(model, (bucket[0], bucket[1]), again, spares_attention)
        for bucket, samples in counts.buckets.items()
    )
    per_step = total / counts.steps_per_epoch
    samples = _samples(model, counts)
    if flops_per_second is None:
        return Clock(per_step, samples, None, None, None, None)
    seconds = per_step / flops_per_second
    return Clock(per_step, samples, flops_per_second, seconds, seconds * counts.total_steps, samples / flops_per_second)


def _layers_of(model: Model, component: str) -> dict[str, Layer]:
    return {layer.path.partition(".")[2]: layer for layer in model.layers
            if layer.kind != "norm" and layer.path.startswith(f"{component}.")}  # fmt: skip


def _flops(model: Model, component: str, scene: Scene) -> tuple[float, float]:
    """Once for each scene: a dataset has many sizes, and a form asks often."""

    def work() -> tuple[float, float]:
        layers = model.remembered(("clock_layers", component), lambda: _layers_of(model, component))
        return forward_flops(model.net(component), layers, scene)

    return model.remembered(("flops", component, scene), work)


def _of_picture(model: Model, size: tuple[int, int], again: float, spares_attention: bool) -> float:
    """One picture through a forward and a backward pass."""
    total = 0.0
    for component in (model.spec.denoiser, *model.trained_text_encoders):
        products, attention = _flops(model, component, model.scene(size, 1))
        # The backward pass of attention computes its shares once more.
        total += products * (2 + again) + attention * (3.5 + (0 if spares_attention else again))
    return total


def _samples(model: Model, counts: Counts) -> float:
    from loratory.planner.disk import sample_rounds

    pictures = Counter(pictures_of(model))
    of_round = (
        number * picture.steps * sum(_flops(model, model.spec.denoiser, model.scene(picture.size, picture.at_once)))
        for picture, number in pictures.items()
    )
    return sample_rounds(model, counts) * sum(of_round)
