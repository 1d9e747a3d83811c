"""Encode pictures and captions once, and give them to the batches."""

from __future__ import annotations

import hashlib
import logging
import math
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from loratory.config.dataset import CaptionsConfig, DatasetConfig
from loratory.config.text import TextConfig
from loratory.config.train import TrainConfig
from loratory.data.captions import CaptionRules, Shown, count_free_tags, has_mark, read_caption, tags_in, vary
from loratory.data.images import BrokenImage, decode
from loratory.data.metadata_files import CaptionTable
from loratory.data.scan import ContentHashes, Scan
from loratory.errors import UserError
from loratory.models.base import Architecture, Conditioning
from loratory.planner import Sample
from loratory.training.batches import Moment
from loratory.training.colours import changed_colours
from loratory.training.other_texts import other_texts
from loratory.training.pipeline import Pipeline
from loratory.training.pixels import resize_and_crop, to_model_range
from loratory.training.randomness import stream
from loratory.training.tensor_cache import Entry, TensorCache, fingerprint, key_of
from loratory.training.views import View, every_view

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called with (done, total)."""

LATENT_FORMAT = 1
TEXT_FORMAT = 1
"""Part of every key: a change in how pictures or texts are prepared gets a new number."""


@dataclass(frozen=True)
class Broken:
    """A picture that cannot be read, found while encoding."""

    dataset: int
    path: str
    message: str


# Pictures ----------------------------------------------------------------------------------------------------


class Pictures:
    """Latents (cached) or pixels (encoded in the step) of samples."""

    def __init__(
        self,
        scans: Sequence[Scan],
        hashes: Sequence[ContentHashes],
        cache: TensorCache | None,
        vae: str,
        opaque: Collection[int] = (),
        pipelines: Mapping[int, Pipeline] | None = None,
    ) -> None:
        """`cache` None: nothing is kept. `vae` is the autoencoder's fingerprint.

        `opaque` names datasets whose transparency is a mask, and is not laid on white. `pipelines` by dataset.
        """
        self._scans = scans
        self._hashes = hashes
        self._cache = cache
        self._vae = vae
        self._opaque = opaque
        self._pipelines = pipelines or {}

    @property
    def latents_cached(self) -> bool:
        return self._cache is not None

    def key(self, sample: Sample, view: View) -> str:
        content = self._hashes[sample.dataset].of(sample.item)
        extra: list[object] = ["opaque"] if sample.dataset in self._opaque else []
        if view.colours is not None:
            extra.append(view.colours)
        if view.pipeline_seed is not None:
            extra += [self._pipelines[sample.dataset].signature, view.pipeline_seed]
        return key_of("latents", LATENT_FORMAT, content, view.fit, view.flip, self._vae, *extra)

    def latents(self, sample: Sample, view: View) -> tuple[Tensor, Tensor | None]:
        assert self._cache is not None
        entry = self._cache.get(self.key(sample, view))
        return entry["mean"], entry.get("deviation")

    def pixels(self, sample: Sample, view: View) -> Tensor:
        """uint8 (3, H, W). Raises BrokenImage."""
        pixels = self._before_pipeline(sample, view)
        return pixels if view.pipeline_seed is None else self._through_pipeline(sample, pixels, None, view)[0]

    def warped_alike(self, sample: Sample, view: View, mask: Tensor) -> Tensor:
        """The mask uint8 (1, H, W) after what the pipeline does to its picture. Raises BrokenImage."""
        if view.pipeline_seed is None:
            return mask
        _, warped = self._through_pipeline(sample, self._before_pipeline(sample, view), mask, view)
        assert warped is not None
        return warped

    def _through_pipeline(
        self, sample: Sample, pixels: Tensor, mask: Tensor | None, view: View
    ) -> tuple[Tensor, Tensor | None]:
        assert view.pipeline_seed is not None
        try:
            return self._pipelines[sample.dataset](pixels, mask, view.pipeline_seed)
        except UserError as error:
            raise UserError(f"{error} The picture is {self._path(sample)}.") from error

    def _path(self, sample: Sample) -> Path:
        return self._scans[sample.dataset].root / sample.item.path

    def _before_pipeline(self, sample: Sample, view: View) -> Tensor:
        image = decode(self._path(sample), opaque=sample.dataset in self._opaque)
        pixels = resize_and_crop(image, view.fit, view.flip)
        return pixels if view.colours is None else changed_colours(pixels, view.colours)


def missing_latents(
    pictures: Pictures, cache: TensorCache, samples: Iterable[Sample], config: TrainConfig
) -> list[tuple[Sample, View]]:
    """Every view of every sample that is not in the cache yet, each once, grouped by bucket."""
    wanted: dict[str, tuple[Sample, View]] = {}
    for sample in samples:
        for view in every_view(config.seed, config.datasets[sample.dataset].augmentation, sample):
            key = pictures.key(sample, view)
            if key not in cache:
                wanted.setdefault(key, (sample, view))
    return sorted(wanted.values(), key=lambda pair: pair[0].fit.bucket)


def latent_bytes(wanted: Iterable[tuple[Sample, View]], channels: int, factor: int) -> int:
    """What their entries take: means and standard deviations in fp32. `factor`: pixels per latent along one side."""
    return sum(8 * channels * math.prod(side // factor for side in view.fit.bucket) for _, view in wanted)


def encode_pictures(
    pictures: Pictures,
    cache: TensorCache,
    wanted: Sequence[tuple[Sample, View]],
    architecture: Architecture,
    batch_size: int,
    progress: Progress,
) -> list[Broken]:
    """Encode into the cache. Pictures that cannot be read are returned; they kill nothing.

    Which pictures are encoded together changes the last digits. So that a run that is killed here and started again
    ends with the same ones, broken pictures take no place in a batch, and a batch is stored whole or not at all.
    """
    broken: list[Broken] = []
    done = 0
    for group in _same_bucket(_decoded(pictures, wanted, broken, 2 * batch_size), batch_size):
        cache.add_all(_encoded(pictures, architecture, group))
        done += len(group)
        progress(done + len(broken), len(wanted))
    if broken:
        progress(len(wanted), len(wanted))
    cache.flush()
    return broken


_Decoded = tuple[Sample, View, Tensor]


def _decoded(
    pictures: Pictures, wanted: Sequence[tuple[Sample, View]], broken: list[Broken], ahead: int
) -> Iterator[_Decoded]:
    """The readable ones with their pixels; the others are added to `broken`. Decoded in threads, `ahead` early."""

    def read(pair: tuple[Sample, View]) -> _Decoded | Broken:
        sample, view = pair
        try:
            return sample, view, pictures.pixels(sample, view)
        except BrokenImage as error:
            return Broken(sample.dataset, sample.item.path, str(error))

    with ThreadPoolExecutor(4) as pool:
        waiting = deque(pool.submit(read, pair) for pair in wanted[:ahead])
        for number in range(len(wanted)):
            result = waiting.popleft().result()
            if number + ahead < len(wanted):
                waiting.append(pool.submit(read, wanted[number + ahead]))
            if isinstance(result, Broken):
                broken.append(result)
            else:
                yield result


def _same_bucket(decoded: Iterable[_Decoded], size: int) -> Iterator[list[_Decoded]]:
    group: list[_Decoded] = []
    for each in decoded:
        if group and (len(group) == size or group[0][0].fit.bucket != each[0].fit.bucket):
            yield group
            group = []
        group.append(each)
    if group:
        yield group


def _encoded(pictures: Pictures, architecture: Architecture, group: Sequence[_Decoded]) -> dict[str, Entry]:
    """Cache entries of one batch, by key."""
    pixels = to_model_range(torch.stack([x for _, _, x in group]))
    with torch.no_grad():
        means, deviations = architecture.encode_images(pixels)
    entries: dict[str, Entry] = {}
    certain = not deviations.any()  # no autoencoder: nothing is drawn, and zeros need no space
    for (sample, view, _), mean, deviation in zip(group, means.float().cpu(), deviations.float().cpu(), strict=True):
        if not torch.isfinite(torch.stack([mean, deviation])).all():
            raise UserError(
                f"The autoencoder makes numbers that are not finite from {sample.key}; set model.vae_precision to fp32 "
                "or use another vae_path."
            )
        entries[pictures.key(sample, view)] = {"mean": mean} | ({} if certain else {"deviation": deviation})
    return entries


def find_broken(samples: Iterable[Sample], pictures: Pictures, progress: Progress) -> list[Broken]:
    """Decode every picture once, for runs without a latent cache: a broken one must not stop training later."""
    unique = list({sample.key: sample for sample in samples}.values())

    def attempt(sample: Sample) -> Broken | None:
        try:
            pictures.pixels(sample, View(sample.fit))
        except BrokenImage as error:
            return Broken(sample.dataset, sample.item.path, str(error))
        return None

    broken = []
    with ThreadPoolExecutor(4) as pool:
        for done, result in enumerate(pool.map(attempt, unique), 1):
            if result is not None:
                broken.append(result)
            progress(done, len(unique))
    return broken


# Texts -------------------------------------------------------------------------------------------------------


def caption_rules(dataset: DatasetConfig) -> CaptionRules:
    """The rules of a dataset without caption dropout, which is drawn in every use instead of once per variant."""
    captions = dataset.captions
    return CaptionRules(
        shuffle=captions.shuffle,
        keep_tokens=captions.keep_tokens,
        separator=captions.separator,
        dropout_rate=0.0,
        tag_dropout_rate=captions.tag_dropout_rate,
        trigger_word=dataset.trigger_word,
        prefix=captions.prefix,
        suffix=captions.suffix,
        keep_tokens_separator=captions.keep_tokens_separator,
        secondary_separator=captions.secondary_separator,
        wildcards=captions.wildcards,
        replacements=tuple(captions.replacements.items()),
        random_triggers=captions.random_triggers,
        random_triggers_max=captions.random_triggers_max,
    )


def warm_up(captions: CaptionsConfig, moment: Moment) -> Shown | None:
    """How many of n free tags are shown: floor(step·(n - least)/steps) + least; None once all are (as kohya)."""
    steps = captions.token_warmup_steps
    if steps < 1:
        steps = math.floor(steps * moment.total_steps)
    if moment.step >= steps:
        return None
    least = captions.token_warmup_min
    return lambda count: min(count, math.floor(moment.step * max(count - least, 0) / steps) + least)


def _caption_table(captions: CaptionsConfig) -> CaptionTable | None:
    return None if captions.metadata_file is None else CaptionTable(Path(captions.metadata_file))


class Texts:
    """The texts of samples: each has k variants, functions of (seed, picture, index), with and without a cache.

    While tags warm up a variant is a function of the step, too: of its free tags the first n are used.
    """

    def __init__(self, config: TrainConfig, scans: Sequence[Scan], samples: Iterable[Sample]) -> None:
        self._config, self._seed, self._datasets = config, config.seed, config.datasets
        self._rules = [caption_rules(dataset) for dataset in config.datasets]
        self._tables = [_caption_table(dataset.captions) for dataset in config.datasets]
        self._captions: dict[str, str] = {}
        self._variants: dict[str, tuple[str, ...]] = {}
        self._warming: dict[str, frozenset[str]] = {}
        self._others: dict[str, None] = {}
        """What else the model is asked about a picture, in a fixed order."""
        self._cache: TensorCache | None = None
        self._encoders = ""
        self._unfilled: set[int] = set()
        """Datasets whose captions ask for a trigger word that there is not."""
        self.tag_counts: list[Counter[str]] = [Counter() for _ in config.datasets]
        """How often each tag occurs in each dataset, for the metadata of files."""
        for sample in samples:
            if sample.key not in self._variants:
                self._read(scans[sample.dataset].root, sample)
        for number in sorted(self._unfilled):
            path = config.datasets[number].path
            log.warning("Captions in %s hold [trigger] or [name], but the dataset has no trigger_word.", path)

    def _read(self, root: Path, sample: Sample) -> None:
        captions, rules = self._datasets[sample.dataset].captions, self._rules[sample.dataset]
        table = self._tables[sample.dataset]
        caption = None if table is None else table.of(root, sample.item.path)
        if caption is None:
            caption = read_caption(root, sample.item, captions.default, lines=captions.wildcards)
        self._captions[sample.key] = caption
        self.tag_counts[sample.dataset].update(tags_in(caption, rules))
        numbers = range(captions.variants if captions.varies() else 1)
        self._variants[sample.key] = tuple(self._vary(sample, number) for number in numbers)
        if not rules.trigger_word and any(map(has_mark, self._variants[sample.key])):
            self._unfilled.add(sample.dataset)
        if captions.token_warmup_steps:
            self._warming[sample.key] = frozenset(
                text for number in numbers for text in self._while_warming(sample, number, captions.token_warmup_min)
            )
        for text in (*self._variants[sample.key], *sorted(self._warming.get(sample.key, ())), ""):
            self._others |= dict.fromkeys(other_texts(self._config, sample.dataset, text).values())

    def _random(self, sample: Sample, number: int) -> np.random.Generator:
        digest = hashlib.blake2b(sample.key.encode(), digest_size=16).hexdigest()
        return stream(self._seed, f"caption-variant/{digest}", number)

    def _vary(self, sample: Sample, number: int, shown: Shown | None = None) -> str:
        caption, rules = self._captions[sample.key], self._rules[sample.dataset]
        return vary(caption, rules, self._random(sample, number), shown)

    def _while_warming(self, sample: Sample, number: int, least: int) -> Iterator[str]:
        """What a variant is from the first step of the warm-up to the last."""
        caption, rules = self._captions[sample.key], self._rules[sample.dataset]
        tags = count_free_tags(caption, rules, self._random(sample, number))
        for shown in range(min(least, tags), tags + 1):
            yield self._vary(sample, number, lambda _, shown=shown: shown)  # type: ignore[misc]

    def text(self, sample: Sample, drop: float, pick: float, moment: Moment | None = None) -> str:
        """As the protocol says; without a moment, at the first step."""
        moment = moment or Moment()
        captions = self._datasets[sample.dataset].captions
        every = captions.dropout_every_n_epochs
        if drop < captions.dropout_rate or (every is not None and (moment.epoch + 1) % every == 0):
            return ""
        variants = self._variants[sample.key]
        number = int(pick * len(variants))
        shown = warm_up(captions, moment)
        return variants[number] if shown is None else self._vary(sample, number, shown)

    def all(self) -> list[str]:
        """Every text that can occur, each once."""
        texts = {text: None for variants in self._variants.values() for text in variants}
        texts |= {text: None for warming in self._warming.values() for text in sorted(warming)}
        if any(each.captions.dropout_rate or each.captions.dropout_every_n_epochs for each in self._datasets):
            texts[""] = None
        return list(texts | self._others)

    def use_cache(self, cache: TensorCache, encoders: str) -> None:
        """From now on `conditioning` gives embeddings. `encoders` is the text encoders' fingerprint."""
        self._cache, self._encoders = cache, encoders

    def key(self, text: str) -> str:
        return key_of("text", TEXT_FORMAT, text, self._encoders)

    def conditioning(self, text: str) -> Conditioning | None:
        return None if self._cache is None else self._cache.get(self.key(text))


