"""Make the objects of a training: data, model, caches, network, optimizer, and what was saved of them before."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import torch

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.rules_memory import check_swap
from loratory.config.targets import rate_factors, trained_text_encoders
from loratory.config.text import in_effect
from loratory.config.train import TrainConfig
from loratory.console import Show
from loratory.data.indexes import index_path
from loratory.data.masks import Masks
from loratory.data.scan import ContentHashes, Scan, scan
from loratory.data.split import Apart, own_folder, set_apart
from loratory.errors import UserError
from loratory.files import DiskFull
from loratory.hub.download import resolve_model
from loratory.models.base import Architecture
from loratory.networks.base import Network, from_state, inject, layers_of
from loratory.networks.files import keep_state, kept_state, read_state, start_from
from loratory.networks.registry import type_name
from loratory.networks.side import SideAdapters, attach_sides
from loratory.planner import Plan, plan
from loratory.runs import home_folder
from loratory.training import cache, checkpoint
from loratory.training.alpha_schedule import AlphaScheduler
from loratory.training.batches import Batch, BatchMaker, prefetch
from loratory.training.checkpointing import checkpoint_gradients
from loratory.training.devices import DTYPES, prepare
from loratory.training.ema import Ema
from loratory.training.loop import StopFlag, Stopped, Training
from loratory.training.masks import LatentMasks, find_masks
from loratory.training.memory import (
    at_work,
    change_places,
    compile_blocks,
    idle_parts,
    load_model,
    text_encoders_at_work,
    unload_text_encoders,
)
from loratory.training.meter import Meter
from loratory.training.objective import complaints, even_times, time_draw
from loratory.training.optimizers import FusedSteps, WorkCopies, make_optimizer
from loratory.training.pipeline import Pipeline
from loratory.training.prompts import Prompts
from loratory.training.recorder import Recorder, make_recorder
from loratory.training.remembered import RememberedPrompts
from loratory.training.resume import Start
from loratory.training.samples import Sampler
from loratory.training.saving import Saver
from loratory.training.schedules import warmup_steps
from loratory.training.signs import SignAgreement
from loratory.training.swapping import bring_denoiser
from loratory.training.tensor_cache import TensorCache
from loratory.training.validation import LOSS, HeldOut, Validator

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
    masks: list[Masks | None]
    pipelines: dict[int, Pipeline]
    draft: Plan
    prompts: Prompts
    device: torch.device
    apart: Apart | None = None
    """What is kept back for validation."""


def scan_datasets(config: TrainConfig, show: Show) -> tuple[list[Scan], list[ContentHashes], list[Masks | None]]:
    """Look at every dataset folder, and at its masks.

    Raises UserError for a folder that cannot be read or holds no picture, and for masks that cannot be used.
    """
    found = [scan_folder(Path(dataset.path), dataset.captions.extensions, show) for dataset in config.datasets]
    hashes = [each for _, each in found]
    scans, masks = find_masks(config, [scan for scan, _ in found], hashes, show)
    return scans, hashes, masks


def scan_folder(root: Path, extensions: Sequence[str], show: Show) -> tuple[Scan, ContentHashes]:
    """Look at one folder of pictures. Raises UserError as `scan_datasets`."""
    index = index_path(root, extensions)
    with show.progress(f"looking at {root.name}", 1) as bar:
        found = scan(root, extensions, index, bar.advance_to)
    return found, ContentHashes.beside(index, root)


def apart_of(config: TrainConfig, scans: Sequence[Scan], hashes: Sequence[ContentHashes], show: Show) -> Apart | None:
    """Keep pictures back, if the job asks for it. Raises UserError when nothing would be left on one side."""
    if not config.validation.is_on:
        return None
    own = own_folder(config)
    folder = None if own is None else scan_folder(*own, show)
    with show.progress("reading what the pictures hold", sum(len(found.items) for found in scans)) as bar:
        return set_apart(config, scans, hashes, folder, bar.advance_to)


def report_scans(scans: Sequence[Scan], masks: Sequence[Masks | None], apart: Apart | None = None) -> None:
    """Say how many pictures there are, and name those that cannot be used and those without a mask."""
    for note in apart.notes if apart else ():
        log.info("%s", note)
    for warning in apart.warnings if apart else ():
        log.warning("%s", warning)
    for found, its_masks in zip(scans, masks, strict=True):
        for problem in found.problems:
            log.warning("Left out: %s", problem.message)
        log.info("%d pictures in %s", len(found.items), found.root)
        if its_masks is not None and (sentence := its_masks.report()):
            log.warning("%s", sentence)


def cache_folder(config: TrainConfig, kind: str, encoder: str) -> Path:
    """Shards of one encoder stand together, so that pruning and looking up need not read others'."""
    folder = Path(config.caching.folder) if config.caching.folder else home_folder("cache")
    return folder / kind / encoder[:16]


