"""sd-scripts itself reads the files that are written here, as the same training.

fixtures/exported.json holds jobs, the files written for them, and what sd-scripts' own parsers made of these
(fixtures/README.md).
"""

from __future__ import annotations

import functools
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from loratory.training.schedules import rate_factor
from tests.unit.interop.kohya.test_round_trip import ARCHITECTURES, exported, job

FIXTURE = Path(__file__).parent / "fixtures" / "exported.json"
NUMBERS = range(17)
Case = dict[str, Any]


@functools.cache
def case(number: int) -> Case:
    found: Case = json.loads(FIXTURE.read_text(encoding="utf-8"))[number]
    return found


def data(files: dict[str, str], name: str) -> dict[str, Any]:
    return tomllib.loads(files[name])


def test_every_architecture_is_there() -> None:
    assert len(json.loads(FIXTURE.read_text(encoding="utf-8"))) == len(NUMBERS)
    assert sorted({case(number)["architecture"] for number in NUMBERS}) == ARCHITECTURES


@pytest.mark.parametrize("number", NUMBERS)
def test_the_files_are_those_that_were_tried(number: int) -> None:
    """Where this fails because something is written otherwise on purpose, the fixture has to be made anew."""
    known = case(number)
    written = exported(job(known["architecture"], known["job"])).files
    assert written.keys() == known["files"].keys()
    for name in written:
        if name.endswith(".toml"):
            assert data(written, name) == data(known["files"], name)
        else:
            assert written[name] == known["files"][name]


@pytest.mark.parametrize("number", NUMBERS)
def test_arguments_arrive(number: int) -> None:
    """Every argument is one that their parser knows, and has the value that was written."""
    known = case(number)
    written, parsed = data(known["files"], "config.toml"), known["parsed"]["arguments"]
    for name, value in parsed.items():
        if name != "resolution":
            assert written[name] == value, name
    # The rest is what they do anyway.
    unsaid = {name: value for name, value in written.items() if name not in parsed}
    assert set(unsaid) <= {
        "train_batch_size", "gradient_accumulation_steps", "disable_mmap_load_safetensors", "prior_loss_weight",
        "loss_type", "huber_schedule", "huber_c", "huber_scale", "max_grad_norm", "lr_scheduler", "lr_warmup_steps",
        "gradient_checkpointing", "save_model_as", "model_type", "sigmoid_scale", "training_shift", "guidance_scale",
        "timestep_sampling", "discrete_flow_shift", "model_prediction_type", "weighting_scheme", "logit_mean",
        "logit_std", "mode_scale", "vae_batch_size", "lr_scheduler_power", "network_alpha", "max_train_steps",
        "multires_noise_discount",
    }  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS)
def test_pictures_arrive(number: int) -> None:
    """Their datasets are ours: folders, sizes, repeats, and what is done to captions and pictures."""
    known = case(number)
    config = job(known["architecture"], known["job"])
    batching = config.batching
    parsed = known["parsed"]["datasets"]
    subsets = [subset for dataset in parsed for subset in dataset["subsets"]]
    uses = [dataset for dataset in config.datasets for _ in dataset.resolutions or [None]]
    assert sorted(subset["image_dir"] for subset in subsets) == sorted(dataset.path for dataset in uses)
    by_path = {dataset.path: dataset for dataset in config.datasets}
    for dataset in parsed:
        assert dataset["batch_size"] == batching.size
        assert dataset["enable_bucket"] == (batching.buckets.mode != "off")
        assert dataset["bucket_no_upscale"] == (batching.buckets.mode == "no_upscale")
        assert dataset["validation_split"] == config.validation.split
        for subset in dataset["subsets"]:
            ours = by_path[subset["image_dir"]]
            captions = ours.captions
            assert subset["num_repeats"] == ours.num_repeats
            assert subset.get("is_reg", False) == ours.is_regularisation
            assert subset["shuffle_caption"] == captions.shuffle
            assert subset["caption_dropout_rate"] == captions.dropout_rate
            assert subset["caption_tag_dropout_rate"] == captions.tag_dropout_rate
            assert subset["token_warmup_step"] == captions.token_warmup_steps
            assert (subset["caption_suffix"] or "") == captions.suffix
            assert (subset["secondary_separator"] or "") == captions.secondary_separator
            assert (subset["flip_aug"], subset["color_aug"]) == (ours.augmentation.flip, ours.augmentation.colour)
            assert subset.get("conditioning_data_dir") == ours.masks.path
            if ours.trigger_word:
                assert subset["caption_prefix"] == f"{ours.trigger_word},"


@pytest.mark.parametrize("number", NUMBERS)
def test_rates_are_the_same(number: int) -> None:
    """Their schedule gives the factors that ours gives, at every twelfth of 300 steps."""
    known = case(number)
    config = job(known["architecture"], known["job"])
    factors = [rate_factor(config.schedule, step, 300) for step in range(0, 300, 12)]
    theirs = known["parsed"]["rates"]
    if config.schedule.type == "warmup_stable_decay":
        # transformers' begins its warm-up of 20 steps at the floor, which a note says.
        assert theirs[:2] == pytest.approx([0.05, 0.05 + 0.95 * 12 / 20])
        theirs, factors = theirs[2:], factors[2:]
    assert theirs == pytest.approx(factors, abs=2e-3)
