"""The running mean of weights, and limits of their changes, in whole trainings."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from safetensors.torch import load_file

from loratory.networks.metadata import read_lora
from tests.e2e.jobs import Data, losses, sample_pixels, train
from tests.e2e.test_network_types import STEPS, stops_and_goes_on

pytestmark = pytest.mark.slow


def test_files_and_samples_have_the_mean_and_training_goes_on_with_the_weights(
    make_job: Callable[..., Data], at_step: Callable
) -> None:
    sampling = {"prompts": ["a photo --w 32 --h 32 --s 2 --d 3"], "every_n_steps": 4, "before_first_step": False}
    changes = STEPS | {"network": {"rank": 2}, "sampling": sampling, "optimizer.learning_rate": 0.1}
    mean = stops_and_goes_on(make_job, at_step, "sd15", changes | {"ema": {"decay": 0.9}})
    plain = train(make_job("sd15", changes, output="plain"))
    assert losses(mean) == losses(plain), "the mean is only looked at"
    exported, _ = read_lora(mean.final_export_path)
    newest = mean.newest_checkpoint()
    assert newest is not None
    shadow = load_file(newest.path / "ema.safetensors")
    weights = load_file(newest.path / "network.safetensors")
    name = "_layers.unet/mid_block/attentions/0/transformer_blocks/0/attn1/to_q.up"
    found = exported["lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.lora_up.weight"]
    assert torch.equal(found, shadow[name]) and not torch.equal(found, weights[name])
    assert sample_pixels(mean) != sample_pixels(plain)


def test_no_change_is_longer_than_its_limit(make_job: Callable[..., Data], at_step: Callable) -> None:
    changes = STEPS | {"network": {"rank": 2, "max_weight_norm": 0.05}, "optimizer.learning_rate": 0.1}
    run = stops_and_goes_on(make_job, at_step, "sd15", changes)
    tensors, _ = read_lora(run.final_export_path)
    lengths = []
    for key in (key.removesuffix(".alpha") for key in tensors if key.endswith(".alpha")):
        down, up = (tensors[f"{key}.lora_{side}.weight"].flatten(1).double() for side in ("down", "up"))
        lengths.append(float((up @ down).norm()))
    assert max(lengths) <= 0.05 * (1 + 1e-4) and max(lengths) > 0.049, "it binds"