def encode_pictures(
    parts: Parts, architecture: Architecture, layout: tuple[int, int]
) -> tuple[cache.Pictures, list[cache.Broken]]:
    """Fill the latent cache. Pictures that turned out to be broken are returned. `layout` is `latent_layout`'s."""
    config, show = parts.config, parts.show
    vae = cache.vae_fingerprint(architecture)
    mode = config.caching.latents
    store = None if mode == "off" else TensorCache(cache_folder(config, "latents", vae) if mode == "disk" else None)
    opaque = [number for number, dataset in enumerate(config.datasets) if dataset.masks.alpha]
    pictures = cache.Pictures(parts.scans, parts.hashes, store, vae, opaque, parts.pipelines)
    if store is None:
        with show.progress("checking pictures", len(parts.draft.samples)) as bar:
            broken = cache.find_broken(parts.draft.samples, pictures, stoppable(parts, bar))
    else:
        wanted = cache.missing_latents(pictures, store, parts.draft.samples, config)
        if any(dataset.augmentation.varies() for dataset in config.datasets):
            size = cache.latent_bytes(wanted, *layout)
            log.info("%d variants of pictures are encoded and kept, about %.1f MB.", len(wanted), size / 1e6)
        at_its_work = at_work([architecture.components.vae] if wanted else [], parts.device)
        with show.progress("encoding pictures", len(wanted)) as bar, kept_when_stopped(store), at_its_work:
            broken = cache.encode_pictures(
                pictures, store, wanted, architecture, config.caching.batch_size, stoppable(parts, bar)
            )
    for hashes in parts.hashes:
        hashes.save()
    return pictures, broken


def read_masks(parts: Parts, pictures: cache.Pictures, factor: int) -> tuple[LatentMasks | None, list[cache.Broken]]:
    """Fill the cache of masks. None without masks; pictures whose masks cannot be read are returned."""
    if not any(parts.masks):
        return None, []
    config, mode = parts.config, parts.config.caching.latents
    store = None if mode == "off" else TensorCache(cache_folder(config, "masks", "grid") if mode == "disk" else None)
    masks = LatentMasks(config, parts.masks, pictures, store, factor)
    with parts.show.progress("reading masks", len(parts.draft.samples)) as bar, kept_when_stopped(store):
        broken = masks.fill(parts.draft.samples, config, stoppable(parts, bar))
    for each in parts.masks:
        if each is not None:
            each.hashes.save()
    return masks, broken


def plan_without(parts: Parts, broken: Sequence[cache.Broken]) -> Plan:
    """The plan without pictures that cannot be read, which are named."""
    left_out = {(each.dataset, each.path): each for each in broken}
    if not left_out:
        return parts.draft
    for each in left_out.values():
        log.warning("Left out: %s", each.message)
        parts.start.run.emit("picture_left_out", dataset=each.dataset, path=each.path, message=each.message)
    return plan(parts.config, parts.spec, parts.scans, left_out)


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
        missing = any(texts.key(text) not in store for text in texts.all())
        with at_work(architecture.components.text_encoders.values() if missing else (), parts.device):
            cache.encode_texts(texts, store, architecture, config.caching.batch_size, stoppable(parts, bar))
    return texts


def remember_prompts(parts: Parts, architecture: Architecture) -> RememberedPrompts | None:
    """Encode the prompts of samples, so that text encoders that no step needs can wait or go; None where they stay."""
    memory, components = parts.config.memory, architecture.components
    idle = components.text_encoders.keys() <= idle_parts(architecture, parts.config).keys()
    if not idle or not (memory.low_vram or memory.unload_text_encoders):
        return None
    encoders = partial(text_encoders_at_work, architecture, parts.config, parts.device)
    remembered = RememberedPrompts(architecture, parts.device, encoders)
    remembered.update(parts.prompts.current)
    if memory.unload_text_encoders:
        unload_text_encoders(architecture)
    return remembered


