"""One adapter beside one frozen layer: what every network type has to be, and what all of them use."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from loratory.config.network import NetworkBase, RankedConfig
from loratory.errors import UserError
from loratory.networks.state import LayerTensors, scalar, sizes

FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


@dataclass(frozen=True)
class Dropouts:
    """What is switched off at random while training, as shares. Each type says what its inner activations are."""

    inner: float = 0.0
    """Single inner activations."""
    rank: float = 0.0
    """Whole ranks, or rows of the weight's change where a type has no ranks."""
    module: float = 0.0
    """The adapter as a whole, for one micro-batch. The others are not made stronger for it."""

    def __bool__(self) -> bool:
        return bool(self.inner or self.rank or self.module)


NO_DROPOUT = Dropouts()


def dropouts_of(config: NetworkBase, larger: bool = False) -> Dropouts:
    """The dropouts of a layer; `larger` convolutions may have another inner one."""
    conv = config.conv_dropout if larger and isinstance(config, RankedConfig) else None
    return Dropouts(config.dropout if conv is None else conv, config.rank_dropout, config.module_dropout)


class AdapterLayer(nn.Module):
    """One adapter beside one frozen layer. It never registers the frozen layer, so nothing is saved twice.

    Whatever the type, strength λ means W + λ·ΔW: half strength is half way to the trained weight.
    """

    SCALED: ClassVar[tuple[str, ...]] = ()
    """Parameters that, multiplied by a number, have the effect of a scale multiplied by it."""
    FASTER: ClassVar[tuple[str, ...]] = ()
    """Parameters that LoRA+ gives a higher rate: those that begin at zero on the side of the outputs."""
    divisor: float | None = None
    """What alpha is divided by; None for types whose strength has no alpha."""
    alpha_unit: float = 1.0
    """What alpha 1 of the config is here: the root of the rank where a type is rank-stabilised."""
    alpha: float
    scale: float
    strength: float
    """Multiplies the adapter's effect; 0 leaves the frozen layer's output untouched."""
    dropouts: Dropouts
    dropout_seed: Tensor
    """0-d int64 on the CPU, set by `Network.set_dropout_seed`; negative while unset."""

    def __init__(self, dropouts: Dropouts = NO_DROPOUT) -> None:
        super().__init__()
        self.strength = 1.0
        self.dropouts = dropouts
        self.dropout_seed = torch.tensor(-1)

    def forward(self, x: Tensor, base_output: Tensor) -> Tensor:
        """The output of the adapted layer, given its input and the frozen layer's output, in that output's dtype."""
        raise NotImplementedError

    def delta(self) -> Tensor:
        """What the adapter adds to the frozen weight at strength 1: fp32, in the weight's shape, exact, with gradient.

        Dropout has no part in it.
        """
        raise NotImplementedError

    def delta_bias(self) -> Tensor | None:
        """What the adapter adds to the frozen bias at strength 1; None for nothing."""
        return None

    @torch.no_grad()
    def delta_weight(self) -> Tensor:
        """`delta` as a plain number."""
        return self.delta().detach()

    def row_norms(self, weight: Tensor) -> Tensor:
        """The length of every row of weight + delta, (out,) in fp32, with gradient; for DoRA. `weight` is fp32."""
        return (weight + self.delta()).flatten(1).norm(dim=1)

    def set_alpha(self, alpha: float) -> None:
        """Another alpha, as the config says it; nothing for types that have none."""
        if self.divisor is not None:
            self.alpha = alpha * self.alpha_unit
            self.scale = self.alpha / self.divisor

    def tensors(self) -> LayerTensors:
        """Copies of what is stored: fp32 or the parameters' dtype, contiguous, on the CPU."""
        raise NotImplementedError

    def load_tensors(self, tensors: LayerTensors) -> None:
        """Take stored tensors over. Raises UserError when they do not fit, before anything is changed."""
        raise NotImplementedError

    @property
    def draws(self) -> bool:
        """Does the forward in training mode draw random numbers?"""
        return bool(self.dropouts)

    def set_dropout_seed(self, seed: int) -> None:
        """Everything that is drawn in the next micro-batch is a function of this number."""
        self.dropout_seed.fill_(seed)

    def seed(self, purpose: int) -> Tensor:
        """The seed of one of this layer's dropouts in this micro-batch.

        Raises RuntimeError when the loop set none: drawing without it would not be repeatable.
        """
        if not torch.compiler.is_compiling() and self.dropout_seed < 0:
            raise RuntimeError("dropout is on: call Network.set_dropout_seed before each training forward")
        return self.dropout_seed ^ purpose

    def amount(self, like: Tensor) -> float | Tensor:
        """The strength, or 0 for a micro-batch that module dropout skips (then a 0-d tensor on `like`'s device)."""
        if not (self.training and self.dropouts.module):
            return self.strength
        return self.strength * keep_mask(like.new_empty(1), self.seed(2), 1.0 - self.dropouts.module)[0]

    def drop_inner(self, hidden: Tensor) -> Tensor:
        """Dropout of single values."""
        if not (self.training and self.dropouts.inner):
            return hidden
        return seeded_dropout(hidden, self.dropouts.inner, self.seed(0))

    def drop_ranks(self, hidden: Tensor, axis: int) -> Tensor:
        """Dropout of whole ranks, for each sample its own: (batch, …) with the ranks on `axis`."""
        if not (self.training and self.dropouts.rank):
            return hidden
        share = [1] * hidden.ndim
        share[0], share[axis] = hidden.shape[0], hidden.shape[axis]
        mask = keep_mask(hidden.new_empty(share), self.seed(1), 1.0 - self.dropouts.rank)
        return hidden * mask / (1.0 - self.dropouts.rank)

    def drop_rows(self, delta: Tensor) -> Tensor:
        """Dropout of whole rows of a weight's change, for types without ranks in the middle."""
        if not (self.training and self.dropouts.rank):
            return delta
        mask = keep_mask(
            delta.new_empty(delta.shape[0], *(1,) * (delta.ndim - 1)), self.seed(1), 1 - self.dropouts.rank
        )
        return delta * mask / (1.0 - self.dropouts.rank)


