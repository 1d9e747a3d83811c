"""Rates of blocks: which layers an entry names, and which groups an optimizer gets of it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from loratory.config.architectures import SPECS
from loratory.config.load import parse
from loratory.config.modules import layers
from loratory.config.network_preview import check_blocks, preview
from loratory.config.optimizers.adaptive import OneRateSettings
from loratory.config.targets import blocks_of, rate_factors, select
from loratory.errors import UserError
from loratory.training.optimizers import make_optimizer, measures, set_rates
from tests.unit.training.helpers import job
from tests.unit.training.optimizer_cases import KINDS, SETTINGS

EVERYTHING = {"train_text_encoders": True, "conv_rank": 2}


def factors(architecture: str, table: dict[str, float], **network: object) -> dict[str, float]:
    spec, found = SPECS[architecture], layers(architecture)
    config = job(network=network).network
    return rate_factors(spec, found, [target.layer.path for target in select(spec, found, config)], table)


@pytest.mark.parametrize(
    ("architecture", "table", "places"),
    [
        # Where the blocks of kohya's names lie in diffusers' UNet of SD 1.5: three in each level, the first is conv_in.
        ("sd15", {"input_blocks.1": 0.5, "middle_block": 2.0, "output_blocks.9-11": 0.25},
         {"unet.down_blocks.0.attentions.0.": 0.5, "unet.mid_block.": 2.0, "unet.up_blocks.3.": 0.25}),
        ("flux1", {"single_blocks": 0.1, "double_blocks.3, double_blocks.5-6": 3.0},
         {"transformer.single_transformer_blocks.": 0.1, "transformer.transformer_blocks.3.": 3.0,
          "transformer.transformer_blocks.5.": 3.0, "transformer.transformer_blocks.6.": 3.0}),
    ],
)  # fmt: skip
def test_an_entry_names_the_layers_of_its_blocks(
    architecture: str, table: dict[str, float], places: dict[str, float]
) -> None:
    found = factors(architecture, table, train_text_encoders=True)
    spec = SPECS[architecture]
    paths = [target.layer.path for target in select(spec, layers(architecture), job(
        network={"train_text_encoders": True}).network)]  # fmt: skip
    expected = {path: value for path in paths for place, value in places.items() if path.startswith(place)}
    assert found == expected
    assert 0 < len(found) < len(paths)


def test_the_first_entry_that_fits_counts() -> None:
    found = factors("sdxl", {"input_blocks.4": 0.5, "input_blocks": 2.0})
    blocks = blocks_of(SPECS["sdxl"], layers("sdxl"))
    assert {blocks[path] for path in found} >= {"input_blocks.4", "input_blocks.5"}
    assert all(value == (0.5 if blocks[path] == "input_blocks.4" else 2.0) for path, value in found.items())


@pytest.mark.parametrize(
    ("table", "network", "said"),
    [
        ({"input_block.1": 2.0}, {}, "this model has no input_block.1; did you mean input_blocks.? It has "),
        ({"input_blocks.12": 2.0}, {}, "this model has no input_blocks.12; it has input_blocks.0-11"),
        ({"double_blocks.1": 2.0}, {}, "this model has no double_blocks.1; it has input_blocks.0-11"),
        ({"input_blocks.1": 2.0}, {"targets": {"blocks": "middle_block"}},
         "nothing of input_blocks.1 is trained; of the denoiser's blocks those are: middle_block"),
        ({"middle_block": 2.0}, {"train_denoiser": False, "train_text_encoders": True},
         "nothing of middle_block is trained; of the denoiser's blocks those are: none is"),
    ],
)  # fmt: skip
def test_what_names_nothing_is_an_error_before_anything_is_loaded(
    table: dict[str, float], network: dict[str, object], said: str
) -> None:
    config = parse({"name": "a", "model": {"path": "demo"}, "datasets": [{"path": "x"}], "network": network,
                    "optimizer": {"block_rate_factors": table}}, "test")  # fmt: skip
    spec, found = SPECS["sd15"], layers("sd15")
    with pytest.raises(UserError, match=f"optimizer.block_rate_factors: {said}"):
        check_blocks(config, spec, found, preview(spec, found, config.network))


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if not issubclass(kind, OneRateSettings)])
def test_every_optimizer_that_takes_groups_multiplies_rates(name: str) -> None:
    """With LoRA+ and rates of text encoders; what has one rate is one group, so that metrics stay few."""
    rates = {"text_encoder_learning_rate": 0.5, "lora_plus_ratio": 4.0}
    config = job(optimizer={"type": name, **SETTINGS[name], **rates, "learning_rate": 0.25}).optimizer
    unet = [nn.Parameter(torch.ones(6, 6)) for _ in range(8)]
    text = [nn.Parameter(torch.ones(6, 6)) for _ in range(2)]
    numbers = {unet[0]: 2.0, unet[1]: 2.0, unet[4]: 0.5, unet[5]: 0.5, unet[6]: 2.0, unet[7]: 2.0}
    optimizer = make_optimizer(
        config, {"unet": unet, "text_encoder": text}, ("text_encoder",), [*unet[1::2], text[1]], numbers
    )
    set_rates(optimizer, 0.5)
    found = {group["name"]: (group["lr"], [id(each) for each in group["params"]]) for group in optimizer.param_groups}
    assert found == {
        "unet": (0.125, [id(unet[2])]),
        "unet_up": (0.5, [id(unet[3])]),
        "unet_x0.5": (0.0625, [id(unet[4])]),
        "unet_up_x0.5": (0.25, [id(unet[5])]),
        "unet_x2.0": (0.25, [id(unet[0]), id(unet[6])]),
        "unet_up_x2.0": (1.0, [id(unet[1]), id(unet[7])]),
        "text_encoder": (0.25, [id(text[0])]),
        "text_encoder_up": (1.0, [id(text[1])]),
    }
    if name not in ("adafactor", "prodigy_plus_schedule_free", "automagic"):
        assert measures(optimizer)["lr/unet_up_x2.0"] == 1.0


def test_a_step_of_plain_descent_is_the_rate_times_the_gradient() -> None:
    config = job(optimizer={"type": "sgd", "momentum": 0.0, "learning_rate": 0.5}).optimizer
    weights = [nn.Parameter(torch.zeros(2)) for _ in range(2)]
    optimizer = make_optimizer(config, {"unet": weights}, (), (), {weights[1]: 0.25})
    for weight in weights:
        weight.grad = torch.full((2,), -1.0)
    optimizer.step()
    assert [float(weight.detach()[0]) for weight in weights] == [0.5, 0.125]
