"""Matrices that layers share, and parameters that LoRA+ moves further."""

from __future__ import annotations

import pytest
import torch

from loratory.config.network import DyloraConfig, LohaConfig, TargetsConfig
from loratory.config.network_preview import preview
from loratory.errors import UserError
from loratory.networks.base import inject, layers_of, weight_shapes
from loratory.networks.formats import export, import_
from tests.unit.networks.helpers import stir
from tests.unit.networks.test_network import CONFIG, flux_model, unet_model


def test_the_parameters_that_lora_plus_moves_further() -> None:
    """Those that begin at zero, also inside DoRA; and none of types that have no such matrices."""
    for config in (CONFIG, CONFIG.model_copy(update={"decompose": True}), DyloraConfig(rank=4)):
        network = inject(unet_model(), config, seed=0)
        faster = network.faster_parameters()
        assert len(faster) == len(network.layers)
        assert all(not bool(parameter.any()) for parameter in faster)
    assert inject(unet_model(), LohaConfig(), seed=0).faster_parameters() == []


def test_shared_down_matrices() -> None:
    """q, k and v have one, as the original model's one layer has; the file is then as large as kohya's."""
    config = CONFIG.model_copy(update={"shared_down": True})
    model = flux_model()
    network = inject(model, config, seed=0)
    layers = network.layers
    block = "transformer.transformer_blocks.0.attn"
    together = [f"{block}.to_q", f"{block}.to_k", f"{block}.to_v"]
    assert len({id(layers[path].down) for path in together}) == 1
    assert layers[f"{block}.add_q_proj"].down is not layers[f"{block}.to_q"].down
    parameters = network.parameters_by_component()["transformer"]
    assert len(parameters) == len({id(parameter) for parameter in parameters}) < 2 * len(layers)
    planned = preview(model.spec, layers_of(model), config)
    assert planned.parameters == sum(parameter.numel() for parameter in parameters)

    stir(network)
    tensors = export(network.state(), model.spec, "kohya", weight_shapes(model))
    assert tensors["lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight"].shape[0] == config.rank
    network.detach()
    again = inject(model, config, seed=1)
    again.load_state(import_(tensors, model.spec, weight_shapes(model)))
    assert all(torch.equal(again.state()[path][name], tensor) for path, layer in network.state().items()
               for name, tensor in layer.items())  # fmt: skip


def test_a_file_with_a_matrix_for_each_does_not_fit_shared_ones() -> None:
    model = flux_model()
    apart = inject(model, CONFIG, seed=0)
    state = apart.state()
    apart.detach()
    network = inject(model, CONFIG.model_copy(update={"shared_down": True}), seed=1)
    before = network.state()
    with pytest.raises(UserError, match=r"switch network\.shared_down off"):
        network.load_state(state, "old.safetensors")
    assert all(torch.equal(before[path][name], tensor) for path, layer in network.state().items()
               for name, tensor in layer.items())  # fmt: skip


def test_shared_matrices_need_one_rank() -> None:
    targets = TargetsConfig(layer_ranks={"attn.to_q": 2})
    with pytest.raises(UserError, match="need one rank"):
        inject(flux_model(), CONFIG.model_copy(update={"shared_down": True, "targets": targets}), seed=0)
