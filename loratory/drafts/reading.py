"""The jobs of a file or of a run's folder, whoever's file it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

from loratory.config.load import load, parse, read_plain
from loratory.config.train import TrainConfig
from loratory.errors import UserError
from loratory.interop.foreign import parsed, read_foreign
from loratory.interop.imported import summary


@dataclass(frozen=True)
class Job:
    """One training: its config, the run's folder if that was given, and what there is to say about a foreign file."""

    config: TrainConfig
    folder: Path | None = None
    remarks: tuple[str, ...] = ()
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    """That the foreign file held; a training keeps them in the settings."""


def read_jobs(path: Path, overrides: Sequence[str], dataset: Path | None = None) -> list[Job]:
    """The trainings of a job file (of ours, or of another program) or of a run's folder. `dataset` goes with kohya's
    files. Raises UserError."""
    if path.is_dir():
        frozen = path / "config.yaml"
        if not frozen.exists():
            raise UserError(
                f"{path} is a folder without config.yaml, so it is no run; give a job file or a run's folder."
            )
        return [Job(load(frozen, overrides, frozen=True), path.absolute())]
    imported = read_foreign(path, dataset) if path.exists() else None
    if imported is None:
        return [Job(load(path, overrides))]
    return [Job(parsed(each, overrides), None, tuple(summary(each.notes)), each.tokens) for each in imported]


def read_job(path: Path, overrides: Sequence[str]) -> tuple[TrainConfig, Path | None]:
    """The config of a job file, or of a run's folder together with that folder. Of several trainings in a file of
    another program, the first. Raises UserError."""
    job = read_jobs(path, overrides)[0]
    return job.config, job.folder


def recipe_of(path: Path, say: Callable[[str], None] = lambda line: None) -> TrainConfig:
    """The config in a file of ours or of another trainer, which may be only a piece of a job: a preset needs no name,
    model or pictures. `say` gets what became of another trainer's settings."""
    if path.is_dir():
        return read_job(path, ())[0]
    foreign = read_foreign(path)
    data = read_plain(path) if foreign is None else deepcopy(foreign[0].data)
    for line in summary([note for note in foreign[0].notes if note.key not in _OF_A_JOB]) if foreign else ():
        say(line)
    if not isinstance(data, dict):
        return parse(data, str(path))
    pictures, model = {"path": "pictures"}, {"path": "demo"}
    if foreign is not None:
        data["model"] = model | data.get("model", {})
        data["datasets"] = [pictures | dataset for dataset in data.get("datasets", ())] or [pictures]
    return parse({"name": "preset", "model": model, "datasets": [pictures]} | data, str(path))


_OF_A_JOB = ("pretrained_model_name_or_path", "train_data_dir", "output_name", "output_dir")
"""Of another trainer's file: what no preset holds, so that its absence is nothing to tell."""
