"""The header of a LoRA file: what it was trained from and how, in the keys that other programs read; and its hashes.

kohya's `ss_*` keys and ModelSpec 1.0.1. All values are strings. Nothing of this machine gets in: folders and files are
named without where they lie, and what looks like a token is masked.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

import safetensors.torch
import torch
from torch import Tensor

from loratory import __version__
from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.architectures.header import read_lora_header
from loratory.errors import UserError
from loratory.files import declare_points, write_atomic
from loratory.secrets import redact

declare_points("export")

CLOCK_KEYS = frozenset(
    {
        "ss_session_id",
        "ss_training_started_at",
        "ss_training_finished_at",
        "modelspec.date",
        # Of bytes whose position depends on the length of the other clock keys.
        "sshs_legacy_hash",
    }
)
"""What differs between two runs that are otherwise bit-equal."""

_MODEL_SUFFIXES = {".safetensors", ".ckpt", ".pt", ".pth", ".bin"}
_CHUNK = 1 << 20
_LEGACY_BYTES = slice(0x100000, 0x110000)
_HEADER_LENGTH = struct.Struct("<Q")


# Facts


@dataclass(frozen=True)
class DatasetFacts:
    """One dataset folder of a run."""

    folder: str
    """Only its last part is written."""
    images: int
    repeats: int
    resolution: tuple[int, int]
    batch_size: int
    tag_counts: Mapping[str, int] = field(default_factory=dict)
    trigger_word: str | None = None
    is_regularisation: bool = False
    flip: bool = False
    colour: bool = False
    random_crop: bool = False
    shuffle_captions: bool = False
    keep_tokens: int = 0
    buckets: Mapping[tuple[int, int], int] = field(default_factory=dict)
    """Pictures, repeats included, by (width, height)."""
    bucket_no_upscale: bool = False


@dataclass(frozen=True)
class FileFacts:
    """A base model or autoencoder: its name, and for one local file its hashes."""

    name: str
    legacy_hash: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class TrainingFacts:
    """Plain values of a run, for the header of its files. Steps and epochs are those of the file, not of the plan."""

    name: str
    session_id: str
    started_at: float
    """Unix time in seconds, as `finished_at`."""
    finished_at: float
    seed: int
    step: int
    epoch: int
    max_steps: int
    epochs: int
    steps_per_epoch: int
    rank: int | None
    """None where the network type has none, as for alpha."""
    alpha: float | None
    optimizer: str
    lr_scheduler: str
    learning_rate: float
    denoiser_learning_rate: float | None
    """None when it is not trained; as for the text encoders."""
    text_encoder_learning_rate: float | None
    datasets: tuple[DatasetFacts, ...]
    model: FileFacts
    vae: FileFacts | None = None
    network_module: str | None = None
    """kohya's name of the network type; None for the architecture's plain LoRA."""
    dropout: float = 0.0
    network_arguments: Mapping[str, object] = field(default_factory=dict)
    """kohya's network_args, for example {"conv_dim": 8, "conv_alpha": 4}."""
    gradient_accumulation_steps: int = 1
    gradient_checkpointing: bool = False
    mixed_precision: str = "no"
    cache_latents: bool = False
    warmup_steps: int = 0
    max_grad_norm: float = 0.0
    clip_skip: int | None = None
    prediction_type: str | None = None
    """epsilon or v_prediction; None for flow models."""
    other: Mapping[str, object] = field(default_factory=dict)
    """More of kohya's parameters by name, without `ss_`: min_snr_gamma, noise_offset, discrete_flow_shift, …"""
    title: str | None = None
    author: str | None = None
    description: str | None = None
    license: str | None = None
    tags: tuple[str, ...] = ()
    trigger_phrase: str | None = None
    usage_hint: str | None = None
    config: Mapping[str, object] = field(default_factory=dict)
    """What differs from the defaults, by dotted path; see `config.recipe`."""
    thumbnail: str | None = None
    """A data URL of a small picture."""
    modelspec_architecture: str | None = None
    """Only where one architecture has several, each for a kind of model."""
    base_model_version: str | None = None
    """Likewise kohya's name of the kind of model."""


# Names without places


def last_part(path: str) -> str:
    """The name at the end of a path of any system, whatever this one is."""
    is_windows = "\\" in path or re.match(r"[A-Za-z]:", path) is not None
    return (PureWindowsPath(path) if is_windows else PurePosixPath(path)).name


def public_name(name: str) -> str:
    """A Hub id as it is; of a path only its last part."""
    is_hub_id = re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name) is not None
    if is_hub_id and PurePosixPath(name).suffix.lower() not in _MODEL_SUFFIXES:
        return name
    return last_part(name)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


