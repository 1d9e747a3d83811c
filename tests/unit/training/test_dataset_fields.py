"""Every field of a dataset changes what is trained on: a text, a picture, a weight or the order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from loratory.config.architectures import SPECS
from loratory.config.dataset import DatasetConfig
from loratory.config.fields import declared
from loratory.config.text import TextConfig
from loratory.data.scan import ContentHashes, scan
from loratory.planner import plan
from loratory.training import cache
from loratory.training.batches import Batch, BatchMaker
from loratory.training.prompts import Prompts
from tests.photos import write_photos
from tests.unit.models.test_texts import SETTINGS
from tests.unit.training.helpers import job

CAPTIONS = ["a dog, red, sun ||| grass;;;sky, tree, [trigger]", "a {cat|bird}, blue, night, snow\nanother line"]

# field -> what must be on for it to have an effect, and its other value
FIELDS: dict[str, tuple[dict[str, Any], Any]] = {
    "path": ({}, "others"),
    "num_repeats": ({}, 2),
    "is_regularisation": ({}, True),
    "loss_weight": ({}, 0.5),
    "trigger_word": ({}, "ohwx"),
    "resolutions": ({}, [96]),
    "captions.extensions": ({}, [".caption"]),
    "captions.default": ({"captions.extensions": [".none"]}, "a picture"),
    "captions.wildcards": ({}, True),
    "captions.shuffle": ({}, True),
    "captions.keep_tokens": ({"captions.shuffle": True}, 2),
    "captions.keep_tokens_separator": ({}, "|||"),
    "captions.separator": ({"captions.shuffle": True}, "r"),
    "captions.secondary_separator": ({}, ";;;"),
    "captions.prefix": ({}, "photo of"),
    "captions.suffix": ({}, "outside"),
    "captions.replacements": ({}, {"dog": "wolf"}),
    "captions.random_triggers": ({}, ["x", "y"]),
    "captions.random_triggers_max": ({"captions.random_triggers": ["x", "y"]}, 2),
    "captions.dropout_rate": ({}, 0.5),
    "captions.dropout_every_n_epochs": ({}, 2),
    "captions.tag_dropout_rate": ({}, 0.5),
    "captions.token_warmup_steps": ({}, 0.9),
    "captions.token_warmup_min": ({"captions.token_warmup_steps": 20}, 2),
    "captions.variants": ({"captions.shuffle": True}, 2),
    "augmentation.flip": ({}, True),
    "augmentation.random_crop": ({}, True),
    "augmentation.colour": ({}, True),
    "augmentation.zoom": ({}, 1.5),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fields")
    for name in ("photos", "others"):
        write_photos(root / name, 2, 80 if name == "photos" else 90, CAPTIONS)
        for caption in (root / name).glob("*.txt"):
            caption.with_suffix(".caption").write_text("something else", encoding="utf-8")
    return root


def maker_of(folder: Path, changes: dict[str, Any]) -> BatchMaker:
    dataset: dict[str, Any] = {"path": "photos", "captions": {}, "augmentation": {}}
    for path, value in changes.items():
        section, _, name = path.rpartition(".")
        (dataset[section] if section else dataset)[name] = value
    dataset["path"] = str(folder / dataset["path"])
    config = job(
        datasets=[dataset], caching={"latents": "off"}, objective={"prior_loss_weight": 0.3}, duration={"steps": 24},
        batching={"buckets": {"resolution": 64, "step": 16, "minimum": 32}},
    )  # fmt: skip
    found = scan(Path(config.datasets[0].path), config.datasets[0].captions.extensions)
    planned = plan(config, SPECS["sd15"], [found])
    pictures = cache.Pictures([found], [ContentHashes(folder / "hashes.json", found.root)], None, "vae")
    texts = cache.Texts(config, [found], planned.samples)
    return BatchMaker(config, planned, pictures, texts, lambda random, size: 0.5, 4, 8)


def batches_of(folder: Path, changes: dict[str, Any]) -> list[Batch]:
    maker = maker_of(folder, changes)
    assert isinstance(maker.texts, cache.Texts)
    batches = list(maker.batches(0, 24))
    assert set(maker.texts.all()) >= {text for batch in batches for text in batch.texts}, "a cache would lack it"
    return batches


def shape_of(batches: list[Batch]) -> str:
    """All that training sees of pictures and texts."""
    parts = [
        (b.texts, b.sizes.tolist(), b.loss_weights.tolist(), b.pixels.sum().item(), b.pixels.flatten()[::97].tolist())
        for b in batches
    ]
    return json.dumps(parts)


def test_every_field_is_in_the_table() -> None:
    assert {path for path, _, _ in declared(DatasetConfig)} == set(FIELDS)
    assert {name for settings in SETTINGS for name in settings} == set(TextConfig.model_fields), "tests.unit.models"


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_changes_what_is_trained_on(field: str, folder: Path) -> None:
    before, value = FIELDS[field]
    plain, changed = batches_of(folder, before), batches_of(folder, before | {field: value})
    assert shape_of(changed) != shape_of(plain)
    assert shape_of(batches_of(folder, before | {field: value})) == shape_of(changed), "the same every time"


def test_weights_of_the_loss_are_multiplied(folder: Path) -> None:
    for changes, weight in (
        ({}, 1.0), ({"loss_weight": 0.5}, 0.5), ({"is_regularisation": True}, 0.3),
        ({"loss_weight": 0.5, "is_regularisation": True}, 0.15),
    ):  # fmt: skip
        for batch in batches_of(folder, changes):
            assert batch.loss_weights.dtype == torch.float32
            assert batch.loss_weights.tolist() == pytest.approx([weight] * len(batch.names))


EVERYTHING = {
    "trigger_word": "ohwx", "captions.wildcards": True, "captions.shuffle": True, "captions.tag_dropout_rate": 0.2,
    "captions.keep_tokens_separator": "|||", "captions.secondary_separator": ";;;", "captions.dropout_rate": 0.2,
    "captions.dropout_every_n_epochs": 3, "captions.token_warmup_steps": 15, "captions.random_triggers": ["x", "y"],
    "captions.random_triggers_max": 2, "captions.replacements": {"dog": "wolf"}, "augmentation.flip": True,
    "augmentation.random_crop": True, "augmentation.colour": True, "augmentation.zoom": 1.5,
}  # fmt: skip


def test_everything_at_once_depends_on_the_place_alone(folder: Path) -> None:
    """A step's batch is the same whatever was made before it, and whatever stands beside it."""
    whole = batches_of(folder, EVERYTHING)
    assert shape_of(batches_of(folder, EVERYTHING)) == shape_of(whole)
    resumed = list(maker_of(folder, EVERYTHING).batches(9, 24))
    assert shape_of(resumed) == shape_of([batch for batch in whole if batch.step >= 9])
    different = {text for batch in whole for text in batch.texts}
    assert len(different) >= 12
    assert "" in different
    assert not any("|||" in text or ";;;" in text or "[trigger]" in text for text in different)


def test_prompts_of_samples_name_the_trigger_word() -> None:
    datasets = [{"path": "a", "is_regularisation": True}, {"path": "b", "trigger_word": "ohwx"}]
    config = job(datasets=datasets, sampling={"prompts": ["a [trigger] dog --n no [name]", "a dog"]})
    found = Prompts(config, SPECS["sd15"]).current
    assert [(prompt.text, prompt.negative) for prompt in found] == [("a ohwx dog", "no ohwx"), ("a dog", "")]
    plain = Prompts(job(sampling={"prompts": ["a [trigger] dog"]}), SPECS["sd15"]).current
    assert [prompt.text for prompt in plain] == ["a [trigger] dog"]
