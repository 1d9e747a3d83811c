"""Which pictures are kept back for validation: a function of what their files hold, and of nothing else.

Two files with the same bytes are always on the same side, whatever they are called and in whichever dataset they lie.
Adding pictures moves no other one, and a resume finds the same sides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from pathlib import Path

from loratory.config.dataset import AugmentationConfig, DatasetConfig
from loratory.config.masks import MasksConfig
from loratory.config.train import TrainConfig
from loratory.config.validation import ValidationConfig
from loratory.data.scan import ContentHashes, Item, Progress, Scan
from loratory.errors import UserError

_SHOWN = 3


@dataclass(frozen=True)
class Apart:
    """Two sides that have no picture in common."""

    training: list[Scan]
    """One for each dataset of the job, without what is kept back."""
    held_out: list[Scan]
    """What is measured: one for each dataset of `config`, each picture once."""
    hashes: list[ContentHashes]
    """Of `held_out`."""
    config: TrainConfig
    """The job with the datasets of `held_out`, read without anything random."""
    numbers: list[int | None]
    """Which dataset of the job each of `held_out` comes from; None for a folder of its own."""
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def place(content: str, seed: int) -> float:
    """A picture's place in 0..1 by the hash of its content: the split takes those below the share."""
    digest = hashlib.blake2b(f"{seed}/validation/{content}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") / 2**64


def set_apart(
    config: TrainConfig,
    scans: Sequence[Scan],
    hashes: Sequence[ContentHashes],
    folder: tuple[Scan, ContentHashes] | None,
    progress: Progress | None = None,
) -> Apart:
    """Keep pictures back for validation: a share of the datasets', or those of `folder`.

    Every file that is not in the index of hashes is read once. Regularisation sets give no picture; a copy of one that
    is kept back is left out there, too. Raises UserError when nothing would be left on one side.
    """
    contents = _contents(scans, hashes, progress)
    normal = [number for number, dataset in enumerate(config.datasets) if not dataset.is_regularisation]
    if folder is not None:
        return _with_folder(config, scans, contents, folder)
    validation = config.validation
    candidates = {content for number in normal for content in contents[number]}
    held_out = {content for content in candidates if place(content, validation.seed) < validation.split}
    _check_both_sides(validation, len(candidates), len(held_out))
    measured, notes = _measured(validation, held_out)
    training = [_without(scan, its, held_out) for scan, its in zip(scans, contents, strict=True)]
    copies = sum(len(scan.items) - len(left.items) for scan, left in zip(scans, training, strict=True)) - len(held_out)
    if copies:
        notes.append(f"{copies} more files hold the same pictures as those that are kept back, and are left out, too.")
    found: set[str] = set()
    chosen = [_chosen(scans[number], contents[number], measured, found) for number in normal]
    return Apart(
        training=training,
        held_out=chosen,
        hashes=[hashes[number] for number in normal],
        config=plain(config, [config.datasets[number] for number in normal]),
        numbers=[*normal],
        notes=[f"{len(held_out)} of {len(candidates)} pictures are kept back for validation.", *notes],
    )


def _with_folder(
    config: TrainConfig,
    scans: Sequence[Scan],
    contents: Sequence[Sequence[str]],
    folder: tuple[Scan, ContentHashes],
) -> Apart:
    scan, hashes = folder
    trained = {content for its in contents for content in its}
    (theirs,) = _contents([scan], [hashes], None)
    unseen = set(theirs) - trained
    if not unseen:
        raise UserError(
            f"validation.path: all {len(set(theirs))} pictures in {scan.root} are among those that are trained on; put "
            "others there."
        )
    both = [item.path for item, content in zip(scan.items, theirs, strict=True) if content in trained]
    warnings = []
    if both:
        more = f" and {len(both) - _SHOWN} more" if len(both) > _SHOWN else ""
        warnings = [
            f"Pictures in {scan.root} are trained on, too, and are not used for validation: "
            f"{', '.join(both[:_SHOWN])}{more}."
        ]
    measured, notes = _measured(config.validation, unseen)
    return Apart(
        training=list(scans),
        held_out=[_chosen(scan, theirs, measured, set())],
        hashes=[hashes],
        config=plain(config, [read_like(config).model_copy(update={"path": str(scan.root), "masks": MasksConfig()})]),
        numbers=[None],
        notes=[f"{len(unseen)} pictures for validation in {scan.root}.", *notes],
        warnings=warnings,
    )


