"""Exports and checkpoints: what a training leaves behind. Writing happens in a background thread."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from loratory.config.objective import LOSSES_WITH_THRESHOLD
from loratory.config.recipe import recipe
from loratory.config.sizes import resolution_of
from loratory.config.targets import trained_text_encoders
from loratory.config.text import TextConfig, in_effect
from loratory.config.train import TrainConfig
from loratory.errors import UserError
from loratory.files import DiskFull, write_json
from loratory.models.base import Architecture
from loratory.networks import formats
from loratory.networks.arguments import network_arguments, network_module, rank_and_alpha, rank_and_alpha_of
from loratory.networks.base import weight_shapes
from loratory.networks.files import kept_state
from loratory.networks.metadata import (
    DatasetFacts,
    FileFacts,
    NotStorable,
    TrainingFacts,
    auto_v1,
    build,
    file_sha256,
    save_lora,
    stored_as,
    trimmed,
)
from loratory.networks.state import State
from loratory.pickles import write_tensors
from loratory.planner import Plan
from loratory.runs import RunFolder, keep_last
from loratory.runs.control import Request
from loratory.training import checkpoint as checkpoints
from loratory.training.devices import DTYPES
from loratory.training.loop import Training
from loratory.training.optimizers import averaged
from loratory.training.samples import Sampler
from loratory.training.schedules import warmup_steps

log = logging.getLogger(__name__)

PHASES_ENDING = "_alpha_scheduler.json"
"""Beside an export: the phases of alpha, where there are any."""


def caption_facts(config: TrainConfig, text: TextConfig) -> dict[str, object]:
    """What kohya's trainer writes down of captions: one number where its datasets may have several, the largest."""
    captions = [dataset.captions for dataset in config.datasets]
    return {
        "max_token_length": None if text.max_token_length == 75 else text.max_token_length,
        "caption_dropout_rate": max(each.dropout_rate for each in captions),
        "caption_dropout_every_n_epochs": max(each.dropout_every_n_epochs or 0 for each in captions),
        "caption_tag_dropout_rate": max(each.tag_dropout_rate for each in captions),
    }


def validation_facts(config: TrainConfig) -> dict[str, object]:
    """What was kept back, under kohya's names; nothing where nothing was."""
    validation = config.validation
    if not validation.is_on:
        return {}
    return {
        "validation_split": validation.split,
        "validation_seed": validation.seed,
        "validate_every_n_steps": validation.every_n_steps,
        "validate_every_n_epochs": validation.every_n_epochs,
    }


