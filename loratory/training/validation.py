"""The loss on pictures that are kept back: measured alike every time, so that its numbers can be compared.

Each picture is measured at the same times with the same noise, which are functions of (validation.seed, what the
picture's file holds, number of the time): not of the run, the step, the batch or the machine. What is measured is what
would be exported: averaged weights, no dropout, whole captions, the picture's centre. The loss is the plain mean of the
squared miss, whatever the job's loss and weights are; masks count as they do in training.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from loratory.config.objective import LossConfig
from loratory.config.train import TrainConfig
from loratory.config.validation import ValidationConfig
from loratory.data.buckets import size_conditioning
from loratory.data.scan import ContentHashes
from loratory.planner import Sample
from loratory.training import objective
from loratory.training.batches import MaskSource, Moment, PictureSource, TextSource, stacked
from loratory.training.loop import Training, due, look_for_stop
from loratory.training.meter import by_band, thousandths
from loratory.training.optimizers import averaged
from loratory.training.pixels import to_model_range
from loratory.training.randomness import stream
from loratory.training.tensor_cache import key_of
from loratory.training.views import View

log = logging.getLogger(__name__)

LOSS = "validation_loss"
"""Its name in the metrics."""


@dataclass(frozen=True)
class HeldOut:
    """The pictures that are measured."""

    config: TrainConfig
    """The job as they are read: nothing in it is random."""
    samples: Sequence[Sample]
    hashes: Sequence[ContentHashes]
    times: Sequence[float]
    """At which each is measured: timesteps (ddpm) or sigma (flow)."""
    pictures: PictureSource
    texts: TextSource
    masks: MaskSource | None = None

    def content(self, sample: Sample) -> str:
        return self.hashes[sample.dataset].of(sample.item)

    def text(self, sample: Sample) -> str:
        """The whole caption."""
        return self.texts.text(sample, 1.0, 0.0, Moment())

    def fingerprint(self) -> str:
        """Changes with everything that the number depends on besides the weights and the model."""
        each = sorted((self.content(sample), repr(sample.fit), self.text(sample)) for sample in self.samples)
        masks = [] if self.masks is None else [repr(dataset.masks) for dataset in self.config.datasets]
        return key_of(self.config.validation.seed, self.times, each, *masks)[:32]


def plain_loss(config: LossConfig) -> LossConfig:
    """Squared misses without weights. A model whose output is to be added to what it saw is still read so."""
    added = config.model_prediction_type == "additive"
    kind: Literal["additive", "raw"] = "additive" if added else "raw"
    return LossConfig(model_prediction_type=kind, masked_loss_mean=config.masked_loss_mean)


@contextmanager
def as_exported(training: Training) -> Iterator[None]:
    """Within the block the network is what an exported file would be: averaged weights, no dropout."""
    with averaged(training.optimizer), training.ema.in_use(), training.network.evaluating(), torch.no_grad():
        yield


def groups(samples: Sequence[Sample], size: int) -> Iterator[list[Sample]]:
    """Batches of one bucket each."""
    by_bucket: dict[tuple[int, int], list[Sample]] = {}
    for sample in samples:
        by_bucket.setdefault(sample.fit.bucket, []).append(sample)
    for members in by_bucket.values():
        yield from (members[start : start + size] for start in range(0, len(members), size))


def measure(training: Training, held: HeldOut, step: int) -> dict[str, float] | None:
    """The mean loss over all pictures and times, and over each band of times, by their names in the metrics.

    None when somebody asked to stop on the way. Waits for the device once, at the end.
    """
    is_flow = training.architecture.noise_schedule is None
    total, done = len(held.samples) * len(held.times), 0
    losses: list[Tensor] = []
    used: list[float] = []
    with as_exported(training):
        for group in groups(held.samples, held.config.batching.size):
            look = _Group(training, held, group)
            for number, at in enumerate(held.times):
                if look_for_stop(training, step):
                    return None
                at_times = torch.full((len(group),), at)
                losses.append(look.losses(at_times, number))
                used += thousandths(at_times, is_flow)
                done += len(group)
                training.show.say(f"validating {done}/{total}")
        values = torch.cat(losses).tolist()
    return {LOSS: fmean(values), **by_band(f"{LOSS}_band", used, values)}


class _Group:
    """Some pictures of one bucket, encoded once for all times."""

    def __init__(self, training: Training, held: HeldOut, samples: Sequence[Sample]) -> None:
        architecture, self._device = training.architecture, training.device
        self._architecture, self._seed = architecture, held.config.validation.seed
        self._contents = [held.content(sample) for sample in samples]
        self._loss = plain_loss(held.config.objective)
        if held.pictures.latents_cached:
            means = torch.stack([held.pictures.latents(sample, View(sample.fit))[0] for sample in samples])
            means = means.to(self._device)
        else:
            pixels = torch.stack([held.pictures.pixels(sample, View(sample.fit)) for sample in samples])
            means, _ = architecture.encode_images(to_model_range(pixels.to(self._device)))
        self._latents = means.float()
        found = None
        if held.masks is not None:
            found = stacked([held.masks.weights(sample, View(sample.fit)) for sample in samples])
        self._masks = None if found is None else found.to(self._device)
        texts = [held.text(sample) for sample in samples]
        known = [held.texts.conditioning(text) for text in texts]
        singles = [single for single in known if single is not None]
        if len(singles) < len(texts):
            singles = architecture.encode_prompts(texts)
        self._conditioning = {name: each.to(self._device) for name, each in architecture.collate(singles).items()}
        sizes = [size_conditioning((sample.item.width, sample.item.height), sample.fit) for sample in samples]
        self._sizes = torch.tensor(sizes, dtype=torch.int64).to(self._device)

    def losses(self, times: Tensor, number: int) -> Tensor:
        """(B,) on the device: at these times, the `number`-th of each picture."""
        shape = self._latents.shape[1:]
        draws = [
            stream(self._seed, f"validation-noise/{content}", number).standard_normal(shape, dtype=np.float32)
            for content in self._contents
        ]
        noise = torch.from_numpy(np.stack(draws)).to(self._device)
        schedule = self._architecture.noise_schedule
        inputs = objective.make_inputs(self._latents, noise, times.to(self._device), schedule, self._loss)
        inputs = replace(inputs, masks=self._masks)
        prediction = self._architecture.predict(inputs.noisy, inputs.times, self._conditioning, self._sizes)
        return objective.picture_losses(prediction, inputs, self._loss)


@dataclass
class Record:
    """What is remembered of earlier measurements."""

    at: int | None = None
    """The step of the last one."""
    best: float | None = None
    """The lowest loss after a step of training."""
    best_step: int | None = None
    mark: float | None = None
    """What the next ones must beat by `min_improvement`."""
    waited: int = 0
    """Measurements since one did."""

    def take(self, step: int, loss: float, min_improvement: float) -> bool:
        """Enter a measurement; True when it is the best. The one before the first step is only looked at."""
        self.at = step
        if step == 0:
            return False
        is_number = math.isfinite(loss)
        if is_number and (self.mark is None or loss < self.mark - min_improvement):
            self.mark, self.waited = loss, 0
        else:
            self.waited += 1
        is_best = is_number and (self.best is None or loss < self.best)
        if is_best:
            self.best, self.best_step = loss, step
        return is_best


class Validator:
    """Measures when it is due, keeps the best file, and says when there is nothing more to gain."""

    def __init__(self, config: ValidationConfig, held: HeldOut | None) -> None:
        self._config, self._held = config, held
        self._record = Record()
        self._fingerprint = "" if held is None else held.fingerprint()

    @property
    def measured_at(self) -> int | None:
        """After how many steps it was measured last."""
        return self._record.at

    @property
    def reason(self) -> str:
        """Why the run ends before its last step; empty: it does not."""
        patience, record = self._config.early_stop_after, self._record
        if self._held is None or patience is None or record.waited < patience:
            return ""
        best = "" if record.best is None else f"; the best was {record.best:.5f} after step {record.best_step}"
        return f"{record.waited} validations in a row brought nothing better{best} (validation.early_stop_after)"

    def is_due(self, done: int, total: int, steps_per_epoch: int) -> bool:
        """After `done` steps, unless it has been done: a resume measures what a stop has interrupted."""
        if self._held is None or self._record.at == done:
            return False
        if done == 0:
            return self._config.before_first_step
        return done == total or due(done, self._config.every_n_steps, self._config.every_n_epochs, steps_per_epoch)

    def look(self, training: Training, step: int) -> None:
        """Measure after so many steps and write it down; nothing, if somebody asks to stop on the way."""
        assert self._held is not None
        training.run.write_status("validating", step=step)
        found = measure(training, self._held, step)
        if found is None:
            return
        loss, record = found[LOSS], self._record
        is_best = record.take(step, loss, self._config.min_improvement)
        training.metrics.append(step, **found)
        if is_best and self._config.keep_best:
            training.save.export(training, step, best=True)
        training.run.write_status(
            "training", validation_loss=loss, best_validation_loss=record.best, best_step=record.best_step
        )
        numbers = {name: value if math.isfinite(value) else None for name, value in found.items()}
        training.run.emit("validation", step=step, is_best=is_best, **numbers)
        best = "" if record.best is None else f", the lowest so far {record.best:.5f} after step {record.best_step}"
        log.info("Validation after step %d: loss %.5f%s", step, loss, best)

    # Checkpoints

    def state(self) -> dict[str, Any]:
        """Plain numbers, for a checkpoint."""
        return {"measured": self._fingerprint, **asdict(self._record)}

    def load(self, state: dict[str, Any] | None) -> None:
        """Go on from a checkpoint; afresh where other pictures, captions or times are measured now."""
        if not state or self._held is None:
            return
        if state["measured"] == self._fingerprint:
            self._record = Record(**{name: value for name, value in state.items() if name != "measured"})
        elif state["measured"]:
            log.warning(
                "Validation measures other pictures, captions or times than before the pause, so its numbers cannot be "
                "compared; the best one is looked for afresh."
            )