def _contents(scans: Sequence[Scan], hashes: Sequence[ContentHashes], progress: Progress | None) -> list[list[str]]:
    """The content hash of each item of each scan."""
    total, done = sum(len(scan.items) for scan in scans), 0
    found: list[list[str]] = []
    for scan, known in zip(scans, hashes, strict=True):
        its = []
        for item in scan.items:
            its.append(known.of(item))
            done += 1
            if progress is not None:
                progress(done, total)
        found.append(its)
        known.save()
    return found


def _check_both_sides(validation: ValidationConfig, pictures: int, held_out: int) -> None:
    if pictures == 0:
        raise UserError("validation.split: there are only regularisation sets, from which nothing is kept back.")
    if held_out == 0:
        raise UserError(
            f"validation.split: a share of {validation.split:g} keeps none of {pictures} pictures back; set it higher, "
            "take another validation.seed, or give a folder as validation.path."
        )
    if held_out == pictures:
        raise UserError(
            f"validation.split: a share of {validation.split:g} keeps all {pictures} pictures back, so that none is "
            "left to train on; set it lower, or take another validation.seed."
        )


def _measured(validation: ValidationConfig, held_out: AbstractSet[str]) -> tuple[AbstractSet[str], list[str]]:
    """Those with the lowest places, so that new pictures push few others out."""
    limit = validation.max_pictures
    if limit is None or len(held_out) <= limit:
        return held_out, []
    kept = sorted(held_out, key=lambda content: (place(content, validation.seed), content))[:limit]
    return set(kept), [f"{limit} of them are measured (validation.max_pictures)."]


def _without(scan: Scan, contents: Sequence[str], held_out: AbstractSet[str]) -> Scan:
    pairs = zip(scan.items, contents, strict=True)
    return replace(scan, items=tuple(item for item, content in pairs if content not in held_out))


def _chosen(scan: Scan, contents: Sequence[str], wanted: AbstractSet[str], found: set[str]) -> Scan:
    """The first file of each wanted picture that is not in `found` yet, each used once in an epoch."""
    items: list[Item] = []
    for item, content in zip(scan.items, contents, strict=True):
        if content in wanted and content not in found:
            found.add(content)
            items.append(replace(item, repeats=1))
    return replace(scan, items=tuple(items))


def plain(config: TrainConfig, datasets: Sequence[DatasetConfig]) -> TrainConfig:
    """The job on these datasets with nothing random: whole captions in their order, pictures cut from the centre.

    Of several sizes the first is used. Wildcards stay, because a caption is no text without them; they are drawn from
    the validation's seed.
    """
    quiet = {
        "shuffle": False,
        "dropout_rate": 0.0,
        "dropout_every_n_epochs": None,
        "tag_dropout_rate": 0.0,
        "token_warmup_steps": 0.0,
        "random_triggers": (),
        "variants": 1,
    }
    made = [
        dataset.model_copy(
            update={
                "captions": dataset.captions.model_copy(update=quiet),
                "augmentation": AugmentationConfig(),
                "num_repeats": 1,
                "resolutions": dataset.resolutions[:1],
                "is_regularisation": False,
            }
        )
        for dataset in datasets
    ]
    return config.model_copy(update={"seed": config.validation.seed, "datasets": tuple(made)})


def own_folder(config: TrainConfig) -> tuple[Path, tuple[str, ...]] | None:
    """Where the pictures for validation lie, if they have a folder of their own, and the endings of their captions."""
    path = config.validation.path
    return None if path is None else (Path(path), read_like(config).captions.extensions)


def read_like(config: TrainConfig) -> DatasetConfig:
    """The dataset whose settings pictures of an own folder are read with: the first that is trained for itself."""
    normal = [dataset for dataset in config.datasets if not dataset.is_regularisation]
    return [*normal, *config.datasets][0]
