"""From a config to a finished run: makes the objects, hands them to the loop, and says how it ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from loratory.config.architectures import get_spec
from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.identify import identify, locate
from loratory.config.load import dump
from loratory.config.network_preview import check_blocks, model_layers, preview
from loratory.config.rules import check
from loratory.config.rules_memory import check_swap
from loratory.config.train import TrainConfig
from loratory.console import Show
from loratory.data.masks import Masks
from loratory.data.scan import ContentHashes, Scan
from loratory.data.split import Apart
from loratory.errors import UserError
from loratory.hub.download import resolve_model
from loratory.networks.files import check_names
from loratory.networks.side import side_file
from loratory.planner import Plan, plan
from loratory.runs import RunFolder
from loratory.training import measuring
from loratory.training.assemble import Parts, apart_of, assembled, report_scans, scan_datasets, without_hiding_a_failure
from loratory.training.batches import Batch
from loratory.training.devices import check_precision, choose_device
from loratory.training.failures import code_of
from loratory.training.loop import StopFlag, Stopped, Training, train
from loratory.training.memory import check_memory
from loratory.training.optimizers import check_available
from loratory.training.pipeline import Pipeline, make_pipelines
from loratory.training.prompts import Prompts
from loratory.training.resume import Start, open_run
from loratory.training.resume import run_path as path_of
from loratory.training.trackers import check_available as check_trackers

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a run ended, and where its results are."""

    state: Literal["finished", "stopped"]
    run: RunFolder
    steps: int
    total_steps: int


def run_training(
    config: TrainConfig,
    show: Show,
    stop: StopFlag,
    *,
    run_path: Path | None = None,
    weights_only: bool = False,
    from_step: int | None = None,
    prepare_training: Callable[[Training], None] = lambda training: None,
) -> Outcome:
    """Train, or go on with a run that exists. Raises UserError for everything a user can mend.

    A run that is named by its folder (`run_path`) is taken at once, so that whoever waits for it sees that it begins,
    or why it cannot; a new one gets its folder when all that is quick to check is well.

    `prepare_training` may look at or change the objects before the first step; for measurements and tests.
    """
    if run_path is None:
        found = looked_at(config, show, is_new=not path_of(config).exists())
        start = open_run(config, None, weights_only=weights_only, from_step=from_step)
        with taken(start.run):
            return _run(start, found, show, stop, prepare_training)
    start = open_run(config, run_path, weights_only=weights_only, from_step=from_step)
    with taken(start.run):
        start.run.write_status("starting")
        found = looked_at(config, show, is_new=start.run.newest_checkpoint() is None)
        return _run(start, found, show, stop, prepare_training)


@dataclass(frozen=True)
class Found:
    """What is known of a job before anything heavy is loaded."""

    config: TrainConfig
    spec: ArchitectureSpec
    device: torch.device
    prompts: Prompts
    scans: list[Scan]
    hashes: list[ContentHashes]
    masks: list[Masks | None]
    apart: Apart | None
    draft: Plan
    pipelines: dict[int, Pipeline]


def looked_at(config: TrainConfig, show: Show, *, is_new: bool) -> Found:
    """Look at the device, the model's headers, the rules and the pictures. Raises UserError for what will not do."""
    device = choose_device(config.runtime.device)
    check_precision(config, device)
    architecture_name = identify(config.model, resolve_model)
    spec = get_spec(architecture_name)
    check_rules(config, spec, show)
    check_memory(config, device)
    check_available(config.optimizer)
    check_trackers(config.logging)
    check_network(config, spec, is_new=is_new)
    prompts = Prompts(config, spec)
    scans, hashes, masks = scan_datasets(config, show)
    apart = apart_of(config, scans, hashes, show)
    scans = scans if apart is None else apart.training
    draft = plan(config, spec, scans)
    return Found(config, spec, device, prompts, scans, hashes, masks, apart, draft, make_pipelines(config, draft))


@contextmanager
def taken(run: RunFolder) -> Iterator[None]:
    """Within the block the run is ours, what is logged goes to its log, and a failure is written down in it."""
    with run.lock(), log_file(run):
        try:
            yield
        except BaseException as error:
            say_how_it_ended(run, error)
            raise


