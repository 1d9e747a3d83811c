"""Every field of a dataset changes what is trained on: a text, a picture, a weight or the order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from loratory.config.architectures import SPECS
from loratory.config.dataset import DatasetConfig
from loratory.config.fields import declared
from loratory.config.text import TextConfig
from loratory.data.scan import ContentHashes, scan
from loratory.planner import plan
from loratory.training import cache
from loratory.training.batches import Batch, BatchMaker
from loratory.training.masks import LatentMasks, find_masks
from loratory.training.pipeline import make_pipelines
from loratory.training.prompts import Prompts
from tests.e2e.jobs import quiet
from tests.photos import write_photos
from tests.unit.models.test_texts import SETTINGS
from tests.unit.training.helpers import job

CAPTIONS = ["a dog, red, sun ||| grass;;;sky, tree, [trigger]", "a {cat|bird}, blue, night, snow\nanother line"]

# With all further texts that the model can be asked about.
OBJECTIVE = {
    "prior_loss_weight": 0.3, "diff_output_preservation": 1.0, "diff_output_preservation_class": "thing",
    "blank_prompt_preservation": 1.0, "guidance_loss_target": 3.0, "unconditional_prompt": "worse",
}  # fmt: skip

# field -> what must be on for it to have an effect, and its other value
FIELDS: dict[str, tuple[dict[str, Any], Any]] = {
    "path": ({}, "others"),
    "num_repeats": ({}, 2),
    "is_regularisation": ({}, True),
    "loss_weight": ({}, 0.5),
    "diff_output_preservation": ({}, True),
    "trigger_word": ({}, "ohwx"),
    "resolutions": ({}, [96]),
    "captions.extensions": ({}, [".caption"]),
    "captions.metadata_file": ({}, "captions.json"),
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
    "augmentation.pipeline[].name": (
        {"augmentation.pipeline": [{"name": "HorizontalFlip"}]},
        [{"name": "VerticalFlip"}],
    ),
    "augmentation.pipeline[].arguments": (
        {"augmentation.pipeline": [{"name": "HorizontalFlip"}]},
        [{"name": "HorizontalFlip", "arguments": {"p": 1.0}}],
    ),
    "augmentation.variants": ({"augmentation.zoom": 1.5}, None),
    "masks.path": ({}, "masks"),
    "masks.names": ({"masks.path": "masks"}, "[name]-other"),
    "masks.alpha": ({}, True),
    "masks.invert": ({"masks.path": "masks"}, True),
    "masks.minimum": ({"masks.path": "masks"}, 0.5),
}

# Which pictures come together is seen only with several datasets.
ELSEWHERE = {"batch_group": "tests/unit/planner/test_steps.py"}


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORATORY_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fields")
    for name in ("photos", "others"):
        write_photos(root / name, 2, 80 if name == "photos" else 90, CAPTIONS)
        for caption in (root / name).glob("*.txt"):
            caption.with_suffix(".caption").write_text("something else", encoding="utf-8")
    for number, path in enumerate(sorted((root / "photos").glob("*.png"))):
        picture = Image.open(path).convert("RGBA")
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
        picture.save(path)
        for name in (path.name, f"{path.stem}-other.png"):
            (root / "masks").mkdir(exist_ok=True)
            Image.radial_gradient("L").resize(picture.size).rotate(90 * number).save(root / "masks" / name)
            number += 1
    (root / "captions.json").write_text(
        json.dumps({path.stem: {"caption": "from a table"} for path in (root / "photos").glob("*.png")})
    )
    return root


def maker_of(folder: Path, changes: dict[str, Any]) -> BatchMaker:
    dataset: dict[str, Any] = {"path": "photos", "captions": {}, "augmentation": {}, "masks": {}}
    for path, value in changes.items():
        section, _, name = path.partition("[]")[0].rpartition(".")
        (dataset[section] if section else dataset)[name] = value
    dataset["path"] = str(folder / dataset["path"])
    if "metadata_file" in dataset["captions"]:
        dataset["captions"]["metadata_file"] = str(folder / dataset["captions"]["metadata_file"])
    if "path" in dataset["masks"]:
        dataset["masks"]["path"] = str(folder / dataset["masks"]["path"])
    config = job(
        datasets=[dataset], caching={"latents": "off"}, objective=OBJECTIVE, duration={"steps": 24},
        batching={"buckets": {"resolution": 64, "step": 16, "minimum": 32}},
    )  # fmt: skip
    found = scan(Path(config.datasets[0].path), config.datasets[0].captions.extensions)
    planned = plan(config, SPECS["sd15"], [found])
    hashes = [ContentHashes(folder / "hashes.json", found.root)]
    _, masks = find_masks(config, [found], hashes, quiet())
    opaque = [0] if config.datasets[0].masks.alpha else []
    pictures = cache.Pictures([found], hashes, None, "vae", opaque, make_pipelines(config, planned))
    texts = cache.Texts(config, [found], planned.samples)
    source = LatentMasks(config, masks, pictures, None, 8) if any(masks) else None
    return BatchMaker(config, planned, pictures, texts, lambda random, size: 0.5, 4, 8, source)


def batches_of(folder: Path, changes: dict[str, Any]) -> list[Batch]:
    maker = maker_of(folder, changes)
    assert isinstance(maker.texts, cache.Texts)
    batches = list(maker.batches(0, 24))
    used = {text for batch in batches for text in batch.texts}
    used |= {text for batch in batches for words in batch.others.values() for text in words.texts}
    assert set(maker.texts.all()) >= used, "a cache would lack it"
    return batches


def shape_of(batches: list[Batch]) -> str:
    """All that training sees of pictures, texts and masks."""
    parts = [
        (
            b.texts,
            b.sizes.tolist(),
            b.loss_weights.tolist(),
            b.from_bare_model,
            b.pixels.sum().item(),
            b.pixels.flatten()[::97].tolist(),
            None if b.masks is None else b.masks.tolist(),
        )
        for b in batches
    ]
    return json.dumps(parts)


def test_every_field_is_in_the_table() -> None:
    assert {path for path, _, _ in declared(DatasetConfig)} == {*FIELDS, *ELSEWHERE}
    elsewhere = {name for settings in SETTINGS for name in settings} | {"max_tokens"}
    assert elsewhere == set(TextConfig.model_fields), "test_texts.py and test_text_length.py in tests/unit/models"


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
    "augmentation.pipeline": [{"name": "Rotate", "arguments": {"limit": 30}}, {"name": "GaussNoise"}],
    "masks.path": "masks", "masks.minimum": 0.1,
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