def encode_held_out(parts: Parts, architecture: Architecture, layout: tuple[int, int]) -> HeldOut | None:
    """The pictures that are kept back, with the caches of all others filled for them."""
    apart = parts.apart
    if apart is None:
        return None
    planned = plan(apart.config, parts.spec, apart.held_out)
    its_masks = [None if number is None else parts.masks[number] for number in apart.numbers]
    mine = replace(
        parts, config=apart.config, scans=apart.held_out, hashes=apart.hashes, masks=its_masks, pipelines={},
        draft=planned,
    )  # fmt: skip
    pictures, broken = encode_pictures(mine, architecture, layout)
    masks, unreadable = read_masks(mine, pictures, layout[1])
    final = plan_without(mine, [*broken, *unreadable])
    texts = encode_texts(mine, architecture, final)
    times = even_times(parts.spec, apart.config.objective, apart.config.validation.timesteps)
    return HeldOut(apart.config, final.samples, apart.hashes, times, pictures, texts, masks)


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
def kept_when_stopped(store: TensorCache | None) -> Iterator[None]:
    """What is encoded already is there when the run goes on."""
    try:
        yield
    except Stopped:
        if store is not None:
            store.flush()
        raise


def latent_layout(architecture: Architecture, size_multiple: int) -> tuple[int, int]:
    """Channels of a latent, and pixels per latent along one side; asked of the autoencoder itself."""
    side = 8 * size_multiple
    components = architecture.components
    place = next(chain(components.vae.parameters(), components.denoiser.parameters())).device
    blank = torch.zeros(1, 3, side, side, device=place)
    mean, _ = architecture.encode_images(blank)
    return mean.shape[1], side // mean.shape[3]


def make_network(parts: Parts, architecture: Architecture) -> Network:
    """The network of the job: as its settings say, or with the shape and weights of a LoRA file.

    Such a file's content is kept in the run, so that the run can go on without it. Raises UserError for a file that
    does not fit, or is of another network type.
    """
    config, kept = parts.config.network, parts.start.run.shape_path
    precision = DTYPES[parts.config.memory.adapter_precision]
    if not config.shape_from_start:
        return inject(architecture, config, parts.config.seed, parts.device).to(precision)
    assert config.start_from is not None, "a rule has checked it"
    # Only a checkpoint's weights belong to what was kept; before the first one the file may have been changed.
    begins = parts.start.checkpoint is None
    state = read_state(Path(config.start_from), architecture) if begins else kept_state(kept)
    strangers = {type_name(layer) for layer in state.values()} - {config.type, "norm", "full"}
    if strangers:
        raise UserError(
            f"{config.start_from} holds {', '.join(sorted(strangers))}, the job wants {config.type}; set network.type."
        )
    network = from_state(architecture, state, config, parts.device)
    if begins:
        keep_state(state, kept)
    return network.to(precision)


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
        architecture = load_model(config, parts.spec, parts.device)
    check_swap(config, parts.spec, layers_of(architecture))
    check_text_encoders(architecture, config)
    if hasattr(architecture, "text"):
        architecture.text = in_effect(config.text, parts.spec)
    if hasattr(architecture, "text_length") and config.text.max_tokens is not None:
        architecture.text_length = config.text.max_tokens
    run.write_status("caching")
    with at_work([architecture.components.vae], parts.device):
        layout = latent_layout(architecture, parts.spec.size_multiple)
    pictures, broken = encode_pictures(parts, architecture, layout)
    masks, unreadable = read_masks(parts, pictures, layout[1])
    final = plan_without(parts, [*broken, *unreadable])
    texts = encode_texts(parts, architecture, final)
    held = encode_held_out(parts, architecture, layout)
    start.check_dataset(final.fingerprint())
    remembered = remember_prompts(parts, architecture)
    change_places(architecture, config, parts.device)
    swap = bring_denoiser(architecture, config, parts.device)
    network = make_network(parts, architecture).train()
    sides = attach_sides(architecture, config.model.side_adapters, resolve_model, parts.device)
    checkpoint_gradients(architecture, config, parts.device)
    if config.memory.compile:
        compile_blocks(architecture)
    if hasattr(architecture, "guidance"):
        objective = config.objective
        architecture.guidance = None if objective.bypass_guidance_embedding else objective.guidance_scale
    for complaint in complaints(architecture.noise_schedule, config.objective):
        log.warning("%s", complaint)
    training = make_training(parts, final, architecture, (network, sides), (texts, held, remembered))
    maker = BatchMaker(config, final, pictures, texts, time_draw(parts.spec, config.objective), *layout, masks)
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
        sides.detach()
        network.detach()
        if swap is not None:
            swap.remove()