# Build


def _bucket_info(datasets: tuple[DatasetFacts, ...]) -> dict[str, object]:
    counts: dict[tuple[int, int], int] = {}
    for dataset in datasets:
        for size, count in dataset.buckets.items():
            counts[size] = counts.get(size, 0) + count
    return {
        "buckets": {
            str(number): {"resolution": list(size), "count": count}
            for number, (size, count) in enumerate(sorted(counts.items()))
        }
    }


def _by_folder(datasets: tuple[DatasetFacts, ...]) -> dict[str, DatasetFacts]:
    """Datasets under their folders' last part; a number is added where two share it."""
    named: dict[str, DatasetFacts] = {}
    for dataset in datasets:
        name = base = last_part(dataset.folder)
        number = 2
        while name in named:
            name, number = f"{base} ({number})", number + 1
        named[name] = dataset
    return named


def _tag_frequency(named: Mapping[str, DatasetFacts]) -> dict[str, dict[str, int]]:
    return {name: dict(facts.tag_counts) for name, facts in named.items() if facts.tag_counts}


def _dataset_entry(name: str, facts: DatasetFacts) -> dict[str, object]:
    sizes = [side for size in facts.buckets for side in size]
    return {
        "is_dreambooth": True,
        "batch_size_per_device": facts.batch_size,
        "num_train_images": 0 if facts.is_regularisation else facts.images * facts.repeats,
        "num_reg_images": facts.images * facts.repeats if facts.is_regularisation else 0,
        "resolution": list(facts.resolution),
        "enable_bucket": bool(facts.buckets),
        "min_bucket_reso": min(sizes, default=None),
        "max_bucket_reso": max(sizes, default=None),
        "tag_frequency": _tag_frequency({name: facts}),
        "bucket_info": _bucket_info((facts,)),
        "subsets": [
            {
                "img_count": facts.images,
                "num_repeats": facts.repeats,
                "color_aug": facts.colour,
                "flip_aug": facts.flip,
                "random_crop": facts.random_crop,
                "shuffle_caption": facts.shuffle_captions,
                "keep_tokens": facts.keep_tokens,
                "image_dir": name,
                "class_tokens": facts.trigger_word,
                "is_reg": facts.is_regularisation,
            }
        ],
    }


def _dataset_keys(datasets: tuple[DatasetFacts, ...]) -> dict[str, object]:
    named = _by_folder(datasets)
    trained = {name: facts for name, facts in named.items() if not facts.is_regularisation}
    regular = {name: facts for name, facts in named.items() if facts.is_regularisation}
    sizes = [side for facts in datasets for size in facts.buckets for side in size]

    def folders(chosen: Mapping[str, DatasetFacts]) -> dict[str, dict[str, int]]:
        return {name: {"n_repeats": facts.repeats, "img_count": facts.images} for name, facts in chosen.items()}

    return {
        "num_train_images": sum(facts.images * facts.repeats for facts in trained.values()),
        "num_reg_images": sum(facts.images * facts.repeats for facts in regular.values()),
        "batch_size_per_device": max((facts.batch_size for facts in datasets), default=None),
        "resolution": next((facts.resolution for facts in trained.values()), None),
        "color_aug": any(facts.colour for facts in datasets),
        "flip_aug": any(facts.flip for facts in datasets),
        "random_crop": any(facts.random_crop for facts in datasets),
        "shuffle_caption": any(facts.shuffle_captions for facts in datasets),
        "keep_tokens": max((facts.keep_tokens for facts in datasets), default=0),
        "enable_bucket": bool(sizes),
        "bucket_no_upscale": any(facts.bucket_no_upscale for facts in datasets),
        "min_bucket_reso": min(sizes, default=None),
        "max_bucket_reso": max(sizes, default=None),
        "tag_frequency": _json(_tag_frequency(named)),
        "dataset_dirs": _json(folders(trained)),
        "reg_dataset_dirs": _json(folders(regular)),
        "bucket_info": _json(_bucket_info(datasets)),
        "datasets": _json([_dataset_entry(name, facts) for name, facts in named.items()]),
    }


def _model_keys(facts: TrainingFacts) -> dict[str, object]:
    keys: dict[str, object] = {
        "sd_model_name": public_name(facts.model.name),
        "sd_model_hash": facts.model.legacy_hash,
        "new_sd_model_hash": facts.model.sha256,
    }
    if facts.vae is not None:
        keys |= {
            "vae_name": public_name(facts.vae.name),
            "vae_hash": facts.vae.legacy_hash,
            "new_vae_hash": facts.vae.sha256,
        }
    # Where it is unknown kohya leaves a hash out, while of its other keys the unknown ones say None.
    return {key: value for key, value in keys.items() if value is not None}


