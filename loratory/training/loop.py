"""The training loop, to be read from top to bottom. Objects are made in `run`, side tasks are calls with a name."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from loratory.config.network import DyloraConfig, LoraConfig
from loratory.config.train import TrainConfig
from loratory.console import Show, duration
from loratory.models.base import Architecture
from loratory.networks.base import Network
from loratory.networks.weight_norms import limit_lengths
from loratory.planner import Plan
from loratory.runs import RunFolder
from loratory.runs.control import Request
from loratory.training import objective, preservation
from loratory.training.alpha_schedule import AlphaScheduler
from loratory.training.batches import Batch
from loratory.training.clipping import clip
from loratory.training.ema import Ema
from loratory.training.finite import FiniteWatch, not_finite
from loratory.training.meter import Meter
from loratory.training.metrics import LateNumbers, Speed, StepNumbers, Terms, line_of
from loratory.training.optimizers import (
    FusedSteps,
    WorkCopies,
    averaged,
    has_a_rate,
    measures,
    set_rates,
    step_if_finite,
)
from loratory.training.pixels import to_model_range
from loratory.training.preservation import Question
from loratory.training.randomness import micro_batch_seed
from loratory.training.recorder import Recorder
from loratory.training.schedules import rate_factor
from loratory.training.signs import SignAgreement

log = logging.getLogger(__name__)

STATUS_SECONDS = 1.0
"""status.json is written at most so often."""


class Stopped(Exception):
    """Asked to stop before the first step: there is nothing to save yet but the caches."""


class StopFlag:
    """Set by Ctrl+C or a stop request; looked at between steps, and between batches while caches are filled."""

    def __init__(self) -> None:
        self.reason = ""

    def ask(self, reason: str) -> None:
        self.reason = self.reason or reason

    def __bool__(self) -> bool:
        return bool(self.reason)


class Saver(Protocol):
    """What the loop asks of `saving.Saver`."""

    def export(self, training: Training, step: int, *, final: bool = False, best: bool = False) -> None: ...
    def checkpoint(self, training: Training, step: int, *, wait: bool = False) -> None: ...
    def export_due(self) -> bool: ...
    def checkpoint_due(self, step: int) -> bool: ...
    def raise_errors(self) -> None: ...
    def close(self) -> None: ...


class Validator(Protocol):
    """What the loop asks of `validation.Validator`."""

    @property
    def reason(self) -> str: ...
    def is_due(self, done: int, total: int, steps_per_epoch: int) -> bool: ...
    def look(self, training: Training, step: int) -> None: ...
    def state(self) -> dict[str, Any]: ...


@dataclass
class Training:
    """Everything the loop works with."""

    config: TrainConfig
    plan: Plan
    run: RunFolder
    architecture: Architecture
    network: Network
    optimizer: torch.optim.Optimizer
    work: WorkCopies
    fused: FusedSteps
    scaler: torch.amp.GradScaler
    alpha: AlphaScheduler
    signs: SignAgreement
    ema: Ema
    device: torch.device
    meter: Meter
    metrics: Recorder
    show: Show
    stop: StopFlag
    save: Saver
    validation: Validator
    sample: Callable[[int], None]
    """Make samples after so many steps."""
    answer: Callable[[Training, Request, int], None]
    """Do what a request other than stop asks for, after so many steps."""
    terms: Terms = field(default_factory=Terms)
    first_step: int = 0
    steps_done: int = 0
    skipped_steps: int = 0
    seconds_before: float = 0.0
    """Trained in earlier processes of this run."""
    started: float = field(default_factory=time.perf_counter)
    on_step: Callable[[int], None] = lambda _step: None
    """Called after each optimizer step; for measurements."""

    @property
    def seconds_trained(self) -> float:
        return self.seconds_before + time.perf_counter() - self.started


def train(training: Training, batches: Iterable[Batch]) -> Literal["finished", "stopped"]:
    """Train from `first_step` to the plan's end, or until asked to stop. Raises NotFinite, DiskFull."""
    config, total = training.config, training.plan.total_steps
    late, speed, watch = LateNumbers(training.device), Speed(), FiniteWatch(config.runtime.max_nonfinite_steps)
    sums = torch.zeros(3, device=training.device)  # of the step: loss, gradient norm, share of signs that stayed
    names: list[str] = []
    done = training.first_step
    status = StatusClock(training, speed)
    training.steps_done = done
    with training.show.progress("training", total, done) as bar:

        def settle() -> None:
            """Record every step that is done; before anything is saved."""
            for numbers in late.due(all_of_them=True):
                record(training, numbers, watch, bar, speed)

        if validate(training, done, settle) and training.stop:
            raise Stopped
        for batch in training.meter.timed(batches):
            if training.validation.reason:
                break
            set_rates(training.optimizer, rate_factor(config.schedule, batch.step, total))
            sums[0] += forward_backward(training, batch)
            names += batch.names
            if not batch.is_last:
                continue

            training.meter.begin("optimizer")
            sums[2] = training.signs.look()
            sums[1] = optimizer_step(training, sums[0])
            done = batch.step + 1
            after_step(training, done)
            training.meter.begin("other")
            known = training.alpha.facts(), training.meter.take()
            measured = measures(training.optimizer) | training.terms.take()
            late.put(batch.step, sums, measured, tuple(names), *known)
            sums, names = torch.zeros_like(sums), []
            speed.step_done()

            for numbers in late.due():
                record(training, numbers, watch, bar, speed)
            begin_phases(training, done)
            status.tick(done)
            training.on_step(done)
            training.steps_done = done
            if side_tasks(training, done, speed, settle):
                status.write(done)
            if training.stop:
                break

        settle()

    training.meter.begin("save")
    training.save.raise_errors()
    is_over = done >= total or bool(training.validation.reason)
    if is_over:
        training.save.export(training, done, final=True)
    training.save.checkpoint(training, done, wait=True)
    return "finished" if is_over else "stopped"


