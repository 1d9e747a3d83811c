"""kohya's files of the true models, for which diffusers' converters are made: every layer, by name and by effect."""

import re

import diffusers
import pytest
import torch
from diffusers import FluxPipeline

from loratory.config.architectures import SPECS
from loratory.config.network import LoraConfig
from loratory.networks.base import targets, weight_shapes
from loratory.networks.formats import export, import_
from tests.unit.networks.helpers import true_model

SPEC = SPECS["flux1"]
RANK, ALPHA = 1, 0.5


def modern(name: str) -> str:
    """diffusers names attention layers as its old processors did: …attn1.processor.to_out_lora.down.weight."""
    name = re.sub(r"\.processor\.(to_[a-z]+)_lora\.", r".\1.lora.", name)
    return name.replace(".to_out.lora.", ".to_out.0.lora.")


@pytest.mark.parametrize(("name", "unet_layers", "text_layers"), [("sd15", 192 + 86, 72), ("sdxl", 722 + 66, 72 + 192)])
def test_diffusers_finds_every_layer_of_a_unet_where_it_belongs(name, unet_layers, text_layers):
    model = true_model(name)
    layers = targets(model, LoraConfig(conv_rank=1, train_text_encoders=True))
    # Each layer carries its own number instead of weights.
    state = {
        path: {
            "down": torch.full((1, 1), float(number)),
            "up": torch.full((1, 1), -float(number)),
            "alpha": torch.ones(()),
        }
        for number, path in enumerate(layers)
    }
    tensors = export(state, model.spec, "kohya", weight_shapes(model))
    pipeline = getattr(diffusers, model.spec.pipeline_class)
    converted, alphas = pipeline.lora_state_dict(tensors, unet_config=model.components.denoiser.config)
    found = {modern(name): tensor for name, tensor in converted.items()}
    unet = {path: parts for path, parts in state.items() if path.startswith("unet.")}
    assert len(unet) == unet_layers and len(state) == len(alphas) == unet_layers + text_layers
    assert len(found) == 2 * len(state)
    for path, parts in unet.items():
        assert torch.equal(found[f"{path}.lora.down.weight"], parts["down"]), path
        assert torch.equal(found[f"{path}.lora.up.weight"], parts["up"]), path


@pytest.fixture(scope="module")
def shapes() -> dict[str, tuple[int, ...]]:
    return weight_shapes(true_model("flux1"))


@pytest.fixture(scope="module")
def state() -> dict[str, dict[str, torch.Tensor]]:
    model = true_model("flux1")
    generator = torch.Generator().manual_seed(0)
    state = {}
    for path, target in targets(model, LoraConfig()).items():
        outputs, inputs = target.layer.shape
        state[path] = {
            "down": torch.randn(RANK, inputs, generator=generator),
            "up": torch.randn(outputs, RANK, generator=generator),
            "alpha": torch.tensor(ALPHA),
        }
    return state


def effect(down: torch.Tensor, up: torch.Tensor, scale: float, probe: torch.Tensor) -> torch.Tensor:
    return scale * (up @ (down @ probe))


def test_diffusers_takes_every_layer_and_makes_the_same_of_it(state, shapes):
    assert len(state) == 494
    tensors = export(state, SPEC, "kohya", shapes)
    assert len(tensors) == 3 * 304
    converted = FluxPipeline.lora_state_dict(dict(tensors))
    assert len(converted) == 988
    assert {key.rsplit(".lora_", 1)[0] for key in converted} == set(state)
    torch.manual_seed(1)
    for path, ours in state.items():
        down, up = converted[f"{path}.lora_A.weight"], converted[f"{path}.lora_B.weight"]
        assert up.shape[0] == shapes[path][0] and down.shape[1] == shapes[path][1]
        probe = torch.randn(shapes[path][1])
        expected = effect(ours["down"], ours["up"], ALPHA / RANK, probe)
        torch.testing.assert_close(effect(down, up, 1.0, probe), expected, rtol=1e-4, atol=1e-3)


def test_the_round_trip_through_the_fused_file_is_bit_equal(state, shapes):
    again = import_(export(state, SPEC, "kohya", shapes), SPEC, shapes)
    assert again.keys() == state.keys()
    for path, ours in state.items():
        assert all(torch.equal(again[path][name], ours[name]) for name in ours), path


def test_a_foreign_file_of_fused_layers_is_read_as_diffusers_reads_it(shapes):
    generator = torch.Generator().manual_seed(2)
    tensors = {}
    for name, rows, columns in (
        ("lora_unet_double_blocks_0_img_attn_qkv", 9216, 3072),
        ("lora_unet_double_blocks_7_txt_attn_qkv", 9216, 3072),
        ("lora_unet_single_blocks_5_linear1", 21504, 3072),
        ("lora_unet_single_blocks_5_linear2", 3072, 15360),
    ):
        tensors[f"{name}.lora_down.weight"] = torch.randn(8, columns, generator=generator)
        tensors[f"{name}.lora_up.weight"] = torch.randn(rows, 8, generator=generator)
        tensors[f"{name}.alpha"] = torch.tensor(4.0)
    state = import_(tensors, SPEC, shapes)
    converted = FluxPipeline.lora_state_dict(dict(tensors))
    assert {key.rsplit(".lora_", 1)[0] for key in converted} == set(state)
    for path, ours in state.items():
        probe = torch.randn(shapes[path][1], generator=generator)
        theirs = effect(converted[f"{path}.lora_A.weight"], converted[f"{path}.lora_B.weight"], 1.0, probe)
        torch.testing.assert_close(effect(ours["down"], ours["up"], 0.5, probe), theirs, rtol=1e-4, atol=1e-3)
