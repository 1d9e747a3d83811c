"""Adapters on a frozen model: how they are attached, stored, merged and switched off.

A network type is one file in `types/`: a subclass of `AdapterLayer` and a few functions.
`docs/how-to-add/network-type.md` has the recipe; `config/targets.py` says which layers get one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.network import LoraConfig, NetworkConfig
from loratory.config.targets import Layer, Target, select, shared_downs
from loratory.errors import UserError
from loratory.networks import fast, registry
from loratory.networks.layer import (
    FLOATS,
    NO_DROPOUT,
    AdapterLayer,
    dropouts_of,
    dtype_of,
    is_larger_convolution,
    lent_to,
    overwrite,
    stream_seed,
    tensors_of,
    weight_shape,
)
from loratory.networks.state import LayerTensors, State, some
from loratory.networks.types.lora import LoraLayer


class Modules(Protocol):
    """The loaded modules of a model, as `loratory.models.base.Components` has them."""

    @property
    def denoiser(self) -> nn.Module: ...
    @property
    def text_encoders(self) -> Mapping[str, nn.Module]: ...


class Model(Protocol):
    """What a network needs of a loaded architecture."""

    @property
    def spec(self) -> ArchitectureSpec: ...
    @property
    def components(self) -> Modules: ...


def components_by_name(model: Model) -> dict[str, nn.Module]:
    """The denoiser and the text encoders under the names that paths begin with."""
    return {model.spec.denoiser: model.components.denoiser, **model.components.text_encoders}


def modules_by_path(model: Model) -> dict[str, nn.Module]:
    """Every module of the denoiser and the text encoders, in the model's order."""
    return {
        f"{name}.{path}": module
        for name, root in components_by_name(model).items()
        for path, module in root.named_modules()
    }


def layers_of(model: Model) -> list[Layer]:
    """What may get an adapter: every Linear, Conv2d and normalisation with numbers of its own."""
    found = []
    for path, module in modules_by_path(model).items():
        if isinstance(module, nn.Linear):
            found.append(Layer(path, "linear", weight_shape(module)))
        elif isinstance(module, nn.Conv2d):
            found.append(Layer(path, "conv", weight_shape(module)))
        elif registry.is_trainable_norm(module):
            found.append(Layer(path, "norm", weight_shape(module)))
    return found


def targets(model: Model, config: NetworkConfig) -> dict[str, Target]:
    """The layers that get an adapter, by path, in the model's order.

    Raises UserError when the config leaves nothing to train.
    """
    return {target.layer.path: target for target in select(model.spec, layers_of(model), config)}


def weight_shapes(model: Model) -> dict[str, tuple[int, ...]]:
    """Weight shapes of everything that a file may adapt, by path."""
    return {layer.path: layer.shape for layer in layers_of(model)}


# The network


def _module_name(path: str) -> str:
    """Module names may not contain dots; paths contain no slashes."""
    return path.replace(".", "/")