def forward_backward(training: Training, batch: Batch) -> Tensor:
    """Gradients of one micro-batch, added to those of the step. Returns its share of the step's mean loss.

    The step's gradient is Σ w·∇ / Σ w over all its pictures, so short batches count by their pictures; with
    `batching.accumulate: sum` the means of the micro-batches are added up, and the loss stays the mean.
    """
    config, architecture, device = training.config, training.architecture, training.device
    if training.network.draws:
        training.network.set_dropout_seed(micro_batch_seed(config.seed, batch.step, batch.micro_batch))
    latents = latents_of(batch, architecture, device)
    noise, input_noise = objective.shaped_noise(batch, latents, config.objective)
    times = batch.times.to(device, non_blocking=True)
    inputs = objective.make_inputs(latents, noise, times, architecture.noise_schedule, config.objective, input_noise)
    masks = None if batch.masks is None else batch.masks.to(device, non_blocking=True)
    inputs = replace(inputs, weights=inputs.weights * batch.loss_weights.to(device), masks=masks)
    question = Question(config, architecture, training.network, batch, inputs.noisy, inputs.times)
    inputs = preservation.with_targets(question, inputs)
    conditioning = question.told(question.conditioning(question.caption))
    prediction = question.answer(conditioning)
    if config.objective.mean_flow_steps and architecture.noise_schedule is None:
        inputs = preservation.with_average_velocity(question, conditioning, prediction, inputs)
    losses = objective.picture_losses(prediction, inputs, config.objective)
    training.meter.pictures(batch.times, losses)
    loss = (losses * inputs.weights).sum() / batch.step_samples
    if config.objective.inverted_mask_prior and inputs.masks is not None:
        outside = preservation.outside_masks(question, prediction, inputs) / batch.step_samples
        training.terms.add("inverted_mask_prior", outside.detach())
        loss = loss + outside
    if training.fused.active:
        training.fused.begin(loss, batch.step)
    training.meter.begin("backward")
    training.scaler.scale(loss * batch.gradient_weight).backward()
    total = loss.detach()
    for name, term in preservation.extra_terms(question, inputs):
        extra = term / batch.step_samples
        training.scaler.scale(extra * batch.gradient_weight).backward()
        total = total + extra.detach()
        training.terms.add(name, extra.detach())
    return total


@torch.no_grad()
def latents_of(batch: Batch, architecture: Architecture, device: torch.device) -> Tensor:
    """Scaled latents (B, C, h, w) on the device: cached ones, or encoded now."""
    if batch.latents is not None:
        return batch.latents.to(device, non_blocking=True)
    assert batch.pixels is not None
    mean, deviation = architecture.encode_images(to_model_range(batch.pixels.to(device)))
    if batch.posterior_noise is None:
        return mean.float()
    return (mean + deviation * batch.posterior_noise.to(device)).float()


def optimizer_step(training: Training, loss: Tensor) -> Tensor:
    """Clip and step; a step with a number that is not finite changes nothing. Returns the gradient norm."""
    if training.fused.active:
        return training.fused.finish()
    optimizer, scaler = training.optimizer, training.scaler
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    with training.work.in_full(parameters, training.steps_done):
        if scaler.is_enabled():
            scaler.unscale_(optimizer)
        limit = training.config.optimizer.max_grad_norm
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if limit:
            clip(parameters, limit, training.config.optimizer.clip_by, norm)
        if scaler.is_enabled():
            if has_a_rate(optimizer):
                scaler.step(optimizer)
            scaler.update()
        else:
            step_if_finite(optimizer, torch.isfinite(norm) & torch.isfinite(loss))
    optimizer.zero_grad(set_to_none=True)
    return norm


def after_step(training: Training, done: int) -> None:
    """What follows every change of the weights."""
    network = training.config.network
    if isinstance(network, LoraConfig | DyloraConfig) and network.max_weight_norm is not None:
        limit_lengths(training.network, network.max_weight_norm)
    training.ema.update(done)


