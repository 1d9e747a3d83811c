"""Pictures and captions are encoded once, into what encoding them in every step would have given."""

from __future__ import annotations

import dataclasses
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from loratory.config.architectures import SPECS
from loratory.config.train import TrainConfig
from loratory.data.scan import ContentHashes, Scan, scan
from loratory.errors import UserError
from loratory.planner import Plan, plan
from loratory.training import cache
from loratory.training.batches import BatchMaker, Moment
from loratory.training.randomness import stream
from loratory.training.tensor_cache import TensorCache
from loratory.training.views import View
from tests.unit.training.helpers import Latents, job

SIDE = 64


class StandIn:
    """An architecture whose latents are means over 8x8 pixels and whose embeddings are the text's characters."""

    spec = SPECS["sd15"]

    def __init__(self, *, scale: float = 0.5, shift: float | None = None, length: int | None = None) -> None:
        torch.manual_seed(1)
        vae, words = nn.Linear(2, 2), {"a": 0, "b": 1}
        vae.config = SimpleNamespace(scaling_factor=scale, shift_factor=shift)  # type: ignore[assignment]
        tokenizer = SimpleNamespace(get_vocab=lambda: words, model_max_length=77)
        self.components = SimpleNamespace(
            vae=vae, text_encoders={"text_encoder": nn.Linear(3, 3)}, tokenizers={"tokenizer": tokenizer}
        )
        self.words = words
        if length is not None:
            self.text_length = length
        self.pictures: list[int] = []
        """How many were encoded together, call by call."""
        self.texts: list[str] = []
        self.spoil: tuple[int, float] | None = None
        """(0: mean, 1: deviation) and the number that it shall hold."""

    def encode_images(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        assert pixels.dtype == torch.float32
        assert pixels.min() >= -1
        assert pixels.max() <= 1
        self.pictures.append(len(pixels))
        mean = nn.functional.avg_pool2d(pixels, 8)
        result = (mean, torch.full_like(mean, 0.25))
        if self.spoil is not None:
            result[self.spoil[0]][-1, 0, 0, 0] = self.spoil[1]
        return result

    def encode_prompts(self, texts: Sequence[str]) -> list[dict[str, Tensor]]:
        assert texts
        self.texts += texts
        return [{"hidden_states": torch.tensor([ord(sign) for sign in text], dtype=torch.int64)} for text in texts]


def picture(path: Path, seed: int, size: tuple[int, int] = (SIDE, SIDE)) -> np.ndarray:
    """A picture of noise; PNG, so that its pixels can be known."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def damage(path: Path) -> None:
    """Spoil the middle of a PNG: its header and its end stay whole, so that only decoding it shows it."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    path.write_bytes(data)


@dataclasses.dataclass
class Bench:
    """A dataset and everything that encodes it."""

    root: Path
    config: TrainConfig
    architecture: StandIn = dataclasses.field(default_factory=StandIn)

    def __post_init__(self) -> None:
        self.scans: list[Scan] = [scan(Path(each.path)) for each in self.config.datasets]
        places = enumerate(self.scans)
        self.hashes = [ContentHashes(self.root / f"hashes{number}.json", each.root) for number, each in places]
        self.plan: Plan = plan(self.config, StandIn.spec, self.scans)

    def pictures(self, store: TensorCache | None) -> cache.Pictures:
        return cache.Pictures(self.scans, self.hashes, store, cache.vae_fingerprint(self.architecture))

    def encode(self, store: TensorCache, batch_size: int = 3) -> tuple[cache.Pictures, list[cache.Broken], list[Any]]:
        pictures, progress = self.pictures(store), []
        wanted = cache.missing_latents(pictures, store, self.plan.samples, self.config)
        broken = cache.encode_pictures(
            pictures, store, wanted, self.architecture, batch_size, lambda *seen: progress.append(seen)
        )
        return pictures, broken, progress


def bench(tmp_path: Path, folders: Sequence[str] = ("photos",), **changes: Any) -> Bench:
    options = {key: changes.pop(key) for key in ("augmentation", "captions", "trigger_word") if key in changes}
    datasets = [{"path": str(tmp_path / folder), **options} for folder in folders]
    buckets = {"resolution": SIDE, "step": 16, "minimum": 32}
    return Bench(tmp_path, job(datasets=datasets, batching={"buckets": buckets}, **changes))


def latents_of(pixels: np.ndarray) -> np.ndarray:
    """What the stand-in's latents must be: (3, 8, 8)."""
    return (pixels / 127.5 - 1).reshape(SIDE // 8, 8, SIDE // 8, 8, 3).mean((1, 3)).transpose(2, 0, 1)


# Pictures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flip", [False, True])
def test_every_picture_is_encoded_once_and_mirrored_only_where_asked(tmp_path: Path, flip: bool) -> None:
    pixels = {f"{number}.png": picture(tmp_path / f"photos/{number}.png", number) for number in range(5)}
    here = bench(tmp_path, augmentation={"flip": flip})
    store = TensorCache(tmp_path / "cache")
    pictures, broken, progress = here.encode(store)
    assert broken == []
    total = 10 if flip else 5
    assert sum(here.architecture.pictures) == total
    assert progress[-1] == (total, total)
    assert [done for done, _ in progress] == sorted(done for done, _ in progress)
    for sample in here.plan.samples:
        expected = latents_of(pixels[sample.item.path])
        plain, mirrored = View(sample.fit), View(sample.fit, flip=True)
        mean, deviation = pictures.latents(sample, plain)
        np.testing.assert_allclose(mean.numpy(), expected, atol=1e-6)
        assert torch.equal(deviation, torch.full((3, 8, 8), 0.25))
        assert (pictures.key(sample, mirrored) in store) == flip
        if flip:
            np.testing.assert_allclose(pictures.latents(sample, mirrored)[0].numpy(), expected[..., ::-1], atol=1e-6)


def test_one_encoding_holds_pictures_of_one_size_only(tmp_path: Path) -> None:
    for number in range(7):
        picture(tmp_path / f"photos/{number}.png", number, (SIDE, SIDE) if number % 2 else (96, 48))
    here = bench(tmp_path)
    _, broken, progress = here.encode(TensorCache(None), batch_size=2)
    assert broken == []
    assert sorted(here.architecture.pictures) == [1, 2, 2, 2], "four of one size, three of the other"
    assert progress == list(zip(np.cumsum(here.architecture.pictures).tolist(), [7] * len(progress), strict=True))


@pytest.mark.parametrize("on_disk", [False, True])
def test_only_what_is_new_is_encoded_again(tmp_path: Path, on_disk: bool) -> None:
    for number in range(4):
        picture(tmp_path / f"photos/{number}.png", number)
    memory = TensorCache(None)

    def encoded(**changes: Any) -> int:
        here = bench(tmp_path, **changes)
        here.encode(TensorCache(tmp_path / "cache") if on_disk else memory)
        return sum(here.architecture.pictures)

    assert encoded() == 4
    assert encoded() == 0
    assert encoded(seed=7, memory={"precision": "fp32"}) == 0, "nothing that a latent depends on has changed"
    picture(tmp_path / "photos/2.png", 99)
    assert encoded() == 1
    picture(tmp_path / "photos/new.png", 5)
    assert encoded() == 1
    shutil.copy(tmp_path / "photos/new.png", tmp_path / "photos/copy.png")
    (tmp_path / "photos/0.png").rename(tmp_path / "photos/moved.png")
    assert encoded() == 0, "the content counts, not the name"
    assert encoded(augmentation={"flip": True}) == 5, "of six pictures two are the same"
    picture(tmp_path / "photos/2.png", 2)
    assert encoded() == 0, "going back to what was finds it again"


def test_keys_change_with_every_ingredient(tmp_path: Path) -> None:
    picture(tmp_path / "photos/0.png", 0)
    picture(tmp_path / "photos/1.png", 1)
    here = bench(tmp_path)
    pictures = here.pictures(None)
    first, second = here.plan.samples
    fit = first.fit
    changes: list[dict[str, Any]] = [{}, {"bucket": (48, 64)}, {"scaled": (64, 65)}, {"crop": (1, 0)}]
    fits = [dataclasses.replace(fit, **change) for change in changes]
    colours: list[Any] = [None, ("hue", 3.0), ("gamma", 3.0)]
    views = [View(fit, flip, colour) for fit in fits for flip in (False, True) for colour in colours]
    keys = [pictures.key(sample, view) for sample in (first, second) for view in views]
    keys.append(cache.Pictures(here.scans, here.hashes, None, "another autoencoder").key(first, views[0]))
    keys.append(cache.Pictures(here.scans, here.hashes, None, "vae", opaque=[0]).key(first, views[0]))
    assert len(set(keys)) == 2 * 24 + 2
    repeated = dataclasses.replace(first, repeats=5, item=dataclasses.replace(first.item, class_tokens="dog"))
    assert pictures.key(repeated, View(fit)) == keys[0]


def test_autoencoders_are_told_apart_by_weights_and_by_the_scale_of_their_latents() -> None:
    changed = StandIn()
    with torch.no_grad():
        changed.components.vae.bias[0] += 1e-3
    everything = [StandIn(), StandIn(scale=0.25), StandIn(shift=0.1), changed]
    assert len({cache.vae_fingerprint(each) for each in everything}) == 4
    assert cache.vae_fingerprint(StandIn()) == cache.vae_fingerprint(StandIn())


def test_text_encoders_are_told_apart_by_all_that_makes_embeddings() -> None:
    weights, words, length, architecture = StandIn(), StandIn(), StandIn(), StandIn()
    with torch.no_grad():
        weights.components.text_encoders["text_encoder"].bias[0] += 1e-3
    words.words["c"] = 2
    length.components.tokenizers["tokenizer"].model_max_length = 75
    architecture.spec = SPECS["sdxl"]
    everything = [StandIn(), StandIn(length=256), StandIn(length=512), weights, words, length, architecture]
    assert len({cache.text_fingerprint(each) for each in everything}) == 7
    assert cache.text_fingerprint(StandIn(length=256)) == cache.text_fingerprint(StandIn(length=256))


def test_broken_pictures_are_named_and_the_others_encoded(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        for number in range(4):
            picture(tmp_path / folder / f"{number}.png", number + (10 if folder == "two" else 0))
    damage(tmp_path / "one/1.png")
    damage(tmp_path / "two/3.png")
    here = bench(tmp_path, ["one", "two"], augmentation={"flip": True})
    store = TensorCache(None)
    pictures, broken, progress = here.encode(store)
    assert {(each.dataset, each.path) for each in broken} == {(0, "1.png"), (1, "3.png")}
    assert all(str(tmp_path / ["one", "two"][each.dataset] / each.path) in each.message for each in broken)
    assert progress[-1] == (16, 16)
    assert sum(here.architecture.pictures) == 12
    for sample in here.plan.samples:
        is_good = (sample.dataset, sample.item.path) not in {(0, "1.png"), (1, "3.png")}
        assert (pictures.key(sample, View(sample.fit)) in store) == is_good
    # Without a latent cache they are looked for before training begins, each once.
    progress = []
    found = cache.find_broken(here.plan.samples, here.pictures(None), lambda *seen: progress.append(seen))
    assert {(each.dataset, each.path, each.message) for each in found} == {
        (each.dataset, each.path, each.message) for each in broken
    }
    assert progress == [(done, 8) for done in range(1, 9)]


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_latents_that_are_no_numbers_are_refused(tmp_path: Path, place: int, number: float) -> None:
    picture(tmp_path / "photos/bright.png", 0)
    here = bench(tmp_path)
    here.architecture.spoil = (place, number)
    store = TensorCache(tmp_path / "cache")
    with pytest.raises(UserError, match=r"bright\.png.*vae_precision"):
        here.encode(store)
    assert not (tmp_path / "cache").exists()


# Texts -------------------------------------------------------------------------------------------------------

CAPTIONS = {"0": "ohwx dog, red, grass, sun", "1": "ohwx dog, blue, snow, night", "2": ""}


def texts_of(tmp_path: Path, seed: int = 42, **captions: Any) -> tuple[Bench, cache.Texts]:
    for number, (name, caption) in enumerate(CAPTIONS.items()):
        picture(tmp_path / f"photos/{name}.png", number)
        if caption:
            (tmp_path / f"photos/{name}.txt").write_text(caption, encoding="utf-8")
    here = bench(tmp_path, seed=seed, captions=captions)
    return here, cache.Texts(here.config, here.scans, here.plan.samples)


def variants_of(here: Bench, texts: cache.Texts, number: int, count: int) -> list[str]:
    return [texts.text(here.plan.samples[number], 1.0, (index + 0.5) / count) for index in range(count)]


CHANGES = [
    {}, {"shuffle": True}, {"shuffle": True, "keep_tokens": 1, "variants": 3}, {"dropout_rate": 0.4},
    {"shuffle": True, "tag_dropout_rate": 0.3, "dropout_rate": 0.2, "variants": 16, "prefix": "photo:"},
    {"shuffle": True, "token_warmup_steps": 40, "token_warmup_min": 2, "variants": 3},
    {"shuffle": True, "wildcards": True, "suffix": "{by day|by night}", "random_triggers": ["x", "y"],
     "random_triggers_max": 2, "dropout_every_n_epochs": 3, "token_warmup_steps": 0.5, "tag_dropout_rate": 0.2},
]  # fmt: skip


@pytest.mark.parametrize("captions", CHANGES)
def test_training_sees_the_same_texts_with_and_without_the_cache(tmp_path: Path, captions: dict[str, Any]) -> None:
    here, plain = texts_of(tmp_path, **captions)
    _, cached = texts_of(tmp_path, **captions)
    store = TensorCache(tmp_path / "cache")
    cached.use_cache(store, "encoder")
    cache.encode_texts(cached, store, here.architecture, 2, lambda done, total: None)

    def batches(texts: cache.Texts) -> list[Any]:
        maker = BatchMaker(here.config, here.plan, Blank(), texts, lambda random, size: 0.5, 4, 8)
        return list(maker.batches(0, 60))

    found, expected = batches(cached), batches(plain)
    assert [batch.texts for batch in found] == [batch.texts for batch in expected]
    for batch, other in zip(found, expected, strict=True):
        assert other.conditionings is None
        for text, conditioning in zip(batch.texts, batch.conditionings, strict=True):
            assert conditioning["hidden_states"].tolist() == [ord(sign) for sign in text]
    different = {batch.texts[0] for batch in found}
    assert len(different) > 4 if "shuffle" in captions else different == {"", CAPTIONS["0"], CAPTIONS["1"]}
    # Each text was encoded once, and in another run not at all.
    assert max(Counter(here.architecture.texts).values()) == 1
    other = StandIn()
    _, again = texts_of(tmp_path, **captions)
    store = TensorCache(tmp_path / "cache")
    again.use_cache(store, "encoder")
    cache.encode_texts(again, store, other, 2, lambda done, total: None)
    assert other.texts == []
    again.use_cache(store, "another encoder")
    cache.encode_texts(again, store, other, 2, lambda done, total: None)
    assert set(other.texts) == set(here.architecture.texts)


class Blank(Latents):
    """Latents for pictures with any name."""

    def latents(self, sample: Any, view: View) -> tuple[Tensor, None]:
        return torch.zeros(4, 8, 8), None


def test_shuffled_variants_are_what_the_rules_allow(tmp_path: Path) -> None:
    here, texts = texts_of(tmp_path, shuffle=True, keep_tokens=1, variants=12)
    for number in (0, 1):
        first, *rest = CAPTIONS[str(number)].split(", ")
        found = variants_of(here, texts, number, 12)
        for text in found:
            tags = text.split(", ")
            assert tags[0] == first
            assert sorted(tags[1:]) == sorted(rest)
        assert len(set(found)) >= 4, "12 draws from 6 orders"
    assert variants_of(here, texts, 2, 12) == [""] * 12
    counts = dict(Counter(tag for caption in CAPTIONS.values() for tag in caption.split(", ") if tag))
    assert dict(texts.tag_counts[0]) == counts


def test_variants_are_functions_of_seed_picture_and_number(tmp_path: Path) -> None:
    here, texts = texts_of(tmp_path, shuffle=True, variants=8)
    found = variants_of(here, texts, 0, 8)
    assert variants_of(*texts_of(tmp_path, shuffle=True, variants=8), 0, 8) == found
    assert variants_of(*texts_of(tmp_path, shuffle=True, variants=4), 0, 4) == found[:4]
    assert variants_of(*texts_of(tmp_path, 43, shuffle=True, variants=8), 0, 8) != found
    # Another picture before it changes nothing.
    picture(tmp_path / "photos/-1.png", 77)
    here, texts = texts_of(tmp_path, shuffle=True, variants=8)
    assert [sample.item.path for sample in here.plan.samples][:2] == ["-1.png", "0.png"]
    assert variants_of(here, texts, 1, 8) == found


def test_one_variant_where_nothing_changes(tmp_path: Path) -> None:
    here, texts = texts_of(tmp_path, dropout_rate=0.5, variants=8)
    assert set(variants_of(here, texts, 0, 100)) == {CAPTIONS["0"]}
    assert sorted(texts.all()) == sorted(CAPTIONS.values())


def test_captions_are_dropped_as_often_as_asked(tmp_path: Path) -> None:
    here, texts = texts_of(tmp_path, dropout_rate=0.3)
    drawn = [texts.text(here.plan.samples[0], *stream(42, "caption", step, 0).random(2)) for step in range(3000)]
    assert set(drawn) == {"", CAPTIONS["0"]}
    assert drawn.count("") / 3000 == pytest.approx(0.3, abs=0.03)
    for rate, expected in ((0.0, CAPTIONS["0"]), (1.0, "")):
        here, texts = texts_of(tmp_path, dropout_rate=rate)
        ends = {
            texts.text(here.plan.samples[0], drop, pick) for drop in (0.0, 1 - 2**-53) for pick in (0.0, 1 - 2**-53)
        }
        assert ends == {expected}


def test_every_so_many_epochs_captions_are_empty(tmp_path: Path) -> None:
    here, texts = texts_of(tmp_path, dropout_every_n_epochs=3, dropout_rate=0.0)
    maker = BatchMaker(here.config, here.plan, Blank(), texts, lambda random, size: 0.5, 4, 8)
    assert here.plan.steps_per_epoch == 3
    found = [batch.texts[0] for batch in maker.batches(0, 18)]
    assert found[6:9] == found[15:18] == [""] * 3, "the third and the sixth"
    assert all(sorted(found[start : start + 3]) == sorted(CAPTIONS.values()) for start in (0, 3, 9, 12))


# (0-based step, free tags of the caption, least, steps of the warm-up, steps of the run) -> tags shown
WARMING = [
    ((0, 4, 1, 10, 100), 1), ((3, 4, 1, 10, 100), 1), ((4, 4, 1, 10, 100), 2), ((9, 4, 1, 10, 100), 3),
    ((10, 4, 1, 10, 100), 4), ((99, 4, 1, 10, 100), 4), ((0, 4, 1, 0, 100), 4), ((0, 4, 3, 10, 100), 3),
    ((0, 2, 3, 10, 100), 2), ((5, 0, 1, 10, 100), 0), ((24, 4, 1, 0.5, 100), 2), ((49, 4, 1, 0.5, 100), 3),
    ((50, 4, 1, 0.5, 100), 4), ((1, 4, 1, 0.5, 3), 4),
]  # fmt: skip


@pytest.mark.parametrize(("case", "expected"), WARMING)
def test_tags_warm_up(tmp_path: Path, case: tuple[Any, ...], expected: int) -> None:
    """floor(step·(N - least)/steps) + least, as kohya; steps below 1 are a share of the run's, rounded down."""
    step, tags, least, steps, total = case
    caption = ", ".join("abcdefgh"[:tags])
    picture(tmp_path / "photos/0.png", 0)
    (tmp_path / "photos/0.txt").write_text(caption, encoding="utf-8")
    here = bench(tmp_path, captions={"token_warmup_steps": steps, "token_warmup_min": least})
    texts = cache.Texts(here.config, here.scans, here.plan.samples)
    found = texts.text(here.plan.samples[0], 1.0, 0.5, Moment(step, 0, total))
    assert found == ", ".join("abcdefgh"[:expected])
    assert found in texts.all()


def test_a_missing_trigger_word_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(2):
        picture(tmp_path / f"photos/{number}.png", number)
        (tmp_path / f"photos/{number}.txt").write_text("a [trigger]", encoding="utf-8")
    for word, expected in (("", 1), ("ohwx", 0)):
        caplog.clear()
        here = bench(tmp_path, trigger_word=word)
        cache.Texts(here.config, here.scans, here.plan.samples)
        assert len(caplog.records) == expected


def test_the_empty_caption_is_encoded_once_and_only_when_needed(tmp_path: Path) -> None:
    for captions, expected in (({"dropout_rate": 0.1}, 1), ({}, 1), ({"prefix": "photo"}, 0)):
        here, texts = texts_of(tmp_path, **captions)
        progress = []
        store = TensorCache(None)
        texts.use_cache(store, "encoder")
        cache.encode_texts(texts, store, here.architecture, 2, lambda *seen, to=progress: to.append(seen))
        assert here.architecture.texts.count("") == expected, captions
        assert progress[-1] == (len(here.architecture.texts),) * 2


def test_without_a_cache_there_are_no_embeddings(tmp_path: Path) -> None:
    _, texts = texts_of(tmp_path)
    assert texts.conditioning("anything") is None
    texts.use_cache(TensorCache(None), "encoder")
    with pytest.raises(KeyError):
        texts.conditioning("a text that no picture can have")
