"""Adapters on a frozen model: which layers get one, how it is attached, stored, merged and switched off.

A network type is one file beside this one (`lora.py`): a subclass of `AdapterLayer`, `make_layer` and
`layer_from_tensors`. `docs/how-to-add/network-type.md` has the recipe.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.network import LoraConfig
from loratory.errors import UserError
from loratory.networks.formats import LayerTensors, State, some

# Class names of the containers whose layers are trained. A layer inside one of them gets an adapter when it is Linear
# or a 1x1 Conv2d; inside the second set only when the config has a rank for convolutions, and then its larger
# convolutions do too. These are the sets that kohya's trainer uses, so that files have the layers people expect.
LINEAR_CONTAINERS = frozenset(
    {"Transformer2DModel", "FluxTransformerBlock", "FluxSingleTransformerBlock", "CLIPAttention", "CLIPMLP"}
)
CONVOLUTION_CONTAINERS = frozenset({"ResnetBlock2D", "Downsample2D", "Upsample2D"})

_FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


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


class AdapterLayer(nn.Module):
    """One adapter beside one frozen layer. It never holds the frozen layer, so nothing is registered or saved twice."""

    strength: float
    """Multiplies the adapter's effect; 0 leaves the frozen layer's output untouched."""
    dropout: float
    """Share of the inner activations set to zero while training."""
    dropout_seed: Tensor
    """0-d int64 on the CPU, set by `Network.set_dropout_seed`; negative while unset."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.strength = 1.0
        self.dropout = dropout
        self.dropout_seed = torch.tensor(-1)

    def forward(self, x: Tensor, base_output: Tensor) -> Tensor:
        """The output of the adapted layer, given its input and the frozen layer's output, in that output's dtype."""
        raise NotImplementedError

    def delta_weight(self) -> Tensor:
        """What the adapter adds to the frozen weight at strength 1: fp32, in the weight's shape, exact."""
        raise NotImplementedError

    def tensors(self) -> LayerTensors:
        """Copies of what is stored: fp32 or the parameters' dtype, contiguous, on the CPU."""
        raise NotImplementedError

    def load_tensors(self, tensors: LayerTensors) -> None:
        """Take stored tensors over. Raises UserError when they do not fit, before anything is changed."""
        raise NotImplementedError


# Random numbers


def stream_seed(seed: int, name: str) -> int:
    """A 63-bit seed that depends on both: streams with other names or seeds have nothing to do with each other."""
    digest = hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@torch.library.custom_op("loratory::keep_mask", mutates_args=())
def _keep_mask(like: Tensor, seed: Tensor, keep: float) -> Tensor:
    generator = torch.Generator(like.device)
    generator.manual_seed(int(seed))
    # Contiguous, whatever `like` is: numbers are drawn in the order in which they lie in memory.
    return torch.empty(like.shape, dtype=like.dtype, device=like.device).bernoulli_(keep, generator=generator)


@_keep_mask.register_fake
def _(like: Tensor, seed: Tensor, keep: float) -> Tensor:
    return torch.empty(like.shape, dtype=like.dtype, device=like.device)


def seeded_dropout(hidden: Tensor, share: float, seed: Tensor) -> Tensor:
    """Set `share` of the values to zero and scale the others by 1 / (1 - share).

    The mask is a function of `seed` (0-d, CPU) alone. A generator that ran on from layer to layer would give another
    mask when gradient checkpointing runs a layer again, and so wrong gradients. It is an operator of its own because
    torch.compile cannot look into a generator.
    """
    return hidden * _keep_mask(hidden.detach(), seed, 1.0 - share) / (1.0 - share)


# Which layers


def _is_layer(module: nn.Module) -> bool:
    return isinstance(module, (nn.Linear, nn.Conv2d))


def _is_larger_convolution(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1)


def _has_class(module: nn.Module, names: frozenset[str]) -> bool:
    return any(kind.__name__ in names for kind in type(module).__mro__)


