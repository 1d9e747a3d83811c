"""What a network would train, counted without torch: for `loratory network preview`, plans and forms."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.architectures.header import BITS, read_header, read_lora_header
from loratory.config.identify import Resolve, locate
from loratory.config.model import ModelConfig
from loratory.config.modules import layers as true_layers
from loratory.config.modules import sizes
from loratory.config.network import Ia3Config, LoraConfig, NetworkConfig
from loratory.config.network_shapes import ShapeTable, trained_shapes
from loratory.config.targets import (
    Kind,
    Layer,
    blocks_of,
    group_of,
    rate_factors,
    select,
    shared_downs,
    summary,
)
from loratory.config.train import TrainConfig

HEADER_BYTES = 120
"""About what a tensor takes in a file's header."""


@dataclass(frozen=True)
class TrainedLayer:
    """One layer that would be trained."""

    layer: Layer
    type: str
    group: str
    block: str | None
    shapes: ShapeTable

    @property
    def parameters(self) -> int:
        return sum(math.prod(size) for size in self.shapes.values())


@dataclass(frozen=True)
class Preview:
    """The layers that would be trained, and what they add up to."""

    layers: tuple[TrainedLayer, ...]
    blocks: str
    """The names that `network.targets.blocks` understands."""

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @property
    def tensors(self) -> int:
        """Of a file, the alphas among them."""
        return sum(len(layer.shapes) + 1 for layer in self.layers)


def file_bytes(parameters: int, tensors: int, precision: str) -> int:
    """About the size of an exported file."""
    return parameters * BITS[precision.upper().replace("FP", "F")] // 8 + tensors * HEADER_BYTES


_OF_LAYER = re.compile(r"\.(lora[_.]|lokr_|hada_|oft_|dora_|diff|alpha$|[wb]_norm$|on_input$|[ab][12]\.|rescale$).*")


def shape_of_file(path: Path) -> tuple[int, int, int]:
    """Layers, numbers and tensors of a LoRA file, by its header. Raises UserError for a file that cannot be read."""
    shapes, _, _ = read_lora_header(path)
    parameters = sum(math.prod(size) for size in shapes.values() if size)
    return len({_OF_LAYER.sub("", name) for name in shapes}), parameters, len(shapes)


def preview(spec: ArchitectureSpec, layers: Sequence[Layer], config: NetworkConfig) -> Preview:
    """What a config would train of these layers. Raises UserError as `select` does, and where a type cannot do it."""
    blocks = blocks_of(spec, layers)
    chosen = tuple(
        TrainedLayer(
            target.layer,
            target.type,
            group_of(spec, target.layer.path),
            blocks.get(target.layer.path),
            _on_its_side(target.layer, target.config, trained_shapes(target.layer.shape, target.config, target.type)),
        )
        for target in select(spec, layers, config)
    )
    if isinstance(config, LoraConfig) and config.shared_down:
        chosen = _sharing(spec, layers, chosen)
    return Preview(chosen, summary(list(blocks.values())))


def _on_its_side(layer: Layer, config: NetworkConfig, shapes: ShapeTable) -> ShapeTable:
    """(IA)³ has a number for each input where `train_on_input` says so."""
    if not isinstance(config, Ia3Config) or "weight" not in shapes:
        return shapes
    on_input = any(re.search(pattern, layer.path) for pattern in config.train_on_input)
    return {"weight": (layer.shape[1],)} if on_input else shapes


def check_blocks(config: TrainConfig, spec: ArchitectureSpec, layers: Sequence[Layer], shown: Preview) -> None:
    """Raises UserError for rates of blocks that the model lacks, or of which nothing is trained."""
    paths = [layer.layer.path for layer in shown.layers]
    rate_factors(spec, layers, paths, config.optimizer.block_rate_factors)


def _sharing(
    spec: ArchitectureSpec, layers: Sequence[Layer], chosen: tuple[TrainedLayer, ...]
) -> tuple[TrainedLayer, ...]:
    """The same with each shared down matrix counted once."""
    trained = {layer.layer.path for layer in chosen if "down" in layer.shapes}
    groups = shared_downs(spec, {layer.path: layer.shape for layer in layers}, trained)
    others = {path for group in groups for path in group[1:]}
    return tuple(
        replace(layer, shapes={name: size for name, size in layer.shapes.items() if name != "down"})
        if layer.layer.path in others else layer
        for layer in chosen
    )  # fmt: skip


# A weight of two axes that is no layer's, but a table of embeddings.
_TABLES = re.compile(
    r"(token_embedding|position_embedding|embed_tokens|shared|relative_attention_bias|class_embedding)$"
)
_KINDS: dict[int, Kind] = {1: "norm", 2: "linear", 4: "conv"}


def _kind_of(path: str) -> str:
    """The same for a layer in every block, and however its text encoder is wrapped."""
    return re.sub(r"\d+", "N", path.replace(".text_model.", "."))


def layers_of(config: ModelConfig, spec: ArchitectureSpec, resolve: Resolve) -> Sequence[Layer]:
    """From the model's headers where it lies on this machine, else those of its usual size. Raises UserError."""
    path = config.path
    if config.architecture is not None and path != "demo" and not Path(path).exists():
        return model_layers(spec, None)  # a model of the Hub in its usual sizes
    local = locate(path, resolve, "model.path", revision=config.revision, allow_patterns=["model_index.json"])
    return model_layers(spec, local)


def model_layers(spec: ArchitectureSpec, folder: Path | None) -> tuple[Layer, ...]:
    """The layers of a model: read from the headers of a diffusers folder; without one, or without its
    weights, in true sizes.

    Raises UserError for a file that cannot be read.
    """
    if folder is None or not (folder / "model_index.json").is_file():
        return true_layers(spec.name)
    usual = {layer.path: number for number, layer in enumerate(true_layers(spec.name))}
    known = {_kind_of(layer.path) for layers in sizes(spec) for layer in layers}
    found = []
    for component in (spec.denoiser, *spec.text_encoders):
        for file in sorted((folder / component).glob("*.safetensors")):
            shapes, _, _ = read_header(file)
            for name, shape in shapes.items():
                path = name.removesuffix(".weight").removeprefix("text_model.")
                if name.endswith(".weight") and len(shape) in _KINDS and not _TABLES.search(path):
                    found.append(Layer(f"{component}.{path}", _KINDS[len(shape)], shape))
    # By its shape alone a parameter of another kind, such as the gate of experts, looks like a linear layer.
    found = [layer for layer in found if _kind_of(layer.path) in known]
    # A file's tensors lie in any order; the usual model's is the one that people know.
    if not found:
        return true_layers(spec.name)
    return tuple(sorted(found, key=lambda layer: (usual.get(layer.path, len(usual)), layer.path)))
