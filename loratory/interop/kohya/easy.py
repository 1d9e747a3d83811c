"""Files of LoRA_Easy_Training_Scripts (TOML): a section for each page of its window, with arguments (`args`)
and for its dataset file (`dataset_args`), and the subsets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loratory.interop.imported import Note
from loratory.interop.kohya.names import ALL
from loratory.interop.kohya.reading import Given

_DATASET_ONLY = ("resolution", "batch_size", "enable_bucket", "min_bucket_reso", "max_bucket_reso", "bucket_reso_steps",
                 "bucket_no_upscale")  # fmt: skip


def is_easy(data: Mapping[str, Any]) -> bool:
    return any(
        name.endswith("_args") and isinstance(section, Mapping) and section.keys() & {"args", "dataset_args"}
        for name, section in data.items()
    )


def from_easy(data: Mapping[str, Any], path: Path) -> Given:
    """What its window would hand to sd-scripts: empty values are dropped."""
    values: dict[str, Any] = {"network_module": "networks.lora"}
    keys: dict[str, str] = {}
    general: dict[str, Any] = {}
    notes: list[Note] = []
    for name, section in data.items():
        if not isinstance(section, Mapping) or not section.keys() & {"args", "dataset_args"}:
            if name not in ("subsets", "datasets", "train_mode") and section:
                notes.append(Note("unknown", name, "no page of LoRA_Easy_Training_Scripts that is known here"))
            continue
        for argument, value in section.get("args", {}).items():
            _take(argument, value, f"{name}.args.{argument}", (values, keys, notes))
        for argument, value in section.get("dataset_args", {}).items():
            if not value:
                notes.append(Note("default", f"{name}.dataset_args.{argument}"))
            elif argument in _DATASET_ONLY or argument not in ALL or argument in ("shuffle_caption", "keep_tokens"):
                general[argument] = value
            else:
                values[argument], keys[argument] = value, f"{name}.dataset_args.{argument}"
    if values.pop("fa", False):
        values["network_module"] = "networks.lora_fa"
    dataset = _dataset(data, general)
    script = "sdxl_train_network" if values.get("sdxl") else None
    return Given(values, str(path), path.absolute().parent, keys, script, dataset, tuple(notes))


def _take(argument: str, value: Any, key: str, into: tuple[dict[str, Any], dict[str, str], list[Note]]) -> None:
    values, keys, notes = into
    if not value:
        notes.append(Note("default", key))
        return
    if argument == "network_args" and isinstance(value, Mapping):
        value = {name: each for name, each in value.items() if not (name == "preset" and each == "")}
        if "algo" in value:
            values["network_module"] = "lycoris.kohya"
        elif "unit" in value:
            values["network_module"] = "networks.dylora"
    values[argument], keys[argument] = value, key


def _dataset(data: Mapping[str, Any], general: Mapping[str, Any]) -> dict[str, Any]:
    """As a dataset file has it. A subset's name is only for its window."""

    def subsets(section: Mapping[str, Any]) -> list[dict[str, Any]]:
        given = section.get("subsets", [])
        return [{name: value for name, value in each.items() if value and name != "name"} for each in given]

    datasets = data.get("datasets") or [{"subsets": data.get("subsets", [])}]
    return {"general": dict(general), "datasets": [{**each, "subsets": subsets(each)} for each in datasets]}