class Saver:
    """Writes exports and checkpoints, one after the other, while training goes on."""

    def __init__(
        self,
        config: TrainConfig,
        architecture: Architecture,
        run: RunFolder,
        plan: Plan,
        tag_counts: Sequence[Counter[str]],
        sampler: Sampler,
    ) -> None:
        self._config, self._architecture, self._run, self._plan = config, architecture, run, plan
        self._tag_counts, self._sampler = tag_counts, sampler
        self._shapes = weight_shapes(architecture)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="saving")
        self._pending: list[Future[None]] = []
        self._last_checkpoint = self._last_export = time.monotonic()
        self._started_at = time.time()
        self._files: tuple[FileFacts, FileFacts | None] | None = None

    # What the loop calls

    def export(self, training: Training, step: int, *, final: bool = False, best: bool = False) -> None:
        """Write a LoRA file of the weights after `step` steps: the final one, the best one, or one from between."""
        if not best:
            self._last_export = time.monotonic()
        with averaged(training.optimizer), training.ema.in_use():
            state = training.network.state()
        suffix = f".{self._config.saving.file_type}"
        path = self._run.export_path(None if final else step, suffix)
        if best and not final:
            path = self._run.best_export_path.with_suffix(suffix)
        phases = training.alpha.state() if training.alpha.active else None
        self._do(lambda: self._write_export(state, step, path, final, phases))

    def checkpoint(self, training: Training, step: int, *, wait: bool = False) -> None:
        """Write everything a resume needs; with `wait` it is on the disk when this returns."""
        self._last_checkpoint = time.monotonic()
        training.metrics.flush()
        facts = {
            "dataset": self._plan.fingerprint(),
            "skipped_steps": training.skipped_steps,
            "seconds_trained": training.seconds_trained,
            "alpha_scheduler": training.alpha.state(),
            "signs": training.signs.state(),
            "validation": training.validation.state(),
            "scaler": training.scaler.state_dict() if training.scaler.is_enabled() else None,
        }
        snapshot = checkpoints.take(step, training.network, training.optimizer, facts, training.ema.shadow)
        self._do(lambda: self._write_checkpoint(snapshot))
        if wait:
            self.wait()

    def export_due(self) -> bool:
        """Have the minutes passed after which a file is wanted?"""
        minutes = self._config.saving.export_every_n_minutes
        return minutes is not None and time.monotonic() - self._last_export >= minutes * 60

    def checkpoint_due(self, step: int) -> bool:
        saving = self._config.saving
        if saving.checkpoint_every_n_steps is not None and step % saving.checkpoint_every_n_steps == 0:
            return True
        minutes = saving.checkpoint_every_n_minutes
        return minutes is not None and time.monotonic() - self._last_checkpoint >= minutes * 60

    def raise_errors(self) -> None:
        """Raise what went wrong in the background, if anything did."""
        finished = [future for future in self._pending if future.done()]
        self._pending = [future for future in self._pending if not future.done()]
        for future in finished:
            future.result()

    def wait(self) -> None:
        """Return when everything is on the disk. Raises what went wrong."""
        pending, self._pending = self._pending, []
        for future in pending:
            future.result()

    def close(self) -> None:
        """Let the background thread finish what it has begun."""
        self._writer.shutdown(wait=True)

    def answer(self, training: Training, request: Request, step: int) -> None:
        """Do what was asked for while training."""
        told: dict[str, Any] = {}
        try:
            if request.kind == "save":
                self.export(training, step)
                self.checkpoint(training, step, wait=True)
            elif request.kind == "sample":
                with averaged(training.optimizer), training.ema.in_use():
                    self._sampler(step)
            elif request.kind == "prompts":
                lines = request.payload.get("prompts")
                if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
                    raise UserError('A request for new prompts holds {"prompts": ["…", …]}.')
                self._sampler.prompts.use(lines)
                told["prompts"] = lines  # nobody else knows later which are in force
        except UserError as error:
            if isinstance(error, DiskFull):
                raise
            self._run.answer(request, ok=False, message=str(error), step=step)
            return
        self._run.answer(request, step=step, **told)

    # In the background

    def _do(self, work: Callable[[], None]) -> None:
        # At most two waiting: a disk slower than the training must not fill the memory.
        while len(self._pending) >= 2:
            self._pending.pop(0).result()
        self._pending.append(self._writer.submit(work))

    def _write_export(self, state: State, step: int, path: Path, final: bool, phases: dict[str, object] | None) -> None:
        config, spec = self._config, self._architecture.spec
        tensors = formats.export(state, spec, config.saving.format, self._shapes)
        dtype = DTYPES[config.saving.precision]
        try:
            if config.saving.file_type == "safetensors":
                save_lora(path, tensors, trimmed(build(self._facts(step), spec), config.saving.metadata), dtype)
            else:
                write_tensors(path, stored_as(tensors, dtype), point="export")
        except NotStorable as error:
            if final:
                raise
            # Of the numbers alone; the training itself is sound, and the next file may be, too.
            log.error("The LoRA file after step %d was not written: %s", step, error)
            self._run.emit("export_failed", step=step, message=str(error))
            return
        if phases is not None:
            write_json(path.with_name(f"{path.stem}{PHASES_ENDING}"), phases)
        self._run.emit("export", step=step, file=path.name, final=final)
        log.info("Wrote %s", path)
        if config.saving.keep_last_exports is not None:
            every = config.saving.keep_every_n_steps
            numbered = [
                export.path for export in self._run.exports()
                if export.step is not None and not (every and export.step % every == 0)
            ]  # fmt: skip
            for old in keep_last(numbered, config.saving.keep_last_exports):
                old.with_name(f"{old.stem}{PHASES_ENDING}").unlink(missing_ok=True)
                self._run.emit("deleted", file=old.name)

    def _write_checkpoint(self, snapshot: checkpoints.Snapshot) -> None:
        with self._run.new_checkpoint(snapshot.step) as folder:
            checkpoints.write(snapshot, folder)
        self._run.emit("checkpoint", step=snapshot.step)
        log.info("Checkpoint after step %d", snapshot.step)
        keep_last([each.path for each in self._run.checkpoints()], self._config.saving.keep_last_checkpoints)

    # Metadata

    def _facts(self, step: int) -> TrainingFacts:
        config, plan, network, optimizer = self._config, self._plan, self._config.network, self._config.optimizer
        if self._files is None:
            self._files = self._hash_files()
        spec = self._architecture.spec
        text = in_effect(config.text, spec)
        rank, alpha = rank_and_alpha(network)
        if network.shape_from_start:
            rank, alpha = rank_and_alpha_of(kept_state(self._run.shape_path))
        schedule = self._architecture.noise_schedule
        text_rate = optimizer.text_encoder_learning_rate or optimizer.learning_rate
        return TrainingFacts(
            name=config.name,
            session_id=self._run.id,
            started_at=self._started_at,
            finished_at=time.time(),
            seed=config.seed,
            step=step,
            epoch=-(-step // plan.steps_per_epoch),
            max_steps=plan.total_steps,
            epochs=plan.epochs,
            steps_per_epoch=plan.steps_per_epoch,
            rank=rank,
            alpha=alpha,
            network_module=network_module(spec, network),
            optimizer=type(optimizer).__name__.removesuffix("Config"),
            lr_scheduler=config.schedule.type,
            learning_rate=optimizer.learning_rate,
            denoiser_learning_rate=optimizer.learning_rate if network.train_denoiser else None,
            text_encoder_learning_rate=text_rate if trained_text_encoders(spec, network) else None,
            datasets=self._dataset_facts(),
            model=self._files[0],
            vae=self._files[1],
            dropout=network.dropout,
            network_arguments=network_arguments(spec, network),
            gradient_accumulation_steps=plan.accumulation,
            gradient_checkpointing=config.memory.gradient_checkpointing != "off",
            mixed_precision={"fp32": "no"}.get(config.memory.precision, config.memory.precision),
            cache_latents=config.caching.latents != "off",
            warmup_steps=warmup_steps(config.schedule, plan.total_steps),
            max_grad_norm=optimizer.max_grad_norm,
            prediction_type=None if schedule is None else schedule.prediction_type,
            clip_skip=text.clip_skip,
            other=objective_keys(config) | caption_facts(config, text) | validation_facts(config) | {
                "training_comment": config.saving.comment
            },
            modelspec_architecture=self._architecture.source.modelspec_architecture,
            base_model_version=self._architecture.source.base_model_version,
            config=recipe(config),
            title=config.saving.title,
            author=config.saving.author,
            description=config.saving.description,
            license=config.saving.license,
            tags=config.saving.tags,
            trigger_phrase=", ".join(dict.fromkeys(d.trigger_word for d in config.datasets if d.trigger_word)) or None,
        )  # fmt: skip

    def _dataset_facts(self) -> tuple[DatasetFacts, ...]:
        config, plan = self._config, self._plan
        facts = []
        for number, dataset in enumerate(config.datasets):
            mine = [sample for sample in plan.samples if sample.dataset == number]
            buckets: Counter[tuple[int, int]] = Counter()
            for sample in mine:
                buckets[sample.fit.bucket] += sample.repeats
            facts.append(
                DatasetFacts(
                    folder=Path(dataset.path).name,
                    images=len({sample.item.path for sample in mine}),
                    repeats=dataset.num_repeats,
                    resolution=resolution_of(config.batching.buckets, self._architecture.spec),
                    batch_size=plan.batch_size,
                    tag_counts=self._tag_counts[number],
                    trigger_word=dataset.trigger_word or None,
                    is_regularisation=dataset.is_regularisation,
                    flip=dataset.augmentation.flip,
                    colour=dataset.augmentation.colour,
                    random_crop=dataset.augmentation.random_crop,
                    shuffle_captions=dataset.captions.shuffle,
                    keep_tokens=dataset.captions.keep_tokens,
                    buckets=buckets,
                    bucket_no_upscale=config.batching.buckets.mode == "no_upscale",
                )
            )
        return tuple(facts)

    def _hash_files(self) -> tuple[FileFacts, FileFacts | None]:
        """Names and hashes of the base model, once for a process: a checkpoint of 7 GB takes some seconds."""

        def facts(title: str, file: str | None) -> FileFacts:
            if file is None:
                return FileFacts(title)
            return FileFacts(title, legacy_hash=auto_v1(Path(file)), sha256=file_sha256(Path(file)))

        source = self._architecture.source
        vae = None if source.vae_title is None else facts(source.vae_title, source.vae_file)
        return facts(source.title, source.file), vae


def objective_keys(config: TrainConfig) -> dict[str, object]:
    """Noise and loss under kohya's names; what is switched off says None, as there. The whole recipe lies beside it."""
    objective = config.objective
    levels, perturbation = objective.multires_noise_iterations, objective.ip_noise_gamma
    has_threshold = objective.loss_type in LOSSES_WITH_THRESHOLD
    return {
        "min_snr_gamma": objective.min_snr_gamma,
        "prior_loss_weight": objective.prior_loss_weight,
        "debiased_estimation": objective.debiased_estimation,
        "zero_terminal_snr": config.model.zero_terminal_snr,
        "noise_offset": objective.noise_offset or None,
        "noise_offset_random_strength": objective.noise_offset_random_strength,
        "adaptive_noise_scale": objective.adaptive_noise_scale or None,
        "multires_noise_iterations": levels or None,
        "multires_noise_discount": objective.multires_noise_discount if levels else None,
        "ip_noise_gamma": perturbation or None,
        "ip_noise_gamma_random_strength": objective.ip_noise_gamma_random_strength,
        "loss_type": {"mse": "l2", "mae": "l1"}.get(objective.loss_type, objective.loss_type),
        "huber_schedule": objective.huber_schedule if has_threshold else None,
        "huber_c": objective.huber_c if has_threshold else None,
        "huber_scale": objective.huber_scale if has_threshold else None,
    }