def record(training: Training, numbers: StepNumbers, watch: FiniteWatch, bar: Show, speed: Speed) -> None:
    """Write one step's numbers down and show them."""
    step, total = numbers.step + 1, training.plan.total_steps
    reading = training.alpha.read(numbers.step, numbers.loss, numbers.stability)
    wrong = not_finite(numbers, training.scaler.is_enabled())
    pace = speed.per_second()
    training.meter.totals.update(numbers.seconds)
    if wrong:
        training.skipped_steps += 1
        log.warning("Step %d: the %s is not a number; the step is skipped (%s).", step, wrong, ", ".join(numbers.names))
        training.run.emit("step_skipped", step=step, pictures=list(numbers.names))
    if step % training.config.logging.every_n_steps == 0 or step == total or wrong:
        values = line_of(numbers, reading) | training.alpha.statistics.means() | training.meter.memory()
        if pace is not None:
            values["iterations_per_second"] = pace
        values["epoch"] = -(-step // training.plan.steps_per_epoch)
        training.metrics.append(step, **values, **numbers.facts)
    words = f"loss {numbers.loss:.4f}" + (
        f" · {pace:.2f} it/s · {duration(speed.seconds_left(total - step))} left" if pace else ""
    )
    bar.advance_to(step, total, words)
    watch.look(numbers, wrong)


def begin_phases(training: Training, done: int) -> None:
    """Let phases of alpha end that are over, and say so."""
    for sentence in training.alpha.advance(done):
        log.info("%s", sentence)
        training.run.emit("alpha_phase", step=done, message=sentence)


class StatusClock:
    """Writes status.json about once a second."""

    def __init__(self, training: Training, speed: Speed) -> None:
        self._training, self._speed = training, speed
        self._last = 0.0

    def tick(self, done: int) -> None:
        now = time.monotonic()
        if now - self._last < STATUS_SECONDS:
            return
        self.write(done)

    def write(self, done: int) -> None:
        """Say now that the run is training; after samples, for example."""
        self._last = time.monotonic()
        plan = self._training.plan
        facts: dict[str, Any] = {
            "step": done,
            "total_steps": plan.total_steps,
            "epoch": -(-done // plan.steps_per_epoch),
            "eta_seconds": self._speed.seconds_left(plan.total_steps - done),
            "iterations_per_second": self._speed.per_second(),
        }
        self._training.run.write_status("training", **facts)


def side_tasks(training: Training, done: int, speed: Speed, settle: Callable[[], None]) -> bool:
    """Exports, checkpoints, samples and requests that are due after `done` steps.

    True when one of them changed what the run's status says.
    """
    config, total = training.config, training.plan.total_steps
    per_epoch = training.plan.steps_per_epoch
    training.save.raise_errors()
    look_for_stop(training, done)
    paused = validate(training, done, settle)
    training.meter.begin("save")
    for request in training.run.pending_requests():
        if request.kind != "stop":  # one that came in the meantime is answered after the next step
            settle()
            training.answer(training, request, done)
            paused = True
    by_steps = due(done, config.saving.export_every_n_steps, config.saving.export_every_n_epochs, per_epoch)
    if done < total and (by_steps or training.save.export_due()):
        training.save.export(training, done)
    if done < total and not training.stop and training.save.checkpoint_due(done):
        settle()
        training.save.checkpoint(training, done)
    at_end = done == total and bool(config.sampling.every_n_steps or config.sampling.every_n_epochs)
    if at_end or due(done, config.sampling.every_n_steps, config.sampling.every_n_epochs, per_epoch):
        training.meter.begin("sample")
        with averaged(training.optimizer), training.ema.in_use():
            training.sample(done)
        paused = True
    training.meter.begin("other")
    if paused:
        speed.pause()
    return paused


def look_for_stop(training: Training, done: int) -> bool:
    """Answer requests to stop. Has anybody asked to?"""
    for request in training.run.pending_requests():
        if request.kind == "stop":
            training.stop.ask("a stop request")
            training.run.answer(request, step=done)
    return bool(training.stop)


def validate(training: Training, done: int, settle: Callable[[], None]) -> bool:
    """Measure on the pictures that are kept back, if that is due; before anything of this step is saved."""
    plan = training.plan
    if training.stop or not training.validation.is_due(done, plan.total_steps, plan.steps_per_epoch):
        return False
    settle()
    training.meter.begin("validation")
    training.validation.look(training, done)
    training.meter.begin("other")
    return True


def due(done: int, every_n_steps: int | None, every_n_epochs: int | None, steps_per_epoch: int) -> bool:
    """Is an interval complete after `done` steps?"""
    by_steps = every_n_steps is not None and done % every_n_steps == 0
    return by_steps or (every_n_epochs is not None and done % (every_n_epochs * steps_per_epoch) == 0)
