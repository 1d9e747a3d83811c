"""Adapters on frozen layers whose weights are kept in fewer bits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from loratory.config.network import LoraConfig
from loratory.models.common.storage import FORMATS, pack_weights
from loratory.models.common.storage.layers import _Packed
from loratory.networks import fast
from loratory.networks.base import Network, inject, modules_by_path, weight_shapes
from loratory.networks.layer import AdapterLayer
from tests.unit.networks.helpers import flux_inputs, stir, unet_inputs
from tests.unit.networks.test_network import flux_model, output, unet_model
from tests.unit.networks.test_network_types import CASES, make_case
from tests.unit.networks.test_network_types import stir as stir_layer

PACKABLE = [(name, variant, base) for name, variant, base in CASES if base in ("linear", "conv 3x3")]


each_kind = pytest.mark.parametrize("form", ["fp8_e4m3", "int8", "nf4", "uint4"])
"""One of each file of `storage`."""


def pack_layer(layer: nn.Module, form: str) -> None:
    """In place."""
    root = nn.ModuleDict({"blocks": nn.ModuleList([nn.ModuleDict({"layer": layer})])})
    assert pack_weights(root, FORMATS[form]) == ["blocks.0.layer"]


def numbers(layer: AdapterLayer, base: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Output and all gradients."""
    given = x.clone().requires_grad_()
    layer.zero_grad()
    found = layer(given, base(given))
    found.square().sum().backward()
    return {"output": found.detach(), "input": given.grad} | {name: p.grad for name, p in layer.named_parameters()}


@each_kind
@pytest.mark.parametrize(("name", "variant", "base"), PACKABLE)
def test_every_type_does_on_a_packed_layer_what_it_does_on_one_with_the_rounded_weight(
    name: str, variant: str, base: str, form: str
) -> None:
    packed, plain = make_case(name, variant, base), make_case(name, variant, base)
    pack_layer(packed.base, form)
    with torch.no_grad():
        assert not torch.equal(plain.base.weight, packed.base.weight)
        plain.base.weight.copy_(packed.base.weight)
    found_layer, wanted_layer = stir_layer(packed.fresh()), stir_layer(plain.fresh())
    assert {parameter.dtype for parameter in found_layer.parameters()} == {torch.float32}
    found = numbers(found_layer, packed.base, packed.x)
    wanted = numbers(wanted_layer, plain.base, plain.x)
    for part, tensor in wanted.items():
        torch.testing.assert_close(found[part], tensor, rtol=1e-4, atol=1e-3, msg=part)
    assert torch.equal(found_layer.delta_weight(), wanted_layer.delta_weight())

    # Merging rounds the sum, and taking it back gives every bit back.
    before, change = packed.base.weight.clone(), found_layer.delta_weight()
    network = Network({"unet.layer": found_layer}, {"unet.layer": packed.base})
    network.merge()
    merged = packed.base.weight.clone()
    assert torch.equal(merged, FORMATS[form].unpack(FORMATS[form].pack(before + change), before.shape, before.dtype))
    assert not torch.equal(merged, before)
    network.unmerge()
    assert torch.equal(packed.base.weight, before)


@each_kind
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("make", [unet_model, flux_model])
def test_a_network_is_the_same_on_packed_weights(make: Any, precision: torch.dtype, form: str) -> None:
    """Its layers, and its numbers as on a model that holds the rounded weights; q, k and v still together."""
    packed, plain = make(), make()
    shapes = weight_shapes(plain)
    for model in (packed, plain):
        model.components.denoiser.to(precision)
    paths = pack_weights(packed.components.denoiser, FORMATS[form])
    assert weight_shapes(packed) == shapes
    with torch.no_grad():
        for path in paths:
            layer = packed.components.denoiser.get_submodule(path)
            plain.components.denoiser.get_submodule(path).weight.copy_(layer.weight)
    results = []
    for model in (packed, plain):
        network = inject(model, LoraConfig(rank=4, conv_rank=2), seed=0)
        stir(network)
        inputs = flux_inputs() if make is flux_model else unet_inputs()
        inputs = {name: each.to(precision) if each.is_floating_point() else each for name, each in inputs.items()}
        result = output(model, inputs)
        result.float().square().mean().backward()
        results.append((result.detach(), network.state(), [parameter.grad for parameter in network.parameters()]))
    (found, state, gradients), (wanted, other_state, other_gradients) = results
    tolerance = 1e-5 if precision == torch.float32 else 0.05
    assert float((found - wanted).float().norm() / wanted.float().norm()) < tolerance
    assert state.keys() == other_state.keys()
    for one, other in zip(gradients, other_gradients, strict=True):
        assert one.dtype == torch.float32
        assert float((one - other).norm() / other.norm().clamp(min=1e-12)) < 4 * tolerance


@each_kind
@pytest.mark.parametrize("small", [0, 10**9])
def test_no_unpacked_weight_is_kept_for_the_backward_pass(
    monkeypatch: pytest.MonkeyPatch, small: int, form: str
) -> None:
    """Neither by the fast path of LoRA nor beside it, or packing would save nothing while training."""
    monkeypatch.setattr(fast, "SMALL", small)
    kept: dict[bool, int] = {}
    for packed in (False, True):
        model = flux_model()
        if packed:
            pack_weights(model.components.denoiser, FORMATS[form])
        network = inject(model, LoraConfig(rank=4), seed=0)
        stir(network)
        modules = modules_by_path(model)
        weights = {modules[path].weight.numel() for path in network.layers}
        sizes: list[int] = []

        def note(tensor: Tensor, sizes: list[int] = sizes) -> Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            output(model, flux_inputs())
        kept[packed] = sum(size in weights for size in sizes)
    assert kept[False] > 0 or small == 0, "the fast path proper keeps no weights at all"
    assert kept[True] == 0


@each_kind
def test_making_an_adapter_unpacks_nothing(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a layer lies and how large it is can be told without its weight."""
    model = flux_model()
    pack_weights(model.components.denoiser, FORMATS[form])
    unpacked: list[str] = []
    monkeypatch.setattr(
        _Packed, "weight", property(lambda self: unpacked.append("once") or self.form.unpack(
            {name: self.get_buffer(name) for name in self.kept}, self.full_shape, self.compute_dtype)))  # fmt: skip
    inject(model, LoraConfig(rank=4), seed=0)
    assert not unpacked
