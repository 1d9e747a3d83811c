"""Make the objects of a training: data, model, caches, network, optimizer, and what was saved of them before."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.targets import trained_text_encoders
from loratory.config.text import in_effect
from loratory.config.train import TrainConfig
from loratory.console import Show
from loratory.data.scan import ContentHashes, Scan, scan
from loratory.errors import UserError
from loratory.files import DiskFull
from loratory.hub.download import resolve_model
from loratory.interop.prompts import Prompt
from loratory.models import load
from loratory.models.base import Architecture
from loratory.networks.base import Network, from_state, inject
from loratory.networks.files import keep_state, kept_state, merge_into, read_state, start_from
from loratory.networks.registry import type_name
from loratory.planner import Plan, plan
from loratory.runs import home_folder
from loratory.training import cache, checkpoint
from loratory.training.alpha_schedule import AlphaScheduler
from loratory.training.batches import Batch, BatchMaker, prefetch
from loratory.training.devices import DTYPES, prepare
from loratory.training.ema import Ema
from loratory.training.loop import StopFlag, Stopped, Training
from loratory.training.objective import complaints, time_draw
from loratory.training.optimizers import make_optimizer
from loratory.training.resume import Start
from loratory.training.saving import Sampler, Saver
from loratory.training.schedules import warmup_steps
from loratory.training.signs import SignAgreement
from loratory.training.tensor_cache import TensorCache, key_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """What is known before anything heavy is loaded."""

    config: TrainConfig
    spec: ArchitectureSpec
    start: Start
    show: Show
    stop: StopFlag
    scans: list[Scan]
    hashes: list[ContentHashes]
    draft: Plan
    prompts: list[Prompt]
    device: torch.device


def scan_datasets(config: TrainConfig, show: Show) -> tuple[list[Scan], list[ContentHashes]]:
    """Look at every dataset folder.

    Raises UserError for a folder that cannot be read or holds no picture.
    """
    scans, hashes = [], []
    for dataset in config.datasets:
        root = Path(dataset.path)
        extensions = dataset.captions.extensions
        name = key_of(str(root.resolve()), extensions)[:12]
        index = home_folder("state") / "datasets" / f"{name}.json"
        with show.progress(f"looking at {root.name}", 1) as bar:
            found = scan(root, extensions, index, bar.advance_to)
        scans.append(found)
        hashes.append(ContentHashes.beside(index, root))
    return scans, hashes


def report_scans(scans: Sequence[Scan]) -> None:
    """Say how many pictures there are, and name those that cannot be used."""
    for found in scans:
        for problem in found.problems:
            log.warning("Left out: %s", problem.message)
        log.info("%d pictures in %s", len(found.items), found.root)


def cache_folder(config: TrainConfig, kind: str, encoder: str) -> Path:
    """Shards of one encoder stand together, so that pruning and looking up need not read others'."""
    folder = Path(config.caching.folder) if config.caching.folder else home_folder("cache")
    return folder / kind / encoder[:16]


def encode_pictures(parts: Parts, architecture: Architecture) -> tuple[cache.Pictures, Plan]:
    """Fill the latent cache, and plan again without the pictures that turned out to be broken."""
    config, show = parts.config, parts.show
    vae = cache.vae_fingerprint(architecture)
    mode = config.caching.latents
    store = None if mode == "off" else TensorCache(cache_folder(config, "latents", vae) if mode == "disk" else None)
    pictures = cache.Pictures(parts.scans, parts.hashes, store, vae)
    if store is None:
        with show.progress("checking pictures", len(parts.draft.samples)) as bar:
            broken = cache.find_broken(parts.draft.samples, pictures, stoppable(parts, bar))
    else:
        wanted = cache.missing_latents(pictures, store, parts.draft.samples, config)
        with show.progress("encoding pictures", len(wanted)) as bar, kept_when_stopped(store):
            broken = cache.encode_pictures(
                pictures, store, wanted, architecture, config.caching.batch_size, stoppable(parts, bar)
            )
    for hashes in parts.hashes:
        hashes.save()
    if not broken:
        return pictures, parts.draft
    for each in broken:
        log.warning("Left out: %s", each.message)
        parts.start.run.emit("picture_left_out", dataset=each.dataset, path=each.path, message=each.message)
    return pictures, plan(config, parts.spec, parts.scans, {(each.dataset, each.path) for each in broken})


