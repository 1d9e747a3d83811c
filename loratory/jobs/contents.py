"""What lies in a run's folder: samples by step and prompt, checkpoints, exported files, and the folder as it is."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from loratory.config.architectures.header import read_header
from loratory.errors import UserError
from loratory.files import bytes_free
from loratory.runs import ACTIVE_STATES, RunFolder, is_whole_checkpoint, read_status
from loratory.runs.lock import is_held
from loratory.runs.status import LOCK_FILE
from loratory.trash import Trashed, size_of, to_trash

_SAMPLE_NAME = re.compile(r"(?P<step>[0-9]{9})_(?P<index>[0-9]{2,})_(?P<digest>[0-9a-f]{8})\.(png|jpg|webp)")
_STEP_NAME = re.compile(r"[0-9]{9}")
_NEGATIVE = "Negative prompt: "
_PHASES_ENDING = "_alpha_scheduler.json"
_SUMMARY = {
    "modelspec.title": "title",
    "modelspec.architecture": "architecture",
    "ss_base_model_version": "base_model_version",
    "ss_sd_model_name": "base_model",
    "ss_network_dim": "rank",
    "ss_network_alpha": "alpha",
    "ss_network_module": "network_module",
    "ss_steps": "steps",
    "ss_epoch": "epoch",
    "ss_learning_rate": "learning_rate",
    "ss_optimizer": "optimizer",
    "ss_resolution": "resolution",
    "modelspec.trigger_phrase": "trigger_phrase",
}


class Busy(UserError):
    """The run works, and what is asked for cannot be done meanwhile."""

    code = "busy"


def modified(path: Path) -> str:
    """When a file was changed last, as a UTC text."""
    time = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# Samples


@dataclass(frozen=True, slots=True)
class SamplePrompt:
    """One row of the samples: a prompt with its settings. `key` names it in every step."""

    key: str
    index: int
    text: str | None
    negative: str | None
    settings: dict[str, str]


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture."""

    step: int
    prompt: str
    """The `key` of its prompt."""
    file: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Samples:
    """The steps (columns), the prompts (rows) and the pictures."""

    steps: list[int] = field(default_factory=list)
    prompts: list[SamplePrompt] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)


def samples_of(run: RunFolder) -> Samples:
    """All samples of a run; of each prompt one file is opened, for what made it."""
    prompts: dict[str, SamplePrompt] = {}
    samples = []
    for step, paths in run.samples().items():
        for path in paths:
            match = _SAMPLE_NAME.fullmatch(path.name)
            assert match is not None
            key = f"{match['index']}_{match['digest']}"
            with suppress(FileNotFoundError):  # the engine keeps so many, and deletes the older ones
                size = path.stat().st_size
                if key not in prompts:
                    prompts[key] = _prompt(key, int(match["index"]), path)
                samples.append(Sample(step, key, path.name, size))
    steps = sorted({each.step for each in samples})
    return Samples(steps, sorted(prompts.values(), key=lambda each: (each.index, each.key)), samples)


def _prompt(key: str, index: int, path: Path) -> SamplePrompt:
    described = sample_text(path)
    if described is None:
        return SamplePrompt(key, index, None, None, {})
    *lines, last = described.split("\n")
    pairs = [part.partition(": ") for part in last.split(", ")]
    settings = {name: value for name, colon, value in pairs if colon}
    negative = next((line.removeprefix(_NEGATIVE) for line in lines if line.startswith(_NEGATIVE)), None)
    text = "\n".join(line for line in lines if not line.startswith(_NEGATIVE))
    return SamplePrompt(key, index, text, negative, settings)


def sample_text(path: Path) -> str | None:
    """What made a sample: the prompt, perhaps its negative one, and a line of settings; None where it does not say.

    Raises FileNotFoundError.
    """
    from PIL import ExifTags, Image

    try:
        with Image.open(path) as image:
            if isinstance(text := image.info.get("parameters"), str):
                return text
            comment = image.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, SyntaxError):
        return None  # a broken picture has no words; the browser shows it as broken
    if isinstance(comment, bytes) and comment.startswith(b"UNICODE\0"):
        return comment[8:].decode("utf-16-be", "replace")
    return None


# Checkpoints and exports


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """A checkpoint. One that is not whole cannot be resumed from."""

    step: int
    bytes: int
    time: str
    is_whole: bool
    can_be_deleted: bool


@dataclass(frozen=True, slots=True)
class ExportFacts:
    """A file for other tools."""

    file: str
    kind: Literal["final", "best", "step"]
    step: int | None
    bytes: int
    time: str
    metadata: dict[str, str]
    """What its metadata say, in short."""
    problem: str | None
    """Why its header cannot be read."""


