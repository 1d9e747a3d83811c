"""Adapters whose weights have 16 bits: every type, in every number format of the base. Types join by themselves."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from loratory.networks import fast
from loratory.networks.base import Network
from loratory.networks.types.lora import LoraLayer
from loratory.networks.weight_norms import limit_lengths
from tests.unit.networks.test_network_types import CASES, Case, make_case

HALVES = {"bf16": (torch.bfloat16, 0.05), "fp16": (torch.float16, 0.01)}
"""And how far results may be off."""
DROPOUTS = {"dropout": 0.2, "rank_dropout": 0.2, "module_dropout": 0.2}
half = pytest.mark.parametrize("precision", HALVES)


@pytest.fixture(params=CASES, ids=lambda each: " ".join(part for part in each if part))
def case(request: pytest.FixtureRequest) -> Case:
    return make_case(*request.param)


@half
@pytest.mark.parametrize("base", [torch.float32, torch.bfloat16], ids=["base fp32", "base bf16"])
def test_it_does_what_the_same_numbers_do_in_fp32(case: Case, precision: str, base: torch.dtype) -> None:
    """Output, change of the weight and gradients; what is trained and its gradients have the 16 bits."""
    dtype, tolerance = HALVES[precision]
    tolerance = max(tolerance, 0.05 if base == torch.bfloat16 else 0)
    small = case.stirred().to(dtype)
    wide = copy.deepcopy(small).float()
    case.base.to(base)
    outputs = []
    for layer in (small, wide):
        output = layer(case.x.to(base), case.base(case.x.to(base)))
        assert output.dtype == base
        output.float().square().mean().backward()
        outputs.append(output.detach().float())
    torch.testing.assert_close(outputs[0], outputs[1], rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(small.delta_weight(), wide.delta_weight(), rtol=tolerance, atol=tolerance)
    assert small.delta_weight().dtype == torch.float32
    for (name, mine), other in zip(small.named_parameters(), wide.parameters(), strict=True):
        if other.grad is None:
            assert mine.grad is None, name
            continue
        assert mine.dtype == mine.grad.dtype == dtype
        size = float(other.grad.abs().max())
        torch.testing.assert_close(mine.grad.float(), other.grad, rtol=0.1, atol=0.1 * size + 1e-6, msg=name)


@half
def test_it_is_trained_with_dropouts(case: Case, precision: str) -> None:
    dropouts = {} if case.target.type == "norm" else DROPOUTS
    layer = case.stirred(**dropouts).to(HALVES[precision][0]).train()
    for seed in range(3):
        layer.set_dropout_seed(seed)
        layer.zero_grad()
        case.output(layer).square().mean().backward()
    assert all(each.grad is None or bool(each.grad.isfinite().all()) for each in layer.parameters())


@half
def test_what_is_stored_comes_back(case: Case, precision: str) -> None:
    """In files and checkpoints numbers are fp32 at least: nothing is rounded on the way out or in."""
    layer = case.stirred().to(HALVES[precision][0])
    again = case.fresh().to(HALVES[precision][0])
    again.load_tensors({name: tensor.float() for name, tensor in layer.tensors().items()})
    for mine, other in zip(again.parameters(), layer.parameters(), strict=True):
        assert mine.dtype == other.dtype
        assert torch.equal(mine, other)


@half
@pytest.mark.parametrize("small", [0, 10**9], ids=["function", "operations"])
@pytest.mark.parametrize("base_type", [torch.float32, torch.bfloat16], ids=["base fp32", "base bf16"])
def test_the_fast_path_of_lora(
    precision: str, small: int, base_type: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast, "SMALL", small)
    torch.manual_seed(0)
    names = ["unet.q", "unet.k"]
    bases = {name: nn.Linear(12, 8).requires_grad_(False).to(base_type) for name in names}
    layers = {name: LoraLayer(base, 2, 2.0) for name, base in bases.items()}
    for layer in layers.values():
        for parameter in layer.parameters():
            nn.init.normal_(parameter, std=0.3)
    network = Network(layers, bases, [names]).to(HALVES[precision][0])
    x = torch.randn(2, 5, 12, dtype=base_type)
    plain = [layers[name](x, bases[name](x)) for name in names]
    sum(each.float().square().sum() for each in plain).backward()
    wanted = {name: parameter.grad for name, parameter in network.named_parameters()}
    network.zero_grad()
    network.attach()
    found = [bases[name](x) for name in names]
    sum(each.float().square().sum() for each in found).backward()
    for one, other in zip(found, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.05)
    for name, parameter in network.named_parameters():
        assert parameter.grad.dtype == HALVES[precision][0]
        torch.testing.assert_close(parameter.grad, wanted[name], rtol=0.1, atol=0.3)


@half
def test_a_limit_of_lengths_holds_within_its_rounding(precision: str) -> None:
    """Also where each step is too small to be seen: the length does not creep away."""
    torch.manual_seed(0)
    base = nn.Linear(12, 8)
    layer = LoraLayer(base, 2, 2.0)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    network = Network({"unet.layer": layer}, {"unet.layer": base}).to(HALVES[precision][0])
    for _ in range(50):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(1.01)
        limit_lengths(network, 1.0)
        assert float(layer.delta_weight().norm()) < 1.01
    assert float(layer.delta_weight().norm()) > 0.97
