"""Which layers of a model get an adapter, of which type and rank. Torch-free: the trainer decides with it, and so does
`loratory network preview` from a table of the model's layers."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, TypeVar

from loratory.config.architectures.base import ArchitectureSpec, Shapes
from loratory.config.architectures.native import native_layers
from loratory.config.network import AlphaConfig, NetworkConfig, OftConfig, RankedConfig
from loratory.errors import UserError

Kind = Literal["linear", "conv", "norm"]
Value = TypeVar("Value")


@dataclass(frozen=True)
class Layer:
    """One layer of a model: its path with the component before it (unet.mid_block.…), and its weight's shape."""

    path: str
    kind: Kind
    shape: tuple[int, ...]

    @property
    def is_larger_convolution(self) -> bool:
        return self.kind == "conv" and self.shape[2:] != (1, 1)


@dataclass(frozen=True)
class Target:
    """A layer that is trained."""

    layer: Layer
    type: str
    """The network type of this layer: the config's, or `full`, or `norm`."""
    config: NetworkConfig
    """The network's config with this layer's rank and alpha."""


def trained_text_encoders(spec: ArchitectureSpec, config: NetworkConfig) -> tuple[str, ...]:
    """The text encoders that are trained, in the pipeline's order."""
    chosen = set(spec.trainable_text_encoders) if config.train_text_encoders else set()
    if config.train_large_text_encoders:
        chosen |= set(spec.large_text_encoders)
    return tuple(name for name in spec.text_encoders if name in chosen)


def group_of(spec: ArchitectureSpec, path: str) -> str:
    """What a layer is for; `other` where the architecture names no group."""
    return next((group for pattern, group in spec.layer_groups.items() if re.search(pattern, path)), "other")


def blocks_of(spec: ArchitectureSpec, layers: Sequence[Layer]) -> dict[str, str]:
    """The block of each of the denoiser's layers that is in one, by path, in the model's order."""
    shapes = {layer.path: layer.shape for layer in layers}
    blocks = {}
    for native in native_layers(spec, shapes):
        match = re.match(spec.block_pattern, native.name)
        if match:
            blocks.update(dict.fromkeys(native.parts, match[0]))
    return {path: blocks[path] for path in shapes if path in blocks}


def contains(path: str, texts: Iterable[str]) -> bool:
    """Does the path contain one of the texts? /…/ is a regular expression. Raises UserError for one that is wrong."""
    return any(_fits(path, text) for text in texts)


def _fits(path: str, text: str) -> bool:
    if not (len(text) > 2 and text.startswith("/") and text.endswith("/")):
        return text in path
    try:
        return re.search(text[1:-1], path) is not None
    except re.error as error:
        raise UserError(f"network.targets: {text} is not a regular expression ({error}).") from error


_RANGE = re.compile(r"(?P<name>[^\s,]+?)(?:\.(?P<first>\d+)(?:-(?P<last>\d+))?)?")


def named_blocks(text: str, known: Sequence[str], parameter: str) -> list[str]:
    """Blocks of a list such as `double_blocks.0-9, middle_block`; `double_blocks` alone means all of that name.

    Raises UserError, with the names that there are, for one that the model lacks; `parameter` is where it was given.
    """
    if text.strip() == "all":
        return list(known)
    if text.strip() in ("", "none"):
        return []
    found = []
    for part in (each.strip() for each in text.split(",")):
        match = _RANGE.fullmatch(part)
        wanted = []
        if match and match["first"] is not None:
            first, last = int(match["first"]), int(match["last"] or match["first"])
            wanted = [f"{match['name']}.{number}" for number in range(first, last + 1)]
        elif match:
            wanted = [block for block in known if block == part or block.startswith(f"{part}.")]
        missing = [block for block in wanted if block not in known]
        if not wanted or missing:
            wrong = missing[0] if missing else part
            kinds = {block.rpartition(".")[0] or block for block in known}
            name = wrong.rpartition(".")[0] or wrong
            near = [] if name in kinds else get_close_matches(name, kinds, n=1, cutoff=0.8)
            meant = f"did you mean {near[0]}? It" if near else "it"
            raise UserError(f"{parameter}: this model has no {wrong}; {meant} has {summary(known)}.")
        found += wanted
    return found


def summary(blocks: Sequence[str]) -> str:
    """Block names with their ranges: double_blocks.0-18, single_blocks.0-37."""
    spans: dict[str, list[int]] = {}
    alone = []
    for block in dict.fromkeys(blocks):
        name, _, number = block.rpartition(".")
        if name and number.isdigit():
            spans.setdefault(name, []).append(int(number))
        else:
            alone.append(block)
    return ", ".join([f"{name}.{min(numbers)}-{max(numbers)}" for name, numbers in spans.items()] + alone)


_IA3 = re.compile(r"(to_k|to_v|k_proj|v_proj|ff(_context)?\.net\.2|mlp\.fc2)$")