def encode_texts(parts: Parts, architecture: Architecture, final: Plan) -> cache.Texts:
    """Read all captions and, unless text encoders are trained, fill the cache of their embeddings."""
    config = parts.config
    texts = cache.Texts(config, parts.scans, final.samples)
    mode = config.caching.text_embeddings
    if mode == "off" or trained_text_encoders(parts.spec, config.network):
        return texts
    encoders = cache.text_fingerprint(architecture)
    store = TensorCache(cache_folder(config, "texts", encoders) if mode == "disk" else None)
    texts.use_cache(store, encoders)
    with parts.show.progress("encoding captions", len(texts.all())) as bar, kept_when_stopped(store):
        cache.encode_texts(texts, store, architecture, config.caching.batch_size, stoppable(parts, bar))
    return texts


def stoppable(parts: Parts, bar: Show) -> cache.Progress:
    """Moves the bar, and raises Stopped once somebody has asked to stop: filling a cache may take hours."""
    run = parts.start.run

    def report(done: int, total: int) -> None:
        bar.advance_to(done, total)
        for request in run.pending_requests():
            if request.kind == "stop":  # the others are answered between steps
                parts.stop.ask("a stop request")
                run.answer(request, step=parts.start.step)
        if parts.stop:
            raise Stopped

    return report


@contextmanager
def kept_when_stopped(store: TensorCache) -> Iterator[None]:
    """What is encoded already is there when the run goes on."""
    try:
        yield
    except Stopped:
        store.flush()
        raise


def latent_layout(architecture: Architecture, size_multiple: int) -> tuple[int, int]:
    """Channels of a latent, and pixels per latent along one side; asked of the autoencoder itself."""
    side = 8 * size_multiple
    blank = torch.zeros(1, 3, side, side, device=next(architecture.components.vae.parameters()).device)
    mean, _ = architecture.encode_images(blank)
    return mean.shape[1], side // mean.shape[3]


def make_network(parts: Parts, architecture: Architecture) -> Network:
    """The network of the job: as its settings say, or with the shape and weights of a LoRA file.

    Such a file's content is kept in the run, so that the run can go on without it. Raises UserError for a file that
    does not fit, or is of another network type.
    """
    config, kept = parts.config.network, parts.start.run.shape_path
    if not config.shape_from_start:
        return inject(architecture, config, parts.config.seed)
    assert config.start_from is not None, "a rule has checked it"
    # Only a checkpoint's weights belong to what was kept; before the first one the file may have been changed.
    begins = parts.start.checkpoint is None
    state = read_state(Path(config.start_from), architecture) if begins else kept_state(kept)
    strangers = {type_name(layer) for layer in state.values()} - {config.type, "norm", "full"}
    if strangers:
        raise UserError(
            f"{config.start_from} holds {', '.join(sorted(strangers))}, the job wants {config.type}; set network.type."
        )
    network = from_state(architecture, state, config)
    if begins:
        keep_state(state, kept)
    return network


