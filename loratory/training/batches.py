"""Which pictures come when, and the batches made of them.

The order and every random draw are functions of (seed, epoch, step, slot); see `randomness`. Batches are made on the
CPU by a background thread, so that the device never waits for them.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from loratory.config.train import TrainConfig
from loratory.data.buckets import size_conditioning
from loratory.models.base import Conditioning
from loratory.planner import Plan, Sample
from loratory.training.objectives.noise import pyramid
from loratory.training.objectives.timesteps import TimeDraw
from loratory.training.other_texts import other_texts
from loratory.training.randomness import stream
from loratory.training.views import View, pick_view


@dataclass(frozen=True)
class Words:
    """A text for each picture, and its embedding, or None where texts are encoded in the step."""

    texts: list[str]
    conditionings: list[Conditioning] | None


@dataclass
class Batch:
    """One micro-batch, everything random in it already drawn. Tensors are on the CPU."""

    step: int
    """0-based optimizer step it belongs to."""
    micro_batch: int
    """Its place within the step."""
    is_last: bool
    """Does the optimizer step follow?"""
    step_samples: int
    """Pictures of all micro-batches of the step: what the summed loss is divided by."""
    gradient_weight: float
    """What the gradient is multiplied by, beside that."""
    names: list[str]
    """Which pictures, for reports."""
    noise: Tensor
    times: Tensor
    sizes: Tensor
    noise_offsets: Tensor | None
    posterior_noise: Tensor | None
    noise_offset_strengths: Tensor | None = None
    pyramid_noise: Tensor | None = None
    input_noise: Tensor | None = None
    """These and the offsets as `objectives.noise.NoiseDraws` says; None where the job does without."""
    latents: Tensor | None = None
    """(B, C, h, w), or None where the pictures are encoded in the step."""
    pixels: Tensor | None = None
    """uint8 (B, 3, H, W), where latents are not cached."""
    texts: list[str] = field(default_factory=list)
    conditionings: list[Conditioning] | None = None
    """One for each text, or None where the texts are encoded in the step."""
    loss_weights: Tensor = field(default_factory=lambda: torch.empty(0))
    """(B,): how much each picture's loss counts."""
    others: dict[str, Words] = field(default_factory=dict)
    """What else the model is asked about these pictures, by what it is for (see `other_texts`)."""
    guidance: Tensor | None = None
    """(B,): the scale of contrastive guidance."""
    from_bare_model: list[bool] = field(default_factory=list)
    """Is a picture's target what the bare model predicts?"""
    teaches: list[bool] = field(default_factory=list)
    """Does a picture show something new, or only what shall stay?"""
    masks: Tensor | None = None
    """(B, 1, h, w) from 0 to 1: how much each latent counts, all ones without a mask; None if no picture has one."""


class MaskSource(Protocol):
    """Gives the masks of pictures."""

    def weights(self, sample: Sample, view: View) -> Tensor | None:
        """How much each latent counts: float32 (1, h, w) from 0 to 1, or None where all count in full."""


class PictureSource(Protocol):
    """Gives latents, or pixels to be encoded in the step."""

    @property
    def latents_cached(self) -> bool: ...

    def latents(self, sample: Sample, view: View) -> tuple[Tensor, Tensor | None]:
        """Mean and standard deviation (C, h, w); None for the latter where the mean alone is used."""

    def pixels(self, sample: Sample, view: View) -> Tensor:
        """uint8 (3, H, W)."""


@dataclass(frozen=True)
class Moment:
    """When a text is used."""

    step: int = 0
    """0-based, as the epoch."""
    epoch: int = 0
    total_steps: int = 1


class TextSource(Protocol):
    """Gives texts, and their embeddings where they are cached."""

    def text(self, sample: Sample, drop: float, pick: float, moment: Moment) -> str:
        """The text for two numbers drawn from 0..1: whether the caption is dropped, and which variant is used."""

    def conditioning(self, text: str) -> Conditioning | None:
        """The cached embedding, or None where texts are encoded in the step."""