def _in_preset(spec: ArchitectureSpec, layer: Layer, config: NetworkConfig) -> bool:
    """Does the config's set of layers have this one?"""
    preset, group = config.targets.preset, group_of(spec, layer.path)
    everything = spec.trained_groups + spec.convolution_groups
    if preset == "default":
        if isinstance(config, RankedConfig) and config.conv_rank is not None:
            return group in everything
        return group in spec.trained_groups and not layer.is_larger_convolution
    if preset == "ia3":
        return group in everything and _IA3.search(layer.path) is not None
    sets: Mapping[str, tuple[str, ...]] = {
        "attn-only": ("attention",),
        "attn-mlp": ("attention", "mlp"),
        "full-lin": everything,
        "full": everything,
        "unet-transformer-only": spec.trained_groups,
        "unet-convblock-only": spec.convolution_groups,
    }
    return group in sets[preset] and (preset != "full-lin" or layer.kind == "linear")


def _of_block(table: Mapping[str, Value], block: str | None, known: Sequence[str], field: str) -> Value | None:
    """The value of the first entry that names the block; None if none does."""
    for names, value in table.items():
        if block in named_blocks(names, known, field):
            return value
    return None


def select(spec: ArchitectureSpec, layers: Sequence[Layer], config: NetworkConfig) -> list[Target]:
    """The layers that are trained, in the model's order. `layers` are those of the denoiser and the text encoders.

    Raises UserError for a block that the model lacks, a wrong regular expression, or when nothing is left to train.
    """
    targets = config.targets
    blocks = blocks_of(spec, layers)
    known = list(dict.fromkeys(blocks.values()))
    chosen_blocks = set(named_blocks(targets.blocks, known, "network.targets.blocks"))
    components = (spec.denoiser,) * config.train_denoiser + trained_text_encoders(spec, config)
    found = []
    for layer in layers:
        component = layer.path.partition(".")[0]
        block = blocks.get(layer.path)
        if component not in components or (block is not None and block not in chosen_blocks):
            continue
        if targets.preset.startswith("unet-") and component != spec.denoiser:
            continue
        if targets.only_if_contains and not contains(layer.path, targets.only_if_contains):
            continue
        if contains(layer.path, targets.ignore_if_contains):
            continue
        if layer.kind == "norm":
            if targets.norms and (block is not None or component != spec.denoiser):
                found.append(Target(layer, "norm", config))
            continue
        if contains(layer.path, targets.full_if_contains):
            found.append(Target(layer, "full", config))
        elif _in_preset(spec, layer, config) or contains(layer.path, targets.also_if_contains):
            target = _ranked(layer, block, known, config)
            found += [target] if target is not None else []
    if not found:
        raise UserError(
            f"network: nothing of this {spec.title} model would be trained; switch on train_denoiser"
            + (" or train_text_encoders" if spec.trainable_text_encoders else "")
            + ", and look at network.targets."
        )
    return found


def rate_factors(
    spec: ArchitectureSpec, layers: Sequence[Layer], paths: Iterable[str], table: Mapping[str, float]
) -> dict[str, float]:
    """What the rates of trained layers (`paths`) are multiplied by, by path; those that no entry names are left out.

    Raises UserError for a block that the model lacks, or of which nothing is trained.
    """
    field = "optimizer.block_rate_factors"
    if not table:
        return {}
    blocks = blocks_of(spec, layers)
    known = list(dict.fromkeys(blocks.values()))
    trained = [path for path in paths if path in blocks]
    for names in table:
        wanted = named_blocks(names, known, field)
        if not any(blocks[path] in wanted for path in trained):
            there = summary([blocks[path] for path in trained]) or "none is"
            raise UserError(f"{field}: nothing of {names} is trained; of the denoiser's blocks those are: {there}.")
    found = {path: _of_block(table, blocks[path], known, field) for path in trained}
    return {path: factor for path, factor in found.items() if factor is not None}


def shared_downs(spec: ArchitectureSpec, shapes: Shapes, trained: Container[str]) -> list[list[str]]:
    """Groups of trained layers that are one in the original model, for one down matrix; two at least in each."""
    groups = [[path for path in native.parts if path in trained] for native in native_layers(spec, shapes)]
    return [group for group in groups if len(group) > 1]


def _ranked(layer: Layer, block: str | None, known: Sequence[str], config: NetworkConfig) -> Target | None:
    """The target with its own rank and alpha; None where its rank is 0."""
    targets = config.targets
    alpha = _of_block(targets.block_alphas, block, known, "network.targets.block_alphas")
    rank = next((value for text, value in targets.layer_ranks.items() if _fits(layer.path, text)), None)
    if rank is None:
        rank = _of_block(targets.block_ranks, block, known, "network.targets.block_ranks")
    if rank == 0:
        return None
    if layer.is_larger_convolution and isinstance(config, RankedConfig):
        general = (config.rank, config.alpha) if config.conv_rank is None else (config.conv_rank, config.conv_alpha)
        # A rank of its own comes with the alpha that is said for convolutions.
        usual = config.conv_alpha if rank is not None else general[1]
        changes = {"conv_rank": general[0] if rank is None else rank, "conv_alpha": usual if alpha is None else alpha}
    else:
        changes = {}
        if rank is not None and isinstance(config, AlphaConfig | OftConfig):
            changes["rank"] = rank
        if alpha is not None and isinstance(config, AlphaConfig):
            changes["alpha"] = alpha
    return Target(layer, config.type, config.model_copy(update=changes) if changes else config)
