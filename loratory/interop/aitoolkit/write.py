"""Our jobs as ai-toolkit's job files, and what these cannot say: found out by reading them back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.base import Param
from loratory.config.fields import values
from loratory.config.load import parse
from loratory.config.train import TrainConfig
from loratory.data.prompts import parse_prompt
from loratory.errors import UserError
from loratory.interop.aitoolkit import sections
from loratory.interop.aitoolkit.architectures import BY_OURS, Arch
from loratory.interop.aitoolkit.files import FLOAT
from loratory.interop.aitoolkit.read import read
from loratory.interop.exported import Exported, Facts
from loratory.interop.imported import Note
from loratory.runs import home

MACHINE = ("runtime.", "caching.folder", "caching.batch_size", "memory.unload_text_encoders")
"""Parameters of this program or machine, which change nothing that is learned."""

BESIDE = ("sampling.", "saving.", "logging.")
"""Parameters that differ without changing what is learned."""


class _Dumper(yaml.SafeDumper):
    """Puts quotes around a text that their reader would take for a number."""


_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+.0123456789"))


def export(config: TrainConfig, spec: ArchitectureSpec, facts: Facts) -> Exported:
    """`job.yaml` for ai-toolkit, and a note for each parameter that says something else when it is read again.

    Raises UserError for a text that their reader would change.
    """
    arch = BY_OURS[spec.name]
    data = _data(config, arch, facts.total_steps)
    text = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    if "${" in text:
        raise UserError(
            "The job has ${ in one of its texts, which ai-toolkit takes for an environment variable; write it in "
            "another way."
        )
    again = parse(read(Path("job.yaml"), text)[0].data, "the written job")
    return Exported({"job.yaml": text}, tuple(_lost(config, again, arch, facts.total_steps)))


def _data(config: TrainConfig, arch: Arch, total_steps: int | None) -> dict[str, Any]:
    triggers = {each.trigger_word for each in config.datasets if not each.is_regularisation}
    process: dict[str, Any] = {
        "type": "diffusion_trainer",
        "training_folder": config.saving.output_dir or str(home() / "output"),
        "training_seed": config.seed,
    }
    datasets = [sections.dataset(config, each, arch) for each in config.datasets]
    if len(triggers) == 1 and "" not in triggers:
        process["trigger_word"] = triggers.pop()
        for each in datasets:
            each.pop("trigger_word", None)
    if config.logging.tensorboard:
        process["log_dir"] = process["training_folder"]
    process |= {
        "network": sections.network(config, arch),
        "save": sections.save(config),
        "datasets": datasets,
        "train": sections.train(config, arch, total_steps),
        "model": sections.model(config, arch),
        "sample": sections.sample(config, arch),
        "logging": sections.logging(config),
    }
    whole: dict[str, Any] = {"job": "extension", "config": {"name": config.name, "process": [process]}}
    meta = sections.meta(config)
    plain: dict[str, Any] = _our_mark(whole | ({"meta": meta} if meta else {}), config.name)
    return plain


def _our_mark(data: Any, name: str) -> Any:
    """`[name]` is the trigger word in our captions and prompts, and the job's name in theirs."""
    if isinstance(data, str):
        return data.replace("[name]", "[trigger]")
    if isinstance(data, Mapping):
        return {key: _our_mark(value, name) for key, value in data.items()}
    return [_our_mark(each, name) for each in data] if isinstance(data, list | tuple) else data


def _lost(config: TrainConfig, again: TrainConfig, arch: Arch, total_steps: int | None) -> list[Note]:
    """What differs once the file is read again."""
    ours, theirs = meaning(config, arch, total_steps), meaning(again, arch, total_steps)
    notes, other_classes = [], _changed_types(ours, theirs)
    for path in dict.fromkeys([*ours, *theirs]):
        mine, back, kind = ours.get(path), theirs.get(path), f"{path.rpartition('.')[0]}.type"
        if mine == back or (kind in other_classes and path != kind):
            continue
        level = "ignored" if path.startswith(MACHINE) else "mapped" if path.startswith(BESIDE) else "unsupported"
        what = "it cannot say that" if back is None else f"there it is {_shown(back)}"
        notes.append(Note(level, path, f"{_shown(mine)} here; {what}"))  # type: ignore[arg-type]
    return notes


def _changed_types(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> set[str]:
    """`network.type` and its like where another class takes the place: its other parameters say nothing more."""
    return {path for path in ours if path.endswith(".type") and ours[path] != theirs.get(path)}


def _shown(value: Any) -> str:
    text = "nothing" if value is None else str(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def meaning(config: TrainConfig, arch: Arch, total_steps: int | None = None) -> dict[str, Any]:
    """A config as values by dotted path, in which what means the same is the same: words such as `auto` as numbers,
    paths as absolute ones, prompts as what they ask for."""
    found = {path: _settled(path, value, facts) for path, value, facts, _ in values(config)}
    network = config.network
    found["network.alpha"] = float(network.rank) if found.get("network.alpha") == "auto" else found.get("network.alpha")  # type: ignore[union-attr]
    if found.get("network.conv_alpha") == "auto":
        found["network.conv_alpha"] = found["network.conv_rank"]
    usual = sections.resolution(config, arch)
    for number, dataset in enumerate(config.datasets):
        found[f"datasets.{number}.resolutions"] = tuple(dataset.resolutions or (usual,))
        found[f"datasets.{number}.batch_group"] = _first_of_group(config, dataset.batch_group)
    del found["batching.buckets.resolution"], found["version"], found["model.architecture"]
    width, height = usual if isinstance(usual, tuple) else (usual, usual)
    for path, value in {
        "saving.output_dir": str(home() / "output"), "sampling.width": width, "sampling.height": height,
        "sampling.steps": arch.spec.sample_steps, f"sampling.{arch.guidance_field}": arch.usual_scale,
        "duration.steps": total_steps,
    }.items():  # fmt: skip
        if found[path] is None:
            found[path] = value
    for path in ("sampling.every_n_steps", "saving.export_every_n_steps", "saving.keep_last_exports"):
        if found[path] == sections.NEVER:
            found[path] = None
    if found["duration.steps"] is not None and total_steps is not None:
        found["duration.epochs"] = None  # counted as steps
    if arch.spec.default_flow_shift == found["objective.flow_shift"]:
        found["objective.flow_shift"] = "auto"
    if found["objective.flow_shift"] == "resolution" and arch.spec.default_flow_shift is None:
        found["objective.flow_shift"] = "auto"
    return _schedule_meaning(found)


def _first_of_group(config: TrainConfig, group: str) -> int:
    """Which datasets meet in batches: those with the same number here."""
    groups = [dataset.batch_group for dataset in config.datasets]
    return 0 if config.batching.size == 1 else groups.index(group)


def _schedule_meaning(found: dict[str, Any]) -> dict[str, Any]:
    """Three names of a rate that stays, with and without a warm-up."""
    if found["schedule.type"] in ("constant", "constant_with_warmup", "none"):
        found["schedule.type"] = "constant"
        found["schedule.warmup_steps"] = found.get("schedule.warmup_steps") or None
        found.setdefault("schedule.warmup_ratio", None)
    return found


def _settled(path: str, value: Any, facts: Param) -> Any:
    if facts.path and isinstance(value, str):
        return str(Path(value).expanduser().absolute())
    if facts.path and isinstance(value, Mapping):
        return {name: _settled(path, each, facts) for name, each in value.items()}
    if path == "sampling.prompts":
        return tuple(parse_prompt(line.replace("[name]", "[trigger]")) for line in value)
    if isinstance(value, str):
        return value.replace("[name]", "[trigger]")
    return value