def _inside(root: nn.Module, containers: frozenset[str]) -> Iterator[tuple[str, nn.Module]]:
    """Layers (path, module) below any module of a container class, in the model's order, each once."""
    seen: set[str] = set()
    for prefix, container in root.named_modules():
        if _has_class(container, containers):
            for name, module in container.named_modules(prefix=prefix):
                if _is_layer(module) and name not in seen:
                    seen.add(name)
                    yield name, module


def _component_targets(root: nn.Module, conv_rank: int | None) -> dict[str, nn.Module]:
    if conv_rank is not None:
        return dict(_inside(root, LINEAR_CONTAINERS | CONVOLUTION_CONTAINERS))
    return {path: layer for path, layer in _inside(root, LINEAR_CONTAINERS) if not _is_larger_convolution(layer)}


def components_by_name(model: Model) -> dict[str, nn.Module]:
    """The denoiser and the text encoders under the names that paths begin with."""
    return {model.spec.denoiser: model.components.denoiser, **model.components.text_encoders}


def targets(model: Model, config: LoraConfig) -> dict[str, nn.Module]:
    """The layers that get an adapter, by component and path, for example unet.down_blocks.0.….

    Raises UserError when the config leaves nothing to train.
    """
    modules = components_by_name(model)
    names = [model.spec.denoiser] if config.train_denoiser else []
    if config.train_text_encoders:
        names += model.spec.trainable_text_encoders
    found = {
        f"{name}.{path}": layer
        for name in names
        for path, layer in _component_targets(modules[name], config.conv_rank).items()
    }
    if not found:
        raise UserError(
            f"network: nothing of this {model.spec.title} model would be trained; switch on train_denoiser"
            + (" or train_text_encoders." if model.spec.trainable_text_encoders else ".")
        )
    return found


def weight_shape(layer: nn.Module) -> tuple[int, ...]:
    """(out, in) or (out, in, kh, kw) of a Linear or Conv2d, also where the stored weight is packed."""
    if isinstance(layer, nn.Linear):
        return (layer.out_features, layer.in_features)
    assert isinstance(layer, nn.Conv2d)
    return tuple(layer.weight.shape)


def weight_shapes(model: Model) -> dict[str, tuple[int, ...]]:
    """Weight shapes of every Linear and Conv2d of the denoiser and text encoders, by path: what a file may adapt."""
    return {
        f"{name}.{path}": weight_shape(layer)
        for name, root in components_by_name(model).items()
        for path, layer in root.named_modules()
        if _is_layer(layer)
    }


# The network


def _module_name(path: str) -> str:
    """Module names may not contain dots; paths contain no slashes."""
    return path.replace(".", "/")


