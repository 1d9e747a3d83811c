"""A training that is imported has the steps that sd-scripts gives it: 200 random datasets (fixtures/README.md)."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from loratory.config.architectures import SPECS
from loratory.config.load import parse
from loratory.data.scan import Item, Scan
from loratory.interop.imported import Imported
from loratory.interop.kohya import read
from loratory.planner import Plan, plan

CASES = json.loads((Path(__file__).parent / "fixtures" / "arithmetic.json").read_text(encoding="utf-8"))["cases"]
Case = dict[str, Any]


def imported(case: Case, folder: Path) -> Imported:
    """The case as files, with empty pictures where folders count."""
    for name, sizes in case["pictures"].items():
        (folder / name).mkdir(parents=True)
        for number in range(len(sizes)):
            (folder / name / f"{number:03}.png").touch()
    values = {"pretrained_model_name_or_path": "some/model", "sdxl": True, "output_dir": "out", **case["arguments"]}
    for name in ("train_data_dir", "reg_data_dir"):
        if name in values:
            values[name] = str(folder / values[name])
    dataset = None
    if case["dataset_config"] is not None:
        described = json.loads(json.dumps(case["dataset_config"]))
        for each in described["datasets"]:
            for subset in each["subsets"]:
                subset["image_dir"] = str(folder / subset["image_dir"])
        dataset = folder / "dataset.json"
        dataset.write_text(json.dumps(described), encoding="utf-8")
    (found,) = read(folder / "config.json", json.dumps(values), dataset)
    return found


def planned(found: Imported, case: Case, folder: Path) -> Plan:
    """The plan, with the pictures' sizes told instead of looked at."""
    scans = []
    for dataset in found.data["datasets"]:
        path = Path(dataset["path"])
        items = []
        for name, sizes in case["pictures"].items():
            inner = Path(folder / name)
            if inner != path and inner.parent != path:
                continue
            below, repeats = ("", 1) if inner == path else (f"{inner.name}/", int(inner.name.split("_")[0]))
            items += [Item(f"{below}{i:03}.png", *size, None, 1, 1, repeats, "") for i, size in enumerate(sizes)]
        scans.append(Scan(path, tuple(sorted(items, key=lambda item: item.path)), ()))
    return plan(parse(found.data, "test"), SPECS["sdxl"], scans)


@pytest.mark.parametrize("number", range(0, 200))
def test_steps_are_those_of_sd_scripts(number: int, tmp_path: Path) -> None:
    case, theirs = CASES[number], CASES[number]["outcome"]
    found = imported(case, tmp_path)
    mine = planned(found, case, tmp_path)
    sizes = {dataset.get("batch_size") for dataset in (case["dataset_config"] or {}).get("datasets", [])}
    if any(note.level == "unsupported" and note.key.endswith("batch_size") for note in found.notes):
        assert len(sizes) > 1
        return  # one batch size for all datasets here, and it is said
    assert mine.micro_batches == theirs["batches_per_epoch"]
    assert mine.total_steps == theirs["total_steps"]


def test_toml_is_read_like_json(tmp_path: Path) -> None:
    text = 'pretrained_model_name_or_path = "m"\n[a]\nseed = 3\n[b]\ntrain_batch_size = 2\n'
    (found,) = read(tmp_path / "c.toml", text)
    assert tomllib.loads(text)["a"]["seed"] == found.data["seed"] == 3
    assert found.data["batching"]["size"] == 2