def checkpoints_of(run: RunFolder) -> list[CheckpointFacts]:
    """All checkpoints, by step."""
    if not run.checkpoints_path.is_dir():
        return []
    folders = [path for path in sorted(run.checkpoints_path.iterdir()) if _STEP_NAME.fullmatch(path.name)]
    kept = _kept_checkpoint(run)
    found = []
    for path in folders:
        with suppress(FileNotFoundError):  # deleted by the engine at this instant
            step, is_whole = int(path.name), is_whole_checkpoint(path)
            found.append(CheckpointFacts(step, size_of(path), modified(path), is_whole, path != kept))
    return found


def _kept_checkpoint(run: RunFolder) -> Path | None:
    """That which a working run would go on from after a crash."""
    newest = run.newest_checkpoint() if is_busy(run.path) else None
    return None if newest is None else newest.path


def exports_of(run: RunFolder) -> list[ExportFacts]:
    """All exported files: by step, then the best, then the final one."""
    found = []
    for export in run.exports():
        kind: Literal["final", "best", "step"] = "step" if export.step is not None else "best"
        if export.step is None and export.path.stem == run.name:
            kind = "final"
        with suppress(FileNotFoundError):  # deleted by the engine at this instant
            stat, time = export.path.stat(), modified(export.path)
            summary, problem = _summary(export.path, stat.st_mtime_ns, stat.st_size)
            found.append(ExportFacts(export.path.name, kind, export.step, stat.st_size, time, dict(summary), problem))
    return found


@lru_cache(maxsize=2000)
def _summary(path: Path, mtime_ns: int, size: int) -> tuple[tuple[tuple[str, str], ...], str | None]:
    if path.suffix != ".safetensors":
        return (), None
    try:
        shapes, dtypes, metadata = read_header(path)
    except UserError as error:
        return (), str(error)
    known = [(short, metadata[name]) for name, short in _SUMMARY.items() if metadata.get(name, "None") != "None"]
    types = ", ".join(sorted(set(dtypes.values())))
    return (*known, ("tensors", str(len(shapes))), ("dtype", types)), None


def best_export(run: RunFolder) -> Path | None:
    """The file that most people want: the final one, else the one of the most steps, else the best."""
    exports = run.exports()
    final = [each.path for each in exports if each.step is None and each.path.stem == run.name]
    numbered = [each.path for each in exports if each.step is not None]
    return next(iter([*final, *reversed(numbered), *(each.path for each in exports)]), None)


# The folder


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Something in a run's folder."""

    name: str
    is_folder: bool
    bytes: int
    """Of a folder: of all that is in it."""
    time: str


def files_of(folder: Path) -> list[FileFacts]:
    """What lies in a folder of a run: folders first, then by name. What is being written is left out."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name == LOCK_FILE or entry.is_symlink():
                continue
            path = Path(entry.path)
            with suppress(FileNotFoundError):  # deleted by the engine at this instant
                found.append(FileFacts(entry.name, entry.is_dir(), size_of(path), modified(path)))
    return sorted(found, key=lambda each: (not each.is_folder, each.name))


# Deleting


def is_busy(path: Path) -> bool:
    """Does a process work on the run?"""
    return read_status(path).state in ACTIVE_STATES or is_held(path / LOCK_FILE)


def delete_run(path: Path) -> Trashed:
    """Move a whole run to the trash. Raises Busy while it works."""
    if is_busy(path):
        raise Busy(f"The run {path.name!r} works; stop it first.")
    return to_trash(path, "run")


def delete_checkpoint(run: RunFolder, step: int) -> Trashed | None:
    """Move one checkpoint to the trash; None where there is none. Raises Busy for the one that a working run needs."""
    folder = run.checkpoint_path(step)
    if not folder.is_dir():
        return None
    if folder == _kept_checkpoint(run):
        raise Busy(f"The run works, and would go on from the checkpoint of step {step} after a crash; stop it first.")
    return to_trash(folder, "checkpoint")


def delete_export(run: RunFolder, file: str) -> Trashed | None:
    """Move one exported file to the trash, with what belongs to it; None where there is none."""
    path = next((export.path for export in run.exports() if export.path.name == file), None)
    if path is None:
        return None
    phases = path.with_name(f"{path.stem}{_PHASES_ENDING}")
    return to_trash([path, *([phases] if phases.is_file() else [])], "export")


def disk_of(path: Path) -> dict[str, Any]:
    """Bytes of a run, how many files these are, and what the disk has left."""
    count = sum(len(names) for _, _, names in os.walk(path))
    return {"bytes": size_of(path), "files": count, "bytes_free": bytes_free(path)}