def _adapted(layer: AdapterLayer, base_forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def forward(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return cast(Tensor, layer(x, base_forward(x, *args, **kwargs)))

    return forward


class Network(nn.Module):
    """Adapter layers by full path, and the frozen layers that they sit on.

    Attaching replaces `forward` of the frozen layers' instances. The model's modules, their names and its state_dict
    stay as they are, and so do its weights, unless `merge` is called.
    """

    def __init__(self, layers: Mapping[str, AdapterLayer], bases: Mapping[str, nn.Module]) -> None:
        super().__init__()
        assert layers.keys() == bases.keys()
        self._layers = nn.ModuleDict({_module_name(path): layer for path, layer in layers.items()})
        self._bases = dict(bases)
        self._replaced: dict[str, Callable[..., Tensor] | None] = {}
        self._installed: dict[str, Callable[..., Tensor]] = {}
        self._originals: dict[str, Tensor] | None = None
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
        for path, layer in self.layers.items():
            base = self._bases[path]
            self._replaced[path] = base.__dict__.get("forward")
            self._installed[path] = _adapted(layer, base.forward)
            base.forward = self._installed[path]

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
        strengths = {path: layer.strength for path, layer in self.layers.items()}
        self.strength = 0.0
        try:
            yield
        finally:
            for path, layer in self.layers.items():
                layer.strength = strengths[path]

    def set_dropout_seed(self, seed: int) -> None:
        """Draw this micro-batch's dropout masks: each layer's is a function of `seed` and its path, nothing else.

        To be called before every forward in training mode when the config has dropout; without it such a forward
        raises RuntimeError.
        """
        for path, layer in self.layers.items():
            if layer.dropout > 0:
                layer.dropout_seed.fill_(stream_seed(seed, path))

    # Parameters and stored tensors

    def parameters_by_component(self) -> dict[str, list[nn.Parameter]]:
        """Parameters of each component (unet, text_encoder, …), in the model's order, for learning-rate groups."""
        groups: dict[str, list[nn.Parameter]] = {}
        for path, layer in self.layers.items():
            groups.setdefault(path.partition(".")[0], []).extend(layer.parameters())
        return groups

    def state(self) -> State:
        """A snapshot of all adapter tensors: copies, on the CPU, contiguous, sorted by path."""
        layers = self.layers
        return {path: layers[path].tensors() for path in sorted(layers)}

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
            if cast(Tensor, base.weight).dtype not in _FLOATS:
                raise UserError(
                    f"{path} has quantised weights, into which no LoRA can be merged; load the model in bf16."
                )
        self._originals = {} if keep_original else None
        for path, layer in self.layers.items():
            weight = cast(Tensor, self._bases[path].weight)
            if self._originals is not None:
                self._originals[path] = weight.detach().clone()
            weight.copy_((weight.float() + layer.strength * layer.delta_weight()).to(weight.dtype))
        self._merged = True

    @torch.no_grad()
    def unmerge(self) -> None:
        """Put the frozen weights back, bit for bit. Raises RuntimeError when no copy of them was kept."""
        if not self.merged or self._originals is None:
            raise RuntimeError("there is nothing to unmerge: not merged, or merged without keeping the original")
        for path, original in self._originals.items():
            cast(Tensor, self._bases[path].weight).copy_(original)
        self._originals = None
        self._merged = False


# Build


def network_type(name: str) -> ModuleType:
    """The file of a network type. Found by its name, so that a new one joins by being there.

    Raises UserError for a type that does not exist.
    """
    try:
        return import_module(f"{__package__}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{__package__}.{name}":
            raise
        raise UserError(f"network.type: there is no network type {name!r}.") from error


def _build(bases: Mapping[str, nn.Module], make: Callable[[str, nn.Module], AdapterLayer]) -> Network:
    layers = {}
    for path, base in bases.items():
        try:
            layers[path] = make(path, base)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
    network = Network(layers, bases)
    network.attach()
    return network


def inject(model: Model, config: LoraConfig, seed: int) -> Network:
    """Make the network of a job, with fresh weights, and attach it.

    Each layer's initial weights are a function of `seed` and its path. Raises UserError when nothing would be trained
    or a layer cannot have an adapter of this type.
    """
    kind = network_type(config.type)

    def make(path: str, base: nn.Module) -> AdapterLayer:
        generator = torch.Generator()
        generator.manual_seed(stream_seed(seed, path))
        return cast(AdapterLayer, kind.make_layer(base, config, generator))

    return _build(targets(model, config), make)


def from_state(model: Model, state: Mapping[str, LayerTensors], type_name: str = "lora") -> Network:
    """Make a network with the layers, ranks and alphas of a state (see `formats.import_`), and attach it.

    Raises UserError when the model lacks one of the layers or a shape does not fit.
    """
    kind = network_type(type_name)
    modules = {
        f"{name}.{path}": module
        for name, root in components_by_name(model).items()
        for path, module in root.named_modules()
    }
    unknown = state.keys() - modules.keys()
    if unknown:
        raise UserError(
            f"This LoRA has {len(unknown)} layers that the {model.spec.title} model lacks ({some(unknown)}); "
            "it was made for another model."
        )
    bases = {path: module for path, module in modules.items() if path in state}
    return _build(bases, lambda path, base: cast(AdapterLayer, kind.layer_from_tensors(base, state[path])))