def _adapted(layer: AdapterLayer, base_forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def forward(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return cast(Tensor, layer(x, base_forward(x, *args, **kwargs)))

    return forward


def _at_least_fp32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor


class Network(nn.Module):
    """Adapter layers by full path, and the frozen layers that they sit on.

    Attaching replaces `forward` of the frozen layers' instances. The model's modules, their names and its state_dict
    stay as they are, and so do its weights, unless `merge` is called.
    """

    def __init__(
        self,
        layers: Mapping[str, AdapterLayer],
        bases: Mapping[str, nn.Module],
        shared_inputs: Sequence[Sequence[str]] = (),
    ) -> None:
        """`shared_inputs` are groups of paths whose layers read the same input, to be computed together."""
        super().__init__()
        assert layers.keys() == bases.keys()
        self._shared_inputs = shared_inputs
        self._layers = nn.ModuleDict({_module_name(path): layer for path, layer in layers.items()})
        self._bases = dict(bases)
        self._replaced: dict[str, Callable[..., Tensor] | None] = {}
        self._installed: dict[str, Callable[..., Tensor]] = {}
        self._originals: dict[str, dict[str, Tensor]] | None = None
        self._merged = False

    @property
    def layers(self) -> dict[str, AdapterLayer]:
        """Adapter layers by path, in the model's order."""
        return {path: cast(AdapterLayer, self._layers[_module_name(path)]) for path in self._bases}

    @property
    def attached(self) -> bool:
        return bool(self._installed)

    @property
    def merged(self) -> bool:
        return self._merged

    # Attach, detach, strength

    def attach(self) -> None:
        """Let the frozen layers' outputs pass through the adapters."""
        if self.attached or self.merged:
            raise RuntimeError("the network is attached or merged already")
        layers = self.layers
        shared = {path for group in self._shared_inputs for path in group}
        for group in [*self._shared_inputs, *([path] for path in layers if path not in shared)]:
            adapted = [
                fast.Adapted(layers[path], self._bases[path], _adapted(layers[path], self._bases[path].forward))
                for path in group
            ]
            for path, forward in zip(group, fast.fast_forwards(adapted), strict=True):
                base = self._bases[path]
                self._replaced[path] = base.__dict__.get("forward")
                self._installed[path] = base.forward = forward

    def detach(self) -> None:
        """Take the adapters off; the model is again what it was before `attach`.

        Raises RuntimeError when something else was put on the same layers in the meantime and is still there.
        """
        for path, installed in self._installed.items():
            if self._bases[path].__dict__.get("forward") is not installed:
                raise RuntimeError(f"{path} was changed after this network was attached: undo that change first")
        for path, replaced in self._replaced.items():
            del self._bases[path].forward
            if replaced is not None:
                self._bases[path].forward = replaced
        self._replaced.clear()
        self._installed.clear()

    @property
    def strength(self) -> float:
        """Multiplies the effect of all layers. Setting it sets every layer's own strength."""
        strengths = {layer.strength for layer in self.layers.values()}
        if len(strengths) != 1:
            raise ValueError("the layers have different strengths; ask them one by one")
        return strengths.pop()

    @strength.setter
    def strength(self, value: float) -> None:
        for layer in self.layers.values():
            layer.strength = value

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Within the block the model gives exactly what it gives without adapters, for comparison pictures."""
        with self.scaled(0.0):
            yield

    @contextmanager
    def scaled(self, factor: float) -> Iterator[None]:
        """Within the block every layer's strength is `factor` times what it was."""
        strengths = {path: layer.strength for path, layer in self.layers.items()}
        try:
            for path, layer in self.layers.items():
                layer.strength = factor * strengths[path]
            yield
        finally:
            for path, layer in self.layers.items():
                layer.strength = strengths[path]

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Within the block nothing is drawn: no dropout, and DyLoRA has its whole rank."""
        was_training = self.training
        self.eval()
        try:
            yield
        finally:
            self.train(was_training)

    @property
    def draws(self) -> bool:
        """Does training mode draw random numbers?"""
        return any(layer.draws for layer in self.layers.values())

    def set_dropout_seed(self, seed: int) -> None:
        """What is drawn in this micro-batch (dropout, DyLoRA's ranks) is a function of `seed` and the layer's path.

        To be called before every forward in training mode when `draws`; without it such a forward raises RuntimeError.
        """
        for path, layer in self.layers.items():
            layer.set_dropout_seed(stream_seed(seed, path))

    # Alpha

    def with_alpha(self, *, larger_convolutions: bool) -> list[AdapterLayer]:
        """The innermost layers that have an alpha, of larger convolutions or of the others."""
        return [
            part
            for path, layer in self.layers.items()
            if is_larger_convolution(self._bases[path]) == larger_convolutions
            for part in layer.modules()
            if isinstance(part, AdapterLayer) and part.divisor is not None
        ]

    # Parameters and stored tensors

    def parameters_by_component(self) -> dict[str, list[nn.Parameter]]:
        """Parameters of each component (unet, text_encoder, …), in the model's order, for learning-rate groups."""
        groups: dict[str, dict[nn.Parameter, None]] = {}  # each once, also where layers share one
        for path, layer in self.layers.items():
            groups.setdefault(path.partition(".")[0], {}).update(dict.fromkeys(layer.parameters()))
        return {component: list(members) for component, members in groups.items()}

    def values_of_parameters(self, by_path: Mapping[str, float]) -> dict[nn.Parameter, float]:
        """A number for each parameter of the layers that have one."""
        return {
            parameter: by_path[path]
            for path, layer in self.layers.items()
            if path in by_path
            for parameter in layer.parameters()
        }

    def faster_parameters(self) -> list[nn.Parameter]:
        """Those that LoRA+ gives a higher rate."""
        parts = [part for layer in self.layers.values() for part in layer.modules() if isinstance(part, AdapterLayer)]
        return [part.get_parameter(name) for part in parts for name in part.FASTER]

    def state(self) -> State:
        """A snapshot of all adapter tensors: copies, on the CPU, contiguous, sorted by path.

        In fp32 at least: what is calculated with them for a file must not be rounded on the way.
        """
        layers = self.layers
        return {
            path: {name: _at_least_fp32(tensor) for name, tensor in layers[path].tensors().items()}
            for path in sorted(layers)
        }

    def load_state(self, state: Mapping[str, LayerTensors], source: str = "the LoRA") -> None:
        """Take over a state with exactly this network's layers and ranks.

        Another alpha is folded into the weights: the loaded network does what the state did. Raises UserError, which
        names `source`, when layers are missing or surplus or shapes differ; the network is then unchanged.
        """
        layers = self.layers
        missing, surplus = layers.keys() - state.keys(), state.keys() - layers.keys()
        if missing or surplus:
            parts = [f"lacks {len(missing)} layers that are trained here ({some(missing)})"] if missing else []
            parts += [f"has {len(surplus)} that are not ({some(surplus)})"] if surplus else []
            raise UserError(f"{source} {' and '.join(parts)}; set the same targets that it was trained with.")
        before = self.state()
        try:
            for path, layer in layers.items():
                try:
                    layer.load_tensors(state[path])
                except UserError as error:
                    raise UserError(f"{source}: {path}: {error}") from error
            for path, layer in layers.items():
                # Layers that share a matrix: the last one's has won.
                if any(not torch.equal(mine, state[path][name].to(mine.dtype)) for name, mine in layer.tensors().items()
                       if name == "down" and name in state[path]):  # fmt: skip
                    raise UserError(f"{source}: {path} has a down matrix of its own; switch network.shared_down off.")
        except UserError:
            for path, layer in layers.items():
                layer.load_tensors(before[path])
            raise

    # Merge

    @torch.no_grad()
    def merge(self, *, keep_original: bool = True) -> None:
        """Add strength × delta to the frozen weights in place, computed in fp32; detach first.

        With `keep_original` a copy of the weights is kept on their device, so that `unmerge` restores them bit for
        bit. Raises UserError for weights in a quantised format, before anything is changed.
        """
        if self.attached or self.merged:
            raise RuntimeError("detach the network before merging it, and merge it once")
        for path, base in self._bases.items():
            if dtype_of(base) not in FLOATS:
                raise UserError(
                    f"{path} has quantised weights, into which no LoRA can be merged; load the model in bf16."
                )
        self._originals = {} if keep_original else None
        for path, layer in self.layers.items():
            base = self._bases[path]
            changes = {"weight": layer.delta_weight()}
            bias = layer.delta_bias()
            if bias is not None:
                changes["bias"] = bias
            if self._originals is not None:
                self._originals[path] = {name: each.detach().clone() for name, each in tensors_of(base).items()}
            for name, delta in changes.items():
                tensor = cast(Tensor, getattr(base, name))
                overwrite(base, name, (tensor.float() + layer.strength * delta).to(tensor.dtype))
        self._merged = True

    @torch.no_grad()
    def unmerge(self) -> None:
        """Put the frozen weights back, bit for bit. Raises RuntimeError when no copy of them was kept."""
        if not self.merged or self._originals is None:
            raise RuntimeError("there is nothing to unmerge: not merged, or merged without keeping the original")
        for path, originals in self._originals.items():
            for name, tensor in tensors_of(self._bases[path]).items():
                tensor.copy_(originals[name])
        self._originals = None
        self._merged = False


# Build


def shared_inputs(spec: ArchitectureSpec, paths: Iterable[str]) -> list[list[str]]:
    """Groups of layers that read the same input, as the architecture declares them; two at least in each."""
    groups: dict[tuple[str, str], list[str]] = {}
    for path in paths:
        for pattern in spec.shared_inputs:
            if match := re.fullmatch(pattern, path):
                groups.setdefault((pattern, match[1]), []).append(path)
                break
    return [group for group in groups.values() if len(group) > 1]


def _build(
    spec: ArchitectureSpec,
    bases: Mapping[str, nn.Module],
    make: Callable[[str, nn.Module], AdapterLayer],
    device: torch.device | None,
) -> Network:
    layers = {}
    for path, base in bases.items():
        try:
            with lent_to(device, base):
                layers[path] = make(path, base)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
    return Network(layers, bases, shared_inputs(spec, bases))


def _share_downs(network: Network, groups: Iterable[Sequence[str]]) -> None:
    """Give the LoRA layers of each group the first one's down matrix. Raises UserError where ranks differ."""
    layers = network.layers
    for group in groups:
        inner = [next(part for part in layers[path].modules() if isinstance(part, LoraLayer)) for path in group]
        if len({layer.down.shape for layer in inner}) > 1:
            raise UserError(f"network.shared_down: {some(group)} need one rank; look at network.targets.layer_ranks.")
        for layer in inner[1:]:
            layer.down = inner[0].down


def inject(model: Model, config: NetworkConfig, seed: int, device: torch.device | None = None) -> Network:
    """Make the network of a job, with fresh weights, and attach it.

    Each layer's initial weights are a function of `seed` and its path. They are made on `device`, to which a frozen
    layer that waits elsewhere comes meanwhile; without one, where the frozen layer is. Raises UserError when nothing
    would be trained or a layer cannot have an adapter of this type.
    """
    chosen = targets(model, config)
    modules = modules_by_path(model)

    def make(path: str, base: nn.Module) -> AdapterLayer:
        generator = torch.Generator()
        generator.manual_seed(stream_seed(seed, path))
        return registry.make_layer(chosen[path], base, generator)

    network = _build(model.spec, {path: modules[path] for path in chosen}, make, device)
    if isinstance(config, LoraConfig) and config.shared_down:
        trained = {path for path, target in chosen.items() if target.type == config.type}
        _share_downs(network, shared_downs(model.spec, weight_shapes(model), trained))
    network.attach()
    return network


def from_state(
    model: Model,
    state: Mapping[str, LayerTensors],
    config: NetworkConfig | None = None,
    device: torch.device | None = None,
) -> Network:
    """Make a network with the layers, types, ranks and alphas of a state (see `formats.import_`), and attach it.

    Its dropouts are those of `config`, if it is given; `device` as for `inject`. Raises UserError when the model lacks
    one of the layers or a shape does not fit.
    """
    modules = modules_by_path(model)
    unknown = state.keys() - modules.keys()
    if unknown:
        raise UserError(
            f"This LoRA has {len(unknown)} layers that the {model.spec.title} model lacks ({some(unknown)}); "
            "it was made for another model."
        )
    bases = {path: module for path, module in modules.items() if path in state}

    def make(path: str, base: nn.Module) -> AdapterLayer:
        dropouts = NO_DROPOUT if config is None else dropouts_of(config, is_larger_convolution(base))
        return registry.layer_from_tensors(base, state[path], dropouts)

    network = _build(model.spec, bases, make, device)
    network.attach()
    return network