def _kohya_keys(facts: TrainingFacts, spec: ArchitectureSpec) -> dict[str, object]:
    keys: dict[str, object] = {
        **facts.other,
        "session_id": facts.session_id,
        "training_started_at": facts.started_at,
        "training_finished_at": facts.finished_at,
        "output_name": facts.name,
        "learning_rate": facts.learning_rate,
        "unet_lr": facts.denoiser_learning_rate,
        "text_encoder_lr": facts.text_encoder_learning_rate,
        "num_batches_per_epoch": facts.steps_per_epoch,
        "num_epochs": facts.epochs,
        "epoch": facts.epoch,
        "steps": facts.step,
        "max_train_steps": facts.max_steps,
        "gradient_checkpointing": facts.gradient_checkpointing,
        "gradient_accumulation_steps": facts.gradient_accumulation_steps,
        "lr_warmup_steps": facts.warmup_steps,
        "lr_scheduler": facts.lr_scheduler,
        "optimizer": facts.optimizer,
        "max_grad_norm": facts.max_grad_norm,
        "network_module": facts.network_module or spec.kohya_network_module,
        "network_dim": facts.rank,
        "network_alpha": facts.alpha,
        "network_dropout": facts.dropout or None,
        "mixed_precision": facts.mixed_precision,
        "v2": spec.kohya_v2,
        "base_model_version": facts.base_model_version or spec.base_model_version,
        "clip_skip": facts.clip_skip,
        "cache_latents": facts.cache_latents,
        "seed": facts.seed,
        **_dataset_keys(facts.datasets),
        **_model_keys(facts),
    }
    if facts.network_arguments:
        keys["network_args"] = _json(dict(facts.network_arguments))
    return keys


def _modelspec_keys(facts: TrainingFacts, spec: ArchitectureSpec) -> dict[str, str | None]:
    size = next((facts.resolution for facts in facts.datasets if not facts.is_regularisation), None)
    predictions = {"v_prediction": "v", "epsilon": "epsilon"}
    return {
        "sai_model_spec": "1.0.1",
        "architecture": f"{facts.modelspec_architecture or spec.modelspec_architecture}/lora",
        "implementation": spec.modelspec_implementation,
        "implementation_version": f"loratory/{__version__}",
        "title": facts.title or facts.name,
        "resolution": f"{size[0]}x{size[1]}" if size else None,
        "date": datetime.fromtimestamp(int(facts.finished_at), UTC).isoformat(),
        "author": facts.author,
        "description": facts.description,
        "license": facts.license,
        "tags": ", ".join(facts.tags) or None,
        "trigger_phrase": facts.trigger_phrase,
        "usage_hint": facts.usage_hint,
        "thumbnail": facts.thumbnail,
        "prediction_type": predictions.get(facts.prediction_type or ""),
        "encoder_layer": str(facts.clip_skip) if facts.clip_skip else None,
    }


def build(facts: TrainingFacts, spec: ArchitectureSpec) -> dict[str, str]:
    """Header metadata of a run's LoRA file, without the hashes, which `save_lora` adds. Sorted by key."""
    metadata = {f"ss_{key}": str(value) for key, value in _kohya_keys(facts, spec).items()}
    described = _modelspec_keys(facts, spec)
    metadata |= {f"modelspec.{key}": value for key, value in described.items() if value is not None}
    if facts.config:
        metadata["loratory_config"] = _json(dict(facts.config))
    return {key: value if key == "modelspec.thumbnail" else redact(value) for key, value in sorted(metadata.items())}


MINIMUM = ("ss_v2", "ss_base_model_version", "ss_network_module", "ss_network_dim", "ss_network_alpha",
           "ss_network_args", "modelspec.sai_model_spec", "modelspec.architecture", "modelspec.implementation",
           "modelspec.title")  # fmt: skip
"""What programs need to know a network: kohya's least set, and what ModelSpec requires."""


def trimmed(metadata: Mapping[str, str], amount: str) -> dict[str, str]:
    """`full` metadata as it is, its `minimum`, or `none` of it."""
    if amount == "full":
        return dict(metadata)
    return {key: value for key, value in metadata.items() if amount == "minimum" and key in MINIMUM}


# Hashes


def _chunks(path: Path, start: int = 0) -> Iterator[bytes]:
    with path.open("rb") as stream:
        stream.seek(start)
        while chunk := stream.read(_CHUNK):
            yield chunk


