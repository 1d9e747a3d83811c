"""What the tests against other programs' adapters share: frozen layers, our adapters on them, and the comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from loratory.config.targets import Layer, Target
from loratory.networks import registry
from loratory.networks.formats import fusing
from loratory.networks.layer import AdapterLayer, weight_shape
from tests.unit.networks.test_network_types import CONFIGS, Case

RANK, ALPHA = 4, 3.0
"""Unlike each other, so that a scale that is left out or applied twice shows."""

BASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(24, 32), (3, 7, 24)),
    # Square: nothing but the places of the axes says what is an input and what an output.
    "linear without bias": (lambda: nn.Linear(24, 24, bias=False), (3, 24)),
    "conv 1x1": (lambda: nn.Conv2d(16, 24, 1), (2, 16, 6, 5)),
    "conv 3x3": (lambda: nn.Conv2d(16, 24, 3, stride=2, padding=1), (2, 16, 6, 5)),
}


def make_case(name: str, settings: Mapping[str, Any], base_name: str, bases: Mapping[str, Any] = BASES) -> Case:
    """A frozen layer and an input, and our type with RANK, ALPHA and these settings for it."""
    torch.manual_seed(1)
    build, shape = bases[base_name]
    base = build().requires_grad_(False)
    config_class = CONFIGS.get(name, CONFIGS["lora"])
    wanted = {"rank": RANK, "alpha": ALPHA, "conv_rank": RANK, "conv_alpha": ALPHA, **settings}
    config = config_class(**{key: value for key, value in wanted.items() if key in config_class.model_fields})
    kind = "linear" if isinstance(base, nn.Linear) else "conv" if isinstance(base, nn.Conv2d) else "norm"
    return Case(base, torch.randn(shape), Target(Layer("unet.layer", kind, weight_shape(base)), name, config))


def file_of(layer: AdapterLayer) -> dict[str, Tensor]:
    """What our file holds of a layer, by suffix."""
    held = fusing.for_file(layer.tensors())
    kind = fusing.kind_of(held)
    return {registry.suffix_of(kind, name): tensor for name, tensor in held.items()}


def from_file(base: nn.Module, file: Mapping[str, Tensor]) -> AdapterLayer:
    """Our layer of a file's tensors, by suffix."""
    names = registry.suffixes()
    tensors = fusing.checked({names[suffix]: tensor for suffix, tensor in file.items()}, weight_shape(base))
    return registry.layer_from_tensors(base, tensors).eval()


def gradients_by_suffix(layer: AdapterLayer) -> dict[str, Tensor]:
    """The gradients of our numbers, under the names that files have for them."""
    kind = fusing.kind_of(layer.tensors())
    result = {}
    for name, parameter in layer.named_parameters():
        ours = name.removeprefix("inner.").replace("magnitude", "dora_scale")
        assert parameter.grad is not None, name
        result[registry.suffix_of(kind, ours)] = parameter.grad
    return result


def same_change(found: Tensor, wanted: Tensor, plain: Tensor) -> None:
    """Two adapters change a frozen output alike, to 1e-4 of the largest change; and they do change it."""
    size = float((wanted - plain).detach().abs().max())
    assert size > 1e-2 * float(plain.abs().max()), "the adapter does nothing"
    assert float((found - wanted).detach().abs().max()) <= 1e-4 * size


def same_gradients(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, gradient in found.items():
        size = float(wanted[name].abs().max())
        assert size > 0, name
        assert float((gradient.flatten() - wanted[name].flatten()).abs().max()) <= 1e-3 * size, name
