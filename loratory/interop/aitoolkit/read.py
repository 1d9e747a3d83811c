"""ai-toolkit's job files as ours: one job for each process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loratory.errors import UserError
from loratory.interop.aitoolkit.architectures import arch_of
from loratory.interop.aitoolkit.context import Making
from loratory.interop.aitoolkit.datasets import read_datasets
from loratory.interop.aitoolkit.files import parse, with_name
from loratory.interop.aitoolkit.keys import KEYS, SECTIONS
from loratory.interop.aitoolkit.model import read_model
from loratory.interop.aitoolkit.network import read_network
from loratory.interop.aitoolkit.notes import Notes, Section, note_all
from loratory.interop.aitoolkit.samples import read_samples
from loratory.interop.aitoolkit.training import read_logging, read_meta, read_saving, read_training
from loratory.interop.imported import Imported
from loratory.interop.named_files import working_folder
from loratory.secrets import variable_of_secret

TRAINERS = ("sd_trainer", "diffusion_trainer", "ui_trainer")
_OTHER_JOBS = {
    "extract": "taking a LoRA out of two models", "mod": "changing a LoRA's strength", "generate": "making pictures"
}  # fmt: skip


def read(path: Path, text: str, dataset: Path | None = None) -> list[Imported]:
    """The jobs of a file, in the order of its processes.

    Raises UserError for a file that cannot be read, another kind of job, and what cannot be trained here: all of it in
    one message.
    """
    source = str(path)
    whole = parse(path, text)
    config = whole.get("config")
    if not isinstance(config, Mapping):
        raise UserError(f"{source}: config must hold the job's name and process; it is {config!r}.")
    name = config.get("name")
    if name is None or isinstance(name, Mapping | list) or not str(name).strip():
        raise UserError(f"{source}: config.name is missing; it becomes the name of the run.")
    whole = with_name(whole, str(name), source)
    config = whole["config"]
    _check_kind(whole.get("job"), source)
    processes = config.get("process")
    if isinstance(processes, Mapping):
        processes = [processes]
    if not isinstance(processes, list) or not processes:
        raise UserError(f"{source}: config.process must be a list of what is to be done; it is {processes!r}.")
    folders = (working_folder(path.absolute().parent), path.absolute().parent)
    return [_job(whole, number, len(processes), folders, source) for number in range(len(processes))]


def _check_kind(kind: Any, source: str) -> None:
    if kind in _OTHER_JOBS:
        raise UserError(
            f"{source}: job: {kind} ({_OTHER_JOBS[kind]}) is not possible here yet; of ai-toolkit's jobs those that "
            "train run here (job: extension)."
        )
    if kind not in ("train", "extension"):
        raise UserError(f"{source}: job: {kind!r} is no job of ai-toolkit; those that train are `extension`.")


def _job(whole: dict[str, Any], number: int, count: int, folders: tuple[Path, ...], source: str) -> Imported:
    """The job of one process."""
    config = whole["config"]
    given = config["process"] if isinstance(config["process"], Mapping) else config["process"][number]
    path = "config.process" if isinstance(config["process"], Mapping) else f"config.process.{number}"
    source = source if count == 1 else f"{source}, process {number + 1} of {count}"
    if not isinstance(given, Mapping):
        raise UserError(f"{source}: {path} must hold keys and values; it is {given!r}.")
    _check_type(given.get("type"), path, source)
    notes = Notes(source)
    given = _without_secrets(given, path, notes)
    top = _without_secrets({key: value for key, value in whole.items() if key != "config"}, "", notes)
    process = Section(given, path, "", notes)
    model = process.section("model")
    job = Making(process, arch_of(model.given, source, model.path), notes, folders)
    job.put("name", _name(config, given, number, count))
    for read_part in (read_model, read_network, read_datasets, read_training, read_samples, read_saving, read_logging):
        read_part(job)
    everything = Section(top, "", "", notes)
    read_meta(job, everything.section("meta"))
    _copy_same(job)
    note_all(everything)
    rest = {key: value for key, value in config.items() if key not in ("process", "name")}
    note_all(Section(_without_secrets(rest, "config", notes), "config", "config", notes))
    notes.say("mapped", "config.name")
    note_all(process)
    if notes.refusals:
        lines = "".join(f"\n  - {line}" for line in notes.refusals)
        raise UserError(f"{source} cannot be trained here:{lines}")
    return Imported(job.data, notes.all(), source, notes.tokens)


def _check_type(kind: Any, path: str, source: str) -> None:
    if kind not in TRAINERS:
        raise UserError(
            f"{source}: {path}.type: {kind!r} is not possible here{'' if kind is None else ' yet'}; of ai-toolkit's "
            f"processes there are {', '.join(TRAINERS)}."
        )


def _name(config: Mapping[str, Any], process: Mapping[str, Any], number: int, count: int) -> str:
    """Each process has a run of its own; those of one name are told apart by their number."""
    names = [str(each.get("name") or config["name"]) for each in _listed(config) if isinstance(each, Mapping)]
    name = str(process.get("name") or config["name"])
    return f"{name}_{number + 1}" if count > 1 and names.count(name) > 1 else name


def _listed(config: Mapping[str, Any]) -> list[Any]:
    found = config["process"]
    return found if isinstance(found, list) else [found]


def _without_secrets(given: Mapping[str, Any], path: str, notes: Notes) -> dict[str, Any]:
    """A copy without tokens and keys, each of which is named, but not told; `notes.tokens` has them."""
    result: dict[str, Any] = {}
    for key, value in given.items():
        inner = f"{path}.{key}".lstrip(".")
        variable = variable_of_secret(key)
        if variable is not None and isinstance(value, str) and value:
            notes.say("secret", inner, f"belongs into the settings, as {variable}; no job file holds it")
            notes.tokens[variable] = value
        elif isinstance(value, Mapping):
            result[key] = _without_secrets(value, inner, notes)
        elif isinstance(value, list):
            result[key] = [
                _without_secrets(each, f"{inner}.{number}", notes) if isinstance(each, Mapping) else each
                for number, each in enumerate(value)
            ]
        else:
            result[key] = value
    return result


def _copy_same(job: Making) -> None:
    """The keys whose values are our parameters', and theirs where a file leaves them out and ours is another."""
    for section_name in ("", *SECTIONS):
        if section_name == "datasets":
            for number, dataset in enumerate(job.process.sections("datasets")):
                if number < len(job.data.get("datasets", ())):
                    _copy(dataset, "datasets", lambda path, value, n=number: _put_dataset(job, n, path, value))
            continue
        section = job.process.section(section_name) if section_name else job.process
        _copy(section, section_name, job.put)
        if section_name == "network":
            _copy(section.section("network_kwargs"), "network.network_kwargs", job.put)


def _copy(section: Section, pattern: str, put: Any) -> None:
    begin = f"{pattern}." if pattern else ""
    for name, key in KEYS.items():
        inner = name.removeprefix(begin)
        if key.becomes != "same" or not name.startswith(begin) or "." in inner:
            continue
        value = section.given.get(inner)
        if value is None:
            value = key.default
        if value is not None:
            put(key.to, value)


def _put_dataset(job: Making, number: int, path: str, value: Any) -> None:
    place = job.data["datasets"][number]
    *sections, last = path.removeprefix("datasets.").split(".")
    for section in sections:
        place = place.setdefault(section, {})
    place[last] = value