def _sha256(chunks: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of the whole file, 64 hex digits."""
    return _sha256(_chunks(path))


def payload_sha256(path: Path) -> str:
    """SHA-256 of a safetensors file after its header: editing metadata keeps it. Raises UserError when cut short."""
    with path.open("rb") as stream:
        length = stream.read(_HEADER_LENGTH.size)
    if len(length) < _HEADER_LENGTH.size or (start := 8 + _HEADER_LENGTH.unpack(length)[0]) > path.stat().st_size:
        raise UserError(f"{path} is no whole safetensors file: its header ends after its end; get the file again.")
    return _sha256(_chunks(path, start))


def auto_v1(path: Path) -> str:
    """AutoV1, also A1111's old hash and kohya's `ss_sd_model_hash`: 8 digits, of the 64 KiB that begin at 1 MiB."""
    with path.open("rb") as stream:
        stream.seek(_LEGACY_BYTES.start)
        return hashlib.sha256(stream.read(_LEGACY_BYTES.stop - _LEGACY_BYTES.start)).hexdigest()[:8]


def auto_v2(path: Path) -> str:
    """AutoV2: the first 10 digits of the whole file's SHA-256."""
    return file_sha256(path)[:10]


def auto_v3(path: Path) -> str:
    """AutoV3: the first 12 digits of the payload's SHA-256."""
    return payload_sha256(path)[:12]


# Save and read


class NotStorable(UserError):
    """A tensor has numbers that the file's number format cannot hold, or none at all."""


def stored_as(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """A file's tensors, sorted by name, on the CPU in `dtype`. Raises NotStorable for what is not finite there."""
    return {name: _cast(name, tensor, dtype) for name, tensor in sorted(tensors.items())}


def _cast(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Factors in `dtype`; alpha, a single number, stays exact."""
    stored = tensor.detach().to("cpu") if tensor.ndim == 0 else tensor.detach().to("cpu", dtype)
    if not bool(stored.isfinite().all()):
        if bool(tensor.isfinite().all()):
            raise NotStorable(f"saving: {name} has values too large for {dtype}; save as bf16 or fp32.")
        raise NotStorable(f"saving: {name} contains NaN or infinity; go back to an earlier checkpoint.")
    return stored.contiguous()


def _header(tensor_entries: Mapping[str, object], metadata: Mapping[str, str]) -> bytes:
    """Length and JSON of a safetensors header, padded with spaces to a multiple of 8, always the same for the same."""
    text = json.dumps(
        {"__metadata__": dict(sorted(metadata.items())), **tensor_entries}, ensure_ascii=False, separators=(",", ":")
    ).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return _HEADER_LENGTH.pack(len(text)) + text


def _legacy_hash(header: bytes, payload: memoryview) -> str:
    skip = len(header)
    head = header[_LEGACY_BYTES]
    rest = payload[max(0, _LEGACY_BYTES.start - skip) : max(0, _LEGACY_BYTES.stop - skip)]
    return hashlib.sha256(head + bytes(rest)).hexdigest()[:8]


Write = Callable[[Path, Callable[[BinaryIO], object]], None]


def _write_export(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    write_atomic(path, fill, point="export")


def save_lora(
    path: Path,
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    dtype: torch.dtype,
    write: Write = _write_export,
) -> str:
    """Write a LoRA file whole or not at all and return its payload's SHA-256.

    `tensors` are those of `formats.export`. Equal tensors and metadata give equal bytes: the payload in the format's
    canonical order (dtype, then name), the header sorted. Hashes are added to the metadata. Raises NotStorable for
    values that `dtype` cannot hold, DiskFull when there is no room.
    """
    stored = stored_as(tensors, dtype)
    # The library's header is in no fixed order; its payload is, and the header can be written again.
    data = memoryview(safetensors.torch.save(stored))
    start = _HEADER_LENGTH.size + _HEADER_LENGTH.unpack(data[:8])[0]
    entries = json.loads(bytes(data[_HEADER_LENGTH.size : start]))
    payload = data[start:]
    digest = hashlib.sha256(payload).hexdigest()
    trained = {key: value for key, value in metadata.items() if key.startswith("ss_")}
    complete = {
        **metadata,
        "modelspec.hash_sha256": f"0x{digest}",
        "sshs_model_hash": digest,
        "sshs_legacy_hash": _legacy_hash(_header(entries, trained), payload),
    }
    header = _header(entries, complete)

    def fill(stream: BinaryIO) -> None:
        stream.write(header)
        stream.write(payload)

    write(path, fill)
    return digest


def read_lora(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a LoRA file. Raises UserError when it is not a whole, sound safetensors file."""
    _, _, metadata = read_lora_header(path)
    return safetensors.torch.load_file(path), metadata