def _run(
    start: Start, found: Found, show: Show, stop: StopFlag, prepare_training: Callable[[Training], None]
) -> Outcome:
    """The run itself. Needs its lock."""
    run, config, draft = start.run, found.config, found.draft
    with ExitStack() as stack:
        report_scans(found.scans, found.masks, found.apart)
        for note in draft.notes:
            log.info("%s", note)
        try:
            run.write_status("starting", total_steps=draft.total_steps)
            start.begin(dump(config))
            parts = Parts(
                config, found.spec, start, show, stop, found.scans, found.hashes, found.masks, found.pipelines, draft,
                found.prompts, found.device, found.apart,
            )  # fmt: skip
            training, batches = stack.enter_context(assembled(parts))
            prepare_training(training)
            state = _train(training, batches, config)
        except Stopped:
            run.write_status("stopped", step=start.step, total_steps=draft.total_steps)
            run.emit("stopped", step=start.step)
            return Outcome("stopped", run, start.step, draft.total_steps)
        done = training.steps_done
        early = training.validation.reason if state == "finished" and done < training.plan.total_steps else ""
        if early:
            log.info("The run ends early: %s.", early)
        run.write_status(state, step=done, total_steps=training.plan.total_steps, message=early or None)
        run.emit(state, step=done, reason=early, seconds=training.meter.spent())
        return Outcome(state, run, done, training.plan.total_steps)


def _train(training: Training, batches: Iterator[Batch], config: TrainConfig) -> Literal["finished", "stopped"]:
    total = training.plan.total_steps
    if training.first_step >= total:
        log.info("All %d steps are done already.", total)
    elif training.validation.reason:
        log.info("The run has ended early: %s.", training.validation.reason)
    if training.first_step == 0 and config.sampling.before_first_step:
        training.sample(0)
    training.run.write_status("training", step=training.first_step, total_steps=total)
    training.run.emit("training", step=training.first_step, total_steps=total)
    measuring.begin(training.device)
    state = train(training, batches)
    if state == "finished":
        measuring.remember(training)
    return state


@contextmanager
def log_file(run: RunFolder) -> Iterator[None]:
    """Within the block everything that is logged also goes to the run's log.txt."""
    handler = run.log_handler()
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()


def say_how_it_ended(run: RunFolder, error: BaseException) -> None:
    """Write a failure into the run's folder: the sentence in status and events, the traceback in the log."""
    if isinstance(error, KeyboardInterrupt):
        without_hiding_a_failure(lambda: run.write_status("stopped", message="left at once, without saving"))
        without_hiding_a_failure(lambda: run.emit("stopped", message="left at once, without saving"))
        return
    kind, code = type(error).__name__, code_of(error)
    # Whoever started the run says on the terminal why it ended.
    log.error("The run failed: %s", error, exc_info=error, extra={"only_in_files": True})
    described = {"kind": kind, "code": code, "message": str(error)}
    without_hiding_a_failure(lambda: run.write_status("failed", message=str(error), error=described))
    without_hiding_a_failure(lambda: run.emit("failed", error=kind, code=code, message=str(error)))


def check_rules(config: TrainConfig, spec: ArchitectureSpec, show: Show) -> None:
    """Show warnings; raise UserError for errors."""
    problems = check(config, spec)
    errors = [str(problem) for problem in problems if problem.level == "error"]
    for problem in problems:
        if problem.level == "warning":
            show.line(f"Warning: {problem}", style="yellow")
    if errors:
        raise UserError("The job cannot run: " + "; ".join(errors) + ".")


def check_network(config: TrainConfig, spec: ArchitectureSpec, *, is_new: bool) -> None:
    """Can the network be made, and do the LoRA files that the job names fit? From headers alone.

    Raises UserError if not. A single file's layers may be named in other ways: there, loading it will tell.
    """
    model = config.model
    local = locate(
        model.path, resolve_model, "model.path", revision=model.revision, allow_patterns=["model_index.json"]
    )
    if local.is_file():
        return
    layers = model_layers(spec, local)
    if not config.network.shape_from_start:
        check_blocks(config, spec, layers, preview(spec, layers, config.network))
    check_swap(config, spec, layers)
    shapes = {layer.path: layer.shape for layer in layers}
    files = [merge.path for merge in model.merge]
    files += [str(side_file(side, resolve_model)) for side in model.side_adapters]
    if is_new and config.network.start_from is not None:  # a run that goes on has its weights in its checkpoint
        files.append(config.network.start_from)
    for path in files:
        check_names(Path(path), spec, shapes, allow_pickle=model.allow_pickle)