def without_hiding_a_failure(write: Callable[[], object]) -> None:
    """Write down something while a failure is on its way out; a full disk on top of it is only logged."""
    try:
        write()
    except DiskFull as full:
        log.error("%s", full)


def make_steps(
    parts: Parts, architecture: Architecture, network: Network
) -> tuple[torch.optim.Optimizer, SignAgreement, WorkCopies, FusedSteps]:
    """The optimizer, and what stands between gradients and its steps."""
    config, spec = parts.config.optimizer, parts.spec
    by_path = rate_factors(spec, layers_of(architecture), network.layers, config.block_rate_factors)
    optimizer = make_optimizer(
        config, network.parameters_by_component(), spec.text_encoders, network.faster_parameters(),
        network.values_of_parameters(by_path),
    )  # fmt: skip
    parameters = list(network.parameters())
    signs = SignAgreement(parameters)
    work = WorkCopies(parameters, parts.config.seed, stochastic=config.stochastic_rounding)
    return optimizer, signs, work, FusedSteps(config, optimizer, parameters, signs, work)


def make_records(parts: Parts, held: HeldOut | None) -> tuple[Validator, Recorder]:
    """What measures kept-back pictures, and what writes numbers down; both go on where the run stands."""
    start = parts.start
    validation = Validator(parts.config.validation, held)
    validation.load(start.facts.get("validation"))
    again = "" if validation.measured_at == start.step else LOSS  # it will be measured, so it must not stand there
    return validation, make_recorder(parts.config, start.run, start.step, again)


def make_scaler(parts: Parts) -> torch.amp.GradScaler:
    """What keeps small gradients in fp16's range, where anything is fp16."""
    memory = parts.config.memory
    return torch.amp.GradScaler(parts.device.type, enabled="fp16" in (memory.precision, memory.adapter_precision))


def make_training(
    parts: Parts, final: Plan, architecture: Architecture,
    networks: tuple[Network, SideAdapters], told: tuple[cache.Texts, HeldOut | None, RememberedPrompts | None],
) -> Training:  # fmt: skip
    """Network, optimizer and counters, fresh or from the checkpoint. `networks`: the trained one and the others."""
    config, start, (network, _), (texts, held, remembered) = parts.config, parts.start, networks, told
    optimizer, signs, work, fused = make_steps(parts, architecture, network)
    if warmup_steps(config.schedule, final.total_steps) >= final.total_steps:
        log.warning("The warm-up is as long as the run of %d steps: the full rate is never reached.", final.total_steps)
    scaler, (validation, recorder) = make_scaler(parts), make_records(parts, held)
    places = (parts.device, remembered)
    sampler = Sampler(start.run, architecture, networks, config, parts.prompts, parts.show, recorder, places)
    saver = Saver(config, architecture, start.run, final, texts.tag_counts, sampler)
    ema = Ema(config.ema, dict(network.named_parameters()))
    # Before weights are loaded: those of a file with another alpha are made to do the same with the one in force.
    alpha = AlphaScheduler(config.alpha_schedule, network, optimizer, ema)
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
            start_from(network, architecture, Path(config.network.start_from), allow_pickle=config.model.allow_pickle)
        ema.begin()
    if alpha.active:
        log.info("%s", alpha.describe())
    return Training(
        config=config,
        plan=final,
        run=start.run,
        architecture=architecture,
        network=network,
        optimizer=optimizer,
        work=work,
        fused=fused,
        scaler=scaler,
        alpha=alpha,
        signs=signs,
        ema=ema,
        device=parts.device,
        meter=Meter(parts.device, is_flow=parts.spec.objective == "flow"),
        metrics=recorder,
        show=parts.show,
        stop=parts.stop,
        save=saver,
        validation=validation,
        sample=sampler,
        answer=saver.answer,
        first_step=start.step,
        skipped_steps=facts.get("skipped_steps", 0),
        seconds_before=facts.get("seconds_trained", 0.0),
    )
