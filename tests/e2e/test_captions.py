"""Runs with every step of captions and every change of pictures, stopped and gone on with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loratory.networks.metadata import read_lora
from tests.e2e.jobs import Data, contents, differences, losses, sample_pixels, train
from tests.e2e.test_network_types import STEPS, stops_and_goes_on
from tests.photos import write_photos

pytestmark = pytest.mark.slow

CAPTIONS = {
    "wildcards": True, "shuffle": True, "keep_tokens_separator": "|||", "secondary_separator": ";;;",
    "prefix": "{a photo|a picture} of", "suffix": "by day", "replacements": {"woman": "lady"}, "random_triggers": ["x"],
    "dropout_rate": 0.2, "dropout_every_n_epochs": 2, "tag_dropout_rate": 0.2, "token_warmup_steps": 3, "variants": 3,
}  # fmt: skip
CHANGES: Data = STEPS | {
    "text": {"max_token_length": 150, "weighted": True},
    "objective.prior_loss_weight": 0.5,
    "sampling": {"prompts": ["a (photo:1.3) --w 32 --h 32 --s 1 --d 3"], "every_n_steps": 2},
}
PICTURES = {"flip": True, "random_crop": True, "colour": True, "zoom": 1.5}


@pytest.fixture
def datasets(photos: Path, tmp_path: Path) -> list[Data]:
    written = [
        "[trigger] ||| orange suit;;;(smiling:1.2), flag\nanother line", "a cat ||| whiskers, up", "a cup", "b", "c",
    ]  # fmt: skip
    others = write_photos(tmp_path / "others", captions=written)
    (others / "0_astronaut.txt").write_text(written[0], encoding="utf-8")
    return [
        {"path": str(others), "trigger_word": "ohwx", "captions": CAPTIONS, "loss_weight": 2.0},
        {"path": str(photos), "is_regularisation": True, "captions": {"shuffle": True}},
    ]


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("architecture", ["sd15", pytest.param("sdxl", marks=pytest.mark.full)])
def test_everything_is_stopped_and_resumed(
    architecture: str, cached: bool, datasets: list[Data], make_job: Callable[..., Data], at_step: Callable
) -> None:
    datasets[0]["augmentation"] = PICTURES | {"variants": 2 if cached else None}
    changes: dict[str, Any] = CHANGES | {"datasets": datasets, "text.clip_skip": 2}
    if not cached:
        changes |= {"caching.latents": "off", "caching.text_embeddings": "off"}
    run = stops_and_goes_on(make_job, at_step, architecture, changes)
    _, metadata = read_lora(run.final_export_path)
    expected = {
        "ss_clip_skip": "2" if architecture == "sd15" else "None", "ss_max_token_length": "150",
        "ss_prior_loss_weight": "0.5", "ss_caption_dropout_rate": "0.2", "ss_caption_dropout_every_n_epochs": "2",
        "ss_caption_tag_dropout_rate": "0.2", "ss_num_reg_images": "5", "ss_color_aug": "True",
    }  # fmt: skip
    assert {key: metadata[key] for key in expected} == expected


@pytest.mark.full
def test_texts_are_trained_the_same_with_and_without_the_cache(
    datasets: list[Data], make_job: Callable[..., Data]
) -> None:
    changes: dict[str, Any] = CHANGES | {"datasets": datasets, "caching.batch_size": 1, "batching.size": 1}
    cached = train(make_job("sd15", changes, output="cached"))
    plain = train(make_job("sd15", changes | {"caching.text_embeddings": "off"}, output="plain"))
    assert losses(cached) == pytest.approx(losses(plain), rel=1e-5)


@pytest.mark.parametrize(
    ("architecture", "settings"),
    [("sd15", {"clip_skip": 2}), ("sd15", {"max_token_length": 225}), ("sd15", {"weighted": True}),
     ("flux1", {"max_tokens": 32})],
)  # fmt: skip
@pytest.mark.full
def test_a_setting_of_texts_changes_training_and_samples(
    architecture: str, settings: Data, datasets: list[Data], make_job: Callable[..., Data]
) -> None:
    """In one home: a cached embedding of other settings must not be taken."""
    changes: dict[str, Any] = {key: value for key, value in CHANGES.items() if key != "text"} | {"datasets": datasets}
    plain = train(make_job(architecture, changes, output="plain"))
    other = train(make_job(architecture, changes | {"text": settings}, output="other"))
    again = train(make_job(architecture, changes, output="again"))
    assert losses(other) != losses(plain)
    assert sample_pixels(other) != sample_pixels(plain)
    assert differences(contents(again), contents(plain)) == []
