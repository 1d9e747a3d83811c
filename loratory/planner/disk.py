"""What a run writes. Torch-free."""

from __future__ import annotations

import math
from dataclasses import dataclass

from loratory.config.network_preview import file_bytes
from loratory.planner.counts import Counts
from loratory.planner.model import Model
from loratory.planner.samples import pictures_of
from loratory.planner.weights import ITEM, optimizer_bytes

BYTES_OF_A_PIXEL = {"png": 1.6, "jpg": 0.3, "webp": 0.2}
"""Of a sample's file, about."""
MINUTES_UNKNOWN = 1
"""Files that are written by the clock cannot be counted beforehand: one is."""


@dataclass(frozen=True)
class Disk:
    """Bytes."""

    latents: int
    texts: int
    """0 where they are not kept on the disk."""
    checkpoints: int
    """As many as are kept at the end."""
    exports: int
    samples: int
    one_export: int
    one_checkpoint: int

    @property
    def total(self) -> int:
        return self.latents + self.texts + self.checkpoints + self.exports + self.samples


def disk_of(model: Model, counts: Counts, texts: int | None = None) -> Disk:
    """Of a run. `texts` is how many different captions there are; left out, one for each picture."""
    config = model.config
    caching, saving = config.caching, config.saving
    latents = _latents(model, counts) if caching.latents == "disk" else 0
    trained = bool(model.trained_text_encoders)
    count = _texts(model, counts) if texts is None else texts
    kept_texts = round(model.table.text.at(0, model.tokens)) * (count + 1)
    if caching.text_embeddings != "disk" or trained:
        kept_texts = 0
    shapes = model.network_shapes
    numbers = sum(map(math.prod, shapes))
    export = file_bytes(numbers, model.shown.tensors, saving.precision)
    checkpoint = numbers * ITEM[config.memory.adapter_precision] + optimizer_bytes(shapes, config.optimizer)
    checkpoint += 4 * numbers if config.ema.decay is not None else 0
    # A new one is written before the oldest is deleted.
    at_a_time = saving.keep_last_checkpoints + 1
    return Disk(
        latents=latents,
        texts=kept_texts,
        checkpoints=checkpoint * at_a_time,
        exports=export * _exports(model, counts),
        samples=_samples(model, counts),
        one_export=export,
        one_checkpoint=checkpoint,
    )


def _variants(model: Model, dataset: int) -> int:
    """Views of a picture that are kept."""
    augmentation = model.config.datasets[dataset].augmentation
    # Without a number every use draws a view of its own, which is not kept.
    views = (augmentation.variants or 0) if augmentation.varies() else 1
    return views * (2 if augmentation.flip else 1)


def _latents(model: Model, counts: Counts) -> int:
    """Mean and deviation in fp32; of models on pixels the pixels. By the first dataset's views where they differ."""
    numbers = 1 if model.table.vae is None else 2
    views = max(_variants(model, number) for number in range(len(model.config.datasets)))
    side = model.table.pixels_per_latent
    return sum(
        4 * numbers * model.table.channels * (size[0] * size[1] // side**2) * samples * views
        for size, samples in counts.cached.items()
    )


def _texts(model: Model, counts: Counts) -> int:
    """Captions and their variants."""
    captions = [dataset.captions for dataset in model.config.datasets]
    variants = [each.variants if each.varies() else 1 for each in captions]
    return sum(each.pictures * number for each, number in zip(counts.datasets, variants, strict=True))


def _times(every_steps: int | None, every_epochs: int | None, counts: Counts) -> int:
    """How often something at these intervals happens before the last step."""
    steps = {0}
    if every_steps:
        steps |= set(range(every_steps, counts.total_steps, every_steps))
    if every_epochs:
        every = every_epochs * counts.steps_per_epoch
        steps |= set(range(every, counts.total_steps, every))
    return len(steps) - 1


def _exports(model: Model, counts: Counts) -> int:
    """Files that are there at the end, the final one among them."""
    saving = model.config.saving
    made = _times(saving.export_every_n_steps, saving.export_every_n_epochs, counts)
    if saving.export_every_n_minutes is not None:
        made += MINUTES_UNKNOWN
    if saving.keep_last_exports is None:
        return made + 1
    for_good = counts.total_steps // saving.keep_every_n_steps if saving.keep_every_n_steps else 0
    return min(made, saving.keep_last_exports + for_good) + 1


def sample_rounds(model: Model, counts: Counts) -> int:
    """How often samples are made."""
    sampling = model.config.sampling
    if not (sampling.prompts or sampling.prompts_file):
        return 0
    times = _times(sampling.every_n_steps, sampling.every_n_epochs, counts)
    return times + int(sampling.before_first_step) + int(bool(sampling.every_n_steps or sampling.every_n_epochs))


def _samples(model: Model, counts: Counts) -> int:
    last = model.config.saving.keep_last_samples
    rounds = sample_rounds(model, counts)
    rounds = rounds if last is None else min(rounds, last)
    pixels = sum(math.prod(picture.size) for picture in pictures_of(model))
    return round(rounds * pixels * BYTES_OF_A_PIXEL[model.config.sampling.format])