def epoch_order(plan: Plan, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """The micro-batches of one epoch as arrays of sample indices.

    Each bucket is permuted and cut (the last piece may be short), then the pieces of all buckets are shuffled.
    """
    pieces: list[NDArray[np.int64]] = []
    for number, members in enumerate(plan.buckets.values()):
        shuffled = stream(seed, "bucket-order", epoch, number).permutation(members)
        pieces += [shuffled[start : start + plan.batch_size] for start in range(0, len(shuffled), plan.batch_size)]
    order = stream(seed, "batch-order", epoch).permutation(len(pieces))
    return [pieces[i] for i in order]


def step_order(plan: Plan, seed: int, first: int, last: int) -> Iterator[tuple[int, list[NDArray[np.int64]]]]:
    """(step, its micro-batches) for first ≤ step < last, counted from 0. The last step of an epoch may be short."""
    order: list[NDArray[np.int64]] = []
    epoch_of_order = -1
    for step in range(first, last):
        epoch, place = divmod(step, plan.steps_per_epoch)
        if epoch != epoch_of_order:
            order, epoch_of_order = epoch_order(plan, seed, epoch), epoch
        yield step, order[place * plan.accumulation : (place + 1) * plan.accumulation]


@dataclass(frozen=True)
class BatchMaker:
    """Makes any micro-batch from its place alone."""

    config: TrainConfig
    plan: Plan
    pictures: PictureSource
    texts: TextSource
    draw_time: TimeDraw
    latent_channels: int
    latent_factor: int
    """Pixels per latent along one side."""
    masks: MaskSource | None = None

    def make(self, step: int, micro_batch: int, members: NDArray[np.int64], step_samples: int, is_last: bool) -> Batch:
        """The micro-batch of these samples. A slot is a picture's place in the whole step's batch."""
        samples = [self.plan.samples[i] for i in members]
        slots = range(micro_batch * self.plan.batch_size, micro_batch * self.plan.batch_size + len(samples))
        width, height = samples[0].fit.bucket
        size = (height // self.latent_factor, width // self.latent_factor)
        shape = (self.latent_channels, *size)
        seed = self.config.seed

        def normal(name: str, *extent: int) -> Tensor:
            draws = [stream(seed, name, step, slot).standard_normal(extent, dtype=np.float32) for slot in slots]
            return torch.from_numpy(np.stack(draws))

        times = [self.draw_time(stream(seed, "time", step, slot), size) for slot in slots]
        batch = Batch(
            step=step,
            micro_batch=micro_batch,
            is_last=is_last,
            step_samples=step_samples,
            gradient_weight=step_samples / len(samples) if self.config.batching.accumulate == "sum" else 1.0,
            names=[f"{self.config.datasets[sample.dataset].path}/{sample.item.path}" for sample in samples],
            noise=normal("noise", *shape),
            times=torch.tensor(times, dtype=torch.float32),
            sizes=torch.empty(0),
            noise_offsets=normal("noise-offset", shape[0]) if self.config.objective.noise_offset else None,
            posterior_noise=normal("posterior", *shape) if self.config.caching.posterior == "sample" else None,
        )
        self._add_noise(batch, slots, shape)
        self._add_pictures(batch, samples, slots)
        self._add_texts(batch, samples, slots)
        self._add_targets(batch, samples, slots)
        return batch

    def _add_noise(self, batch: Batch, slots: range, shape: tuple[int, int, int]) -> None:
        """What the job adds to the plain noise; each kind of draw has a stream of its own."""
        objective, step = self.config.objective, batch.step

        def streams(name: str) -> list[np.random.Generator]:
            return [stream(self.config.seed, name, step, slot) for slot in slots]

        def shares(name: str) -> Tensor:
            return torch.tensor([random.random() for random in streams(name)], dtype=torch.float32)

        if objective.noise_offset and objective.noise_offset_random_strength:
            batch.noise_offset_strengths = objective.noise_offset * shares("noise-offset-strength")
        if objective.multires_noise_iterations:
            levels, discount = objective.multires_noise_iterations, objective.multires_noise_discount
            pyramids = [pyramid(random, shape, levels, discount) for random in streams("pyramid-noise")]
            batch.pyramid_noise = torch.from_numpy(np.stack(pyramids))
        if objective.ip_noise_gamma:
            draws = [random.standard_normal(shape, dtype=np.float32) for random in streams("input-noise")]
            batch.input_noise = objective.ip_noise_gamma * torch.from_numpy(np.stack(draws))
            if objective.ip_noise_gamma_random_strength:
                batch.input_noise *= shares("input-noise-strength").reshape(-1, 1, 1, 1)

    def _add_pictures(self, batch: Batch, samples: list[Sample], slots: range) -> None:
        latents, pixels, sizes, masks = [], [], [], []
        for place, (sample, slot) in enumerate(zip(samples, slots, strict=True)):
            augmentation = self.config.datasets[sample.dataset].augmentation
            view = pick_view(self.config.seed, augmentation, sample, batch.step, slot)
            sizes.append(size_conditioning((sample.item.width, sample.item.height), view.fit, view.flip))
            masks.append(None if self.masks is None else self.masks.weights(sample, view))
            if not self.pictures.latents_cached:
                pixels.append(self.pictures.pixels(sample, view))
                continue
            mean, deviation = self.pictures.latents(sample, view)
            if batch.posterior_noise is not None and deviation is not None:
                mean = mean + deviation * batch.posterior_noise[place]
            latents.append(mean.float())
        batch.sizes = torch.tensor(sizes, dtype=torch.int64)
        batch.loss_weights = torch.tensor([self._loss_weight(sample) for sample in samples], dtype=torch.float32)
        batch.masks = stacked(masks)
        if pixels:
            batch.pixels = torch.stack(pixels)
        else:
            batch.latents = torch.stack(latents)

    def _stream(self, name: str, step: int, slot: int) -> np.random.Generator:
        return stream(self.config.seed, name, step, slot)

    def _loss_weight(self, sample: Sample) -> float:
        dataset = self.config.datasets[sample.dataset]
        prior = self.config.objective.prior_loss_weight if dataset.is_regularisation else 1.0
        return dataset.loss_weight * prior

    def _add_targets(self, batch: Batch, samples: list[Sample], slots: range) -> None:
        """What is asked besides what the pictures show."""
        datasets = self.config.datasets
        batch.from_bare_model = [datasets[sample.dataset].diff_output_preservation for sample in samples]
        batch.teaches = [
            not (kept or datasets[sample.dataset].is_regularisation)
            for kept, sample in zip(batch.from_bare_model, samples, strict=True)
        ]
        others = [other_texts(self.config, each.dataset, text) for each, text in zip(samples, batch.texts, strict=True)]
        batch.others = {purpose: self._words([each[purpose] for each in others]) for purpose in others[0]}
        scale = self.config.objective.guidance_loss_target
        if scale is not None:
            low, high = scale if isinstance(scale, tuple) else (scale, scale)
            draws = [self._stream("guidance", batch.step, slot).random() for slot in slots]
            batch.guidance = torch.tensor([low + (high - low) * draw for draw in draws], dtype=torch.float32)

    def _words(self, texts: list[str]) -> Words:
        """With their embeddings, where all of them are cached."""
        found = [self.texts.conditioning(text) for text in texts]
        cached = [conditioning for conditioning in found if conditioning is not None]
        return Words(texts, cached if len(cached) == len(found) else None)

    def _add_texts(self, batch: Batch, samples: list[Sample], slots: range) -> None:
        moment = Moment(batch.step, batch.step // self.plan.steps_per_epoch, self.plan.total_steps)
        for sample, slot in zip(samples, slots, strict=True):
            drop, pick = self._stream("caption", batch.step, slot).random(2)
            batch.texts.append(self.texts.text(sample, float(drop), float(pick), moment))
        batch.conditionings = self._words(batch.texts).conditionings

    def batches(self, first: int, last: int, *, pin: bool = False) -> Iterator[Batch]:
        """All micro-batches of the steps first ≤ step < last, counted from 0.

        `pin`: in page-locked memory, from which a GPU copies while it computes.
        """
        for step, pieces in step_order(self.plan, self.config.seed, first, last):
            total = sum(len(piece) for piece in pieces)
            for number, piece in enumerate(pieces):
                batch = self.make(step, number, piece, total, number == len(pieces) - 1)
                yield pinned(batch) if pin else batch


def stacked(masks: Sequence[Tensor | None]) -> Tensor | None:
    """(B, 1, h, w) with all ones for a picture without a mask; None if none has one."""
    known = next((mask for mask in masks if mask is not None), None)
    if known is None:
        return None
    return torch.stack([torch.ones_like(known) if mask is None else mask for mask in masks])


def pinned(batch: Batch) -> Batch:
    """The batch with its large tensors in page-locked memory."""
    for name in ("noise", "pyramid_noise", "input_noise", "times", "latents", "pixels", "posterior_noise", "masks"):
        tensor = getattr(batch, name)
        if tensor is not None:
            setattr(batch, name, tensor.pin_memory())
    return batch


def prefetch(batches: Iterator[Batch], ahead: int) -> Generator[Batch, None, None]:
    """The same batches, made by a background thread up to `ahead` of them early. Its errors are raised here."""
    if ahead == 0:
        yield from batches
        return
    made: queue.Queue[Batch | BaseException | None] = queue.Queue(maxsize=ahead)
    leave = threading.Event()

    def put(thing: Batch | BaseException | None) -> bool:
        while not leave.is_set():
            try:
                made.put(thing, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for batch in batches:
                if not put(batch):
                    return
            put(None)
        except BaseException as error:  # handed over and raised in the training thread
            put(error)

    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        while (thing := made.get()) is not None:
            if isinstance(thing, BaseException):
                raise thing
            yield thing
    finally:
        leave.set()
        thread.join()