def encode_texts(
    texts: Texts, cache: TensorCache, architecture: Architecture, batch_size: int, progress: Progress
) -> None:
    """Encode every text that is not in the cache yet."""
    wanted = [text for text in texts.all() if texts.key(text) not in cache]
    for start in range(0, len(wanted), batch_size):
        part = wanted[start : start + batch_size]
        with torch.no_grad():
            conditionings = architecture.encode_prompts(part)
        cache.add_all({texts.key(text): one for text, one in zip(part, conditionings, strict=True)})
        progress(min(start + batch_size, len(wanted)), len(wanted))
    cache.flush()


def vae_fingerprint(architecture: Architecture) -> str:
    """Stands for everything that makes latents of pictures; cached latents are scaled and shifted already."""
    vae: Any = architecture.components.vae
    settings = [getattr(vae.config, name, None) for name in ("scaling_factor", "shift_factor")]
    others = [getattr(vae.config, name) for name in ("batch_norm_eps",) if hasattr(vae.config, name)]
    key = key_of(fingerprint(vae), *settings, *others)
    if not getattr(vae, "use_tiling", False):
        return key
    return key_of(key, "tiles", sorted((name, vars(vae)[name]) for name in vars(vae) if name.startswith("tile_")))


def text_fingerprint(architecture: Architecture) -> str:
    """Stands for all that makes embeddings of texts: weights, tokenizers, and what is taken of them.

    Architectures share text encoders, and so do kinds of one model that cut texts at different lengths.
    """
    components = architecture.components
    tokenizers: list[Any] = list(components.tokenizers.values())
    words = [_words(each) for each in tokenizers]
    length = getattr(architecture, "text_length", None)
    key = key_of(architecture.spec.name, length, words, fingerprint(*components.text_encoders.values()))
    settings = getattr(architecture, "text", None)
    return key if settings in (None, TextConfig()) else key_of(key, sorted(settings.model_dump().items()))


def _words(tokenizer: Any) -> str:
    template = getattr(tokenizer, "chat_template", None)
    return key_of(
        sorted(tokenizer.get_vocab().items()), tokenizer.model_max_length, *([] if template is None else [template])
    )
