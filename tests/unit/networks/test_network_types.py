"""What every network type must do. A type joins by its config class and its file."""

import pkgutil

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import loratory.config.network
import loratory.networks
from loratory.config.base import StrictModel
from loratory.errors import UserError
from loratory.networks.base import AdapterLayer, network_type

CONFIGS = {
    kind.model_fields["type"].default: kind
    for kind in vars(loratory.config.network).values()
    if isinstance(kind, type) and issubclass(kind, StrictModel) and "type" in kind.model_fields
}
SHARED = {"base", "formats", "metadata"}
BASES = {
    "linear": (lambda: nn.Linear(24, 40), (3, 7, 24)),
    "conv 1x1": (lambda: nn.Conv2d(16, 24, 1), (2, 16, 6, 5)),
    "conv 3x3": (lambda: nn.Conv2d(16, 24, 3, padding=1), (2, 16, 6, 5)),
}


def test_every_type_has_a_config_class_and_a_file():
    files = {module.name for module in pkgutil.iter_modules(loratory.networks.__path__)} - SHARED
    assert files == CONFIGS.keys() and "lora" in files


def stir(layer: AdapterLayer) -> AdapterLayer:
    torch.manual_seed(4)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return layer


@pytest.fixture(params=[(name, base) for name in CONFIGS for base in BASES], ids=lambda pair: f"{pair[0]}, {pair[1]}")
def case(request):
    """The type's file, a frozen layer, an input and a fresh adapter; None where the type refuses that kind of layer."""
    name, base_name = request.param
    torch.manual_seed(1)
    build, shape = BASES[base_name]
    base, x = build().requires_grad_(False), torch.randn(shape)
    optional = {"alpha": 3.0, "conv_rank": 4, "conv_alpha": 3.0}
    config = CONFIGS[name](
        rank=4, **{key: value for key, value in optional.items() if key in CONFIGS[name].model_fields}
    )
    try:
        layer = network_type(name).make_layer(base, config, torch.Generator().manual_seed(0))
    except UserError as error:
        assert base_name != "linear", f"every type adapts a Linear: {error}"
        layer = None
    return network_type(name), base, x, layer


def dense(base: nn.Module, weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    if isinstance(base, nn.Linear):
        return F.linear(x, weight, base.bias)
    return F.conv2d(x, weight, base.bias, base.stride, base.padding, base.dilation)


def test_a_type_keeps_the_contract(case):
    kind, base, x, layer = case
    if layer is None:
        return
    plain = base(x)
    assert torch.equal(layer(x, plain), plain), "a fresh adapter changes nothing"
    assert {parameter.dtype for parameter in layer.parameters()} == {torch.float32}

    stir(layer)
    adapted = layer(x, base(x))
    assert (adapted - plain).abs().max() > 1e-3
    delta = layer.delta_weight()
    assert delta.dtype == torch.float32 and delta.shape == base.weight.shape
    torch.testing.assert_close(adapted, dense(base, base.weight + delta, x), rtol=1e-4, atol=1e-4)
    layer.strength = 0.0
    assert torch.equal(layer(x, base(x)), plain)
    layer.strength = 1.0

    adapted.square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in layer.parameters())
    assert base.weight.grad is None and not set(layer.state_dict()) & {"weight", "bias", "base.weight"}

    again = kind.layer_from_tensors(base, layer.tensors())
    assert torch.equal(again(x, base(x)), adapted)
    low, low_x = base.to(torch.bfloat16), x.to(torch.bfloat16)
    assert layer(low_x, low(low_x)).dtype == torch.bfloat16