def checkpoint_gradients(architecture: Architecture, config: TrainConfig) -> None:
    """Recompute activations in the backward pass instead of keeping them."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    architecture.components.denoiser.enable_gradient_checkpointing()  # type: ignore[operator]
    for name in trained_text_encoders(architecture.spec, config.network):
        encoder = architecture.components.text_encoders[name]
        encoder.gradient_checkpointing_enable()  # type: ignore[operator]
        for module in encoder.modules():
            # transformers looks at the training flag of each block; in the modules below it would switch dropout on
            if isinstance(module, GradientCheckpointingLayer):
                module.training = True


def check_text_encoders(architecture: Architecture, config: TrainConfig) -> None:
    """Raise UserError where a text encoder shall be trained that the model was found to do without."""
    absent = set(trained_text_encoders(architecture.spec, config.network)) - set(architecture.components.text_encoders)
    if absent:
        raise UserError(
            f"network.train_large_text_encoders: {config.model.path} has no {', '.join(sorted(absent))} that could be "
            "trained; switch it off, or give one in model.parts."
        )


@contextmanager
def assembled(parts: Parts) -> Iterator[tuple[Training, Iterator[Batch]]]:
    """The training and its batches, ready to go from where the run stands; everything is closed behind the block."""
    config, start, run = parts.config, parts.start, parts.start.run
    prepare(config, parts.device)
    with parts.show.progress("loading the model", 1):
        architecture = load(
            config.model, precision=DTYPES[config.memory.precision], device=parts.device, resolve=resolve_model
        )
    check_text_encoders(architecture, config)
    if hasattr(architecture, "text"):
        architecture.text = in_effect(config.text, parts.spec)
    merge_into(architecture, config.model.merge)
    run.write_status("caching")
    pictures, final = encode_pictures(parts, architecture)
    texts = encode_texts(parts, architecture, final)
    start.check_dataset(final.fingerprint())
    network = make_network(parts, architecture).train()
    if config.memory.gradient_checkpointing:
        checkpoint_gradients(architecture, config)
    if hasattr(architecture, "guidance"):
        architecture.guidance = config.objective.guidance_scale
    for complaint in complaints(architecture.noise_schedule, config.objective):
        log.warning("%s", complaint)
    layout = latent_layout(architecture, parts.spec.size_multiple)
    training = make_training(parts, final, architecture, network, texts)
    maker = BatchMaker(config, final, pictures, texts, time_draw(parts.spec, config.objective), *layout)
    made = maker.batches(training.first_step, final.total_steps, pin=parts.device.type == "cuda")
    batches = prefetch(made, config.runtime.prefetch)
    try:
        yield training, batches
        training.metrics.close()
    except BaseException:
        without_hiding_a_failure(training.metrics.close)
        raise
    finally:
        batches.close()
        training.save.close()
        network.detach()


def without_hiding_a_failure(write: Callable[[], object]) -> None:
    """Write down something while a failure is on its way out; a full disk on top of it is only logged."""
    try:
        write()
    except DiskFull as full:
        log.error("%s", full)


def make_training(
    parts: Parts, final: Plan, architecture: Architecture, network: Network, texts: cache.Texts
) -> Training:
    """Network, optimizer and counters, fresh or from the checkpoint."""
    config, start = parts.config, parts.start
    encoders: Sequence[str] = parts.spec.text_encoders
    optimizer = make_optimizer(
        config.optimizer, network.parameters_by_component(), encoders, network.faster_parameters()
    )
    if warmup_steps(config.schedule, final.total_steps) >= final.total_steps:
        log.warning("The warm-up is as long as the run of %d steps: the full rate is never reached.", final.total_steps)
    scaler = torch.amp.GradScaler(parts.device.type, enabled=config.memory.precision == "fp16")
    sampler = Sampler(start.run, architecture, config, parts.prompts, parts.show)
    saver = Saver(config, architecture, start.run, final, texts.tag_counts, sampler)
    ema = Ema(config.ema, dict(network.named_parameters()))
    # Before weights are loaded: those of a file with another alpha are made to do the same with the one in force.
    alpha = AlphaScheduler(config.alpha_schedule, network, optimizer, ema)
    signs = SignAgreement(list(network.parameters()))
    facts = start.facts
    if start.checkpoint is not None:
        folder = start.checkpoint.path
        checkpoint.load_network(folder, network)
        alpha.load(facts.get("alpha_scheduler"))  # also with the weights alone: their strength belongs to them
        ema.begin()
        if not start.weights_only:
            checkpoint.load_optimizer(folder, optimizer, facts)
            checkpoint.load_ema(folder, ema)
            signs.load(facts["signs"])
            if scaler.is_enabled() and facts.get("scaler"):
                scaler.load_state_dict(facts["scaler"])
    else:
        if config.network.start_from is not None and not config.network.shape_from_start:
            start_from(network, architecture, Path(config.network.start_from))
        ema.begin()
    if alpha.active:
        log.info("%s", alpha.describe())
    metrics = start.run.metrics()
    metrics.truncate_after(start.step)
    return Training(
        config=config,
        plan=final,
        run=start.run,
        architecture=architecture,
        network=network,
        optimizer=optimizer,
        scaler=scaler,
        alpha=alpha,
        signs=signs,
        ema=ema,
        device=parts.device,
        metrics=metrics,
        show=parts.show,
        stop=parts.stop,
        save=saver,
        sample=sampler,
        answer=saver.answer,
        first_step=start.step,
        skipped_steps=facts.get("skipped_steps", 0),
        seconds_before=facts.get("seconds_trained", 0.0),
    )
