"""Limits of a change's length, against the full product in float64."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from loratory.networks.base import Network
from loratory.networks.types.lora import LoraLayer
from loratory.networks.weight_norms import change_length, limit_lengths
from tests.unit.networks.test_network_types import make_case


@pytest.mark.parametrize(("name", "variant"), [("lora", ""), ("lora", "tucker"), ("lora", "rs"), ("lora", "pissa"),
                                               ("dylora", "")])  # fmt: skip
@pytest.mark.parametrize("base", ["linear", "conv 3x3"])
def test_the_length_is_that_of_the_product(name: str, variant: str, base: str) -> None:
    layer = make_case(name, variant, base).stirred()
    wanted = layer.delta_weight().double().norm()
    assert float(change_length(layer)) == pytest.approx(float(wanted), rel=1e-4)


def test_only_what_is_too_long_is_shortened() -> None:
    """kohya's formula: n = max(‖ΔW‖, m/2), ratio = min(n, m)/n, both matrices × √ratio."""
    torch.manual_seed(0)
    bases = {f"unet.{name}": nn.Linear(12, 8) for name in ("long", "short")}
    layers = {path: LoraLayer(base, 2, 1.0) for path, base in bases.items()}
    for path, layer in layers.items():
        nn.init.normal_(layer.down, std=1.0 if path.endswith("long") else 0.1)
        nn.init.normal_(layer.up, std=1.0 if path.endswith("long") else 0.1)
    before = {path: (layer.down.clone(), layer.up.clone(), layer.delta_weight()) for path, layer in layers.items()}
    limit_lengths(Network(layers, bases), 1.5)
    for path, layer in layers.items():
        down, up, delta = before[path]
        length = float(delta.norm())
        ratio = min(max(length, 0.75), 1.5) / max(length, 0.75)
        torch.testing.assert_close(layer.down, down * ratio**0.5)
        torch.testing.assert_close(layer.up, up * ratio**0.5)
        assert float(layer.delta_weight().norm()) <= 1.5 * (1 + 1e-5)
    assert torch.equal(layers["unet.short"].down, before["unet.short"][0])
    assert not torch.equal(layers["unet.long"].down, before["unet.long"][0])