class DenseLayer(AdapterLayer):
    """An adapter whose change of the weight is built in full and applied as a second weight. Types give `delta`.

    Inner dropout acts on the input, the only activation that there is.
    """

    def __init__(self, base: nn.Module, dropouts: Dropouts = NO_DROPOUT) -> None:
        super().__init__(dropouts)
        self.operation = operation_of(base)

    def forward(self, x: Tensor, base_output: Tensor) -> Tensor:
        if self.strength == 0:
            return base_output
        dtype = base_output.dtype
        delta = self.drop_rows(self.delta()) * self.amount(x)
        return self.operation.added(base_output, self.drop_inner(x.to(dtype)), delta.to(dtype))


def take_over(
    layer: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    factor: float = 1.0,
    scaled: Collection[str] = (),
    beside: Collection[str] = (),
) -> None:
    """Copy stored tensors into the parameters of the same names, those in `scaled` times `factor`.

    Numbers without axes and what is in `beside` are the caller's. Raises UserError where other tensors or other sizes
    are stored, before anything is changed.
    """
    parameters = dict(layer.named_parameters())
    stored = {name: tensor for name, tensor in tensors.items() if tensor.ndim and name not in beside}
    if {name: tensor.shape for name, tensor in stored.items()} != {name: p.shape for name, p in parameters.items()}:
        raise UserError(
            f"{sizes(stored)} cannot become {sizes(parameters)}, which is trained here; "
            "set the network type, rank and options that it was trained with."
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(stored[name] * factor if name in scaled and factor != 1 else stored[name])


def alpha_factor(tensors: Mapping[str, Tensor], alpha: float) -> float:
    """What stored weights are multiplied by so that they do the same with another alpha.

    Compared as it is stored: 0.3 is another number in fp32, and one's own tensors must come back bit-equal.
    """
    return float(tensors["alpha"]) / scalar(alpha).item()


# How a frozen layer applies its weight


@dataclass(frozen=True)
class Operation:
    """A matrix product or a convolution, as the frozen layer does it."""

    convolution: tuple[tuple[int, ...], tuple[int, ...] | str, tuple[int, ...]] | None
    """Stride, padding and dilation; None for a Linear."""

    def __call__(self, x: Tensor, weight: Tensor) -> Tensor:
        if self.convolution is None:
            return F.linear(x, weight)
        stride, padding, dilation = self.convolution
        return F.conv2d(x, weight, None, stride, padding, dilation)

    def added(self, output: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        """output + operation(x, weight). For a Linear in one pass over the output."""
        if self.convolution is not None:
            return output + self(x, weight)
        flat = torch.addmm(output.reshape(-1, weight.shape[0]), x.reshape(-1, weight.shape[1]), weight.t())
        return flat.view(output.shape)

    def per_output(self, values: Tensor) -> Tensor:
        """One value per output, (out,), in a shape that multiplies the layer's output."""
        return values if self.convolution is None else values.view(1, -1, 1, 1)


def operation_of(base: nn.Module) -> Operation:
    """How a frozen Linear or Conv2d applies its weight. Raises UserError for what no adapter can sit on."""
    if isinstance(base, nn.Linear):
        return Operation(None)
    if not isinstance(base, nn.Conv2d):
        raise UserError(f"a {type(base).__name__} cannot have an adapter; only Linear and Conv2d layers can.")
    if base.groups != 1 or base.padding_mode != "zeros":
        raise UserError("a convolution with groups or with other than zero padding cannot have an adapter.")
    return Operation((tuple(base.stride), base.padding if isinstance(base.padding, str) else tuple(base.padding),
                      tuple(base.dilation)))  # fmt: skip


def is_larger_convolution(base: nn.Module) -> bool:
    return isinstance(base, nn.Conv2d) and base.kernel_size != (1, 1)


def weight_shape(layer: nn.Module) -> tuple[int, ...]:
    """(out, in) or (out, in, kh, kw) of a Linear or Conv2d, also where the stored weight is packed."""
    if isinstance(layer, nn.Linear):
        return (layer.out_features, layer.in_features)
    if isinstance(layer, nn.Conv2d):
        return (layer.out_channels, layer.in_channels // layer.groups, *layer.kernel_size)
    assert isinstance(layer.weight, Tensor)
    return tuple(layer.weight.shape)


def device_of(base: nn.Module) -> torch.device:
    return next(chain(base.parameters(), base.buffers())).device


@runtime_checkable
class Packed(Protocol):
    """A frozen layer that keeps its weight in fewer bits. `weight` reads as ever, but is made anew at each use."""

    @property
    def compute_dtype(self) -> torch.dtype:
        """What `weight` has."""

    def set_weight(self, weight: Tensor) -> None:
        """Keep another weight."""


def dtype_of(base: nn.Module) -> torch.dtype:
    """The format in which a frozen layer computes."""
    if isinstance(base, Packed):
        return base.compute_dtype
    assert isinstance(base.weight, Tensor)
    return base.weight.dtype


def tensors_of(base: nn.Module) -> dict[str, Tensor]:
    """What a frozen layer really keeps, by name: of a packed weight, what stands for it."""
    return dict(chain(base.named_parameters(recurse=False), base.named_buffers(recurse=False)))


def overwrite(base: nn.Module, name: str, value: Tensor) -> None:
    """Give a frozen layer's `weight` or `bias` other numbers, in the format that it has."""
    if name == "weight" and isinstance(base, Packed):
        base.set_weight(value)
    else:
        base.get_parameter(name).copy_(value)


@contextmanager
def lent_to(device: torch.device | None, base: nn.Module) -> Iterator[None]:
    """Within the block the layer's tensors are on `device`; None leaves them where they are."""
    tensors = [] if device is None else [*base.parameters(), *base.buffers()]
    before = [tensor.data for tensor in tensors]
    try:
        for tensor in tensors:
            tensor.data = tensor.data.to(device)
        yield
    finally:
        for tensor, data in zip(tensors, before, strict=True):
            tensor.data = data


class Frozen:
    """Holds a frozen layer for a type that needs its weight, without registering it as a part of the adapter."""

    def __init__(self, base: nn.Module) -> None:
        self.base = base
        self.device = device_of(base)

    def weight(self) -> Tensor:
        """In fp32, detached, where it was when the adapter was made: between its uses it may wait elsewhere.

        Raises UserError for a quantised weight, which has no such numbers.
        """
        weight = self.base.weight
        assert isinstance(weight, Tensor)
        if weight.dtype not in FLOATS:
            raise UserError("its weights are quantised, and this network type needs them in full; use lora, or bf16.")
        return weight.detach().to(self.device).float()

    def without_bias(self, output: Tensor, operation: Operation) -> Tensor:
        """The frozen layer's output before its bias was added."""
        bias = getattr(self.base, "bias", None)
        return output if bias is None else output - operation.per_output(bias.detach()).to(output.dtype)


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


def keep_mask(like: Tensor, seed: Tensor, keep: float) -> Tensor:
    """Ones with probability `keep`, else zeros, in the shape, dtype and place of `like`; a function of `seed` (0-d,
    CPU) alone. A generator that ran on from layer to layer would give another mask when gradient checkpointing runs a
    layer again, and so wrong gradients. It is an operator of its own because torch.compile cannot look into a
    generator.
    """
    return _keep_mask(like.detach(), seed, keep)


def seeded_dropout(hidden: Tensor, share: float, seed: Tensor) -> Tensor:
    """Set `share` of the values to zero and scale the others by 1 / (1 - share)."""
    return hidden * keep_mask(hidden, seed, 1.0 - share) / (1.0 - share)
