"""What of a model a plan needs: its layers, the table of its size, what is trained of it, and what goes through it."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.memory_tables import MemoryTable, Net, table_for
from loratory.config.network_preview import Preview, TrainedLayer, preview
from loratory.config.targets import Layer, trained_text_encoders
from loratory.config.train import TrainConfig
from loratory.data.buckets import Size
from loratory.planner.activations import Scene
from loratory.planner.weights import ITEM, net_bytes

Result = TypeVar("Result")

MOST_REMEMBERED = 2_000
MOST_MODELS = 8
"""Layers and networks that are remembered."""
LENGTH_OF_A_LONG_CAPTION = 256
"""Tokens that are assumed where texts keep their own lengths."""


@dataclass(frozen=True)
class Model:
    """A config's model, and how it is to be trained."""

    config: TrainConfig
    spec: ArchitectureSpec
    layers: tuple[Layer, ...]
    table: MemoryTable
    usual: tuple[Layer, ...]
    """The layers of the true size that the table is of."""
    shown: Preview
    memo: dict[Hashable, Any] = field(default_factory=dict, compare=False, repr=False)
    """What was counted already. Kept from plan to plan of the same layers and network: a form asks at every key, and
    fitting tries dozens of configs. Keys name everything else that a number depends on."""

    def remembered(self, key: Hashable, work: Callable[[], Result]) -> Result:
        """What `work` gives, done once for each key."""
        if key not in self.memo:
            if len(self.memo) >= MOST_REMEMBERED:
                self.memo.clear()
            self.memo[key] = work()
        found: Result = self.memo[key]
        return found

    @property
    def network_shapes(self) -> list[tuple[int, ...]]:
        """Of every trained tensor."""
        return self.remembered(
            "network_shapes", lambda: [shape for layer in self.shown.layers for shape in layer.shapes.values()]
        )

    @property
    def network_numbers(self) -> int:
        """Of all trained tensors together."""
        return self.remembered("network_numbers", lambda: sum(map(math.prod, self.network_shapes)))

    def trained(self, component: str) -> list[TrainedLayer]:
        begin = f"{component}."
        return self.remembered(
            ("trained", component), lambda: [each for each in self.shown.layers if each.layer.path.startswith(begin)]
        )

    def net(self, component: str) -> Net:
        return self.table.denoiser if component == self.spec.denoiser else self.table.text_encoders[component]

    @property
    def scales(self) -> dict[str, float]:
        """How wide each component is, compared with the true size: 1 for the models that everybody has."""
        names = (self.spec.denoiser, *self.table.text_encoders)
        return self.remembered("scales", lambda: {name: self._scale(name) for name in names})

    def _scale(self, component: str) -> float:
        def widths(layers: Sequence[Layer]) -> int:
            return sum(layer.shape[0] for layer in layers if layer.path.startswith(f"{component}."))

        usual = widths(self.usual)
        return widths(self.layers) / usual if usual else 1.0

    def parameters(self, component: str) -> int:
        """Exact for true sizes; of others by the share of their layers."""
        return self.remembered(("parameters", component), lambda: self._parameters(component))

    def _parameters(self, component: str) -> int:
        def counted(layers: Sequence[Layer]) -> int:
            return sum(math.prod(layer.shape) for layer in layers if layer.path.startswith(f"{component}."))

        numbers, usual, mine = self.net(component).numbers, counted(self.usual), counted(self.layers)
        return numbers if usual == mine or not usual else round(numbers * mine / usual)

    def weights(self, component: str) -> int:
        """Bytes of a component as it is kept."""
        memory, net = self.config.memory, self.net(component)
        form = memory.denoiser_weights if component == self.spec.denoiser else memory.text_encoder_weights
        keep = memory.keep_full_if_contains

        def work() -> int:
            layers = [layer for layer in self.layers if layer.path.startswith(f"{component}.")]
            return net_bytes(self.parameters(component), net.buffer_bytes, layers, form, memory.precision, keep)

        return self.remembered(("weights", component, form, memory.precision, keep), work)

    def vae_weights(self) -> int:
        vae = self.table.vae
        return 0 if vae is None else vae.numbers * ITEM[self.config.model.vae_precision] + vae.buffer_bytes

    @property
    def text_encoders(self) -> list[str]:
        """Those that the job has."""
        return [name for name in self.spec.text_encoders if name not in self.config.model.left_out()]

    @property
    def trained_text_encoders(self) -> tuple[str, ...]:
        return trained_text_encoders(self.spec, self.config.network)

    def latents(self, size: Size) -> int:
        """Latents of a picture of (width, height), as many as the denoiser computes."""
        area = math.prod(size)
        if self.spec.largest_area is not None and size[0] != size[1]:
            area = self.spec.largest_area  # filled up to the most that there can be
        return area // self.table.pixels_per_latent**2

    @property
    def tokens(self) -> int:
        """Of a text, as the denoiser is told it; where texts keep their own lengths, of a long one."""
        most = self.spec.text_tokens or LENGTH_OF_A_LONG_CAPTION
        if self.spec.masks_texts:
            return min(most, LENGTH_OF_A_LONG_CAPTION)
        pieces = self.config.text.max_token_length // 75 if "max_token_length" in self.spec.text_settings else 1
        return pieces * (most + self.spec.added_tokens)

    def scene(self, size: Size, pictures: int) -> Scene:
        return Scene(pictures, self.latents(size), self.tokens, ITEM[self.config.memory.precision])


def model_of(config: TrainConfig, spec: ArchitectureSpec, layers: Sequence[Layer]) -> Model:
    """Raises UserError where nothing, or something impossible, would be trained."""
    key = (spec.name, tuple(layers), config.network.model_dump_json())
    with _lock:
        known = _models.get(key)
        if known is not None:
            _models.move_to_end(key)
            return replace(known, config=config)
    table, usual = table_for(spec, tuple(layers))
    found = Model(config, spec, tuple(layers), table, usual, preview(spec, layers, config.network))
    with _lock:
        _models[key] = found
        while len(_models) > MOST_MODELS:
            _models.popitem(last=False)
    return found


_models: OrderedDict[Hashable, Model] = OrderedDict()
_lock = threading.Lock()
