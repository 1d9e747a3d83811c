"""Batches, steps, epochs, bucket lists and each picture's bucket: ours are sd-scripts' own.

fixtures/arithmetic.json holds 200 random datasets and what sd-scripts made of them (fixtures/README.md).
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest

from loratory.config.architectures import SPECS
from loratory.config.load import parse
from loratory.data.buckets import kohya_buckets
from loratory.data.scan import Item, Scan
from loratory.planner import Plan, plan

FIXTURE = Path(__file__).parent / "fixtures" / "arithmetic.json"
Case = dict[str, Any]


@functools.cache
def known() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FIXTURE.read_text(encoding="utf-8"))
    return found


def cases() -> list[Case]:
    return list(known()["cases"])


BUCKETS = ("enable_bucket", "bucket_no_upscale", "min_bucket_reso", "max_bucket_reso", "bucket_reso_steps")


def kohya_datasets(case: Case) -> list[dict[str, Any]]:
    """Their datasets with everything that they inherit, written anew from the rules of reference: subset, dataset,
    general, argument, default."""
    arguments = case["arguments"]
    if case["dataset_config"] is None:
        sides = [int(side) for side in arguments["resolution"].split(",")]
        subsets = [
            {"image_dir": folder, "num_repeats": int(folder.split("/")[1].split("_")[0]),
             "is_reg": folder.startswith("reg/")}
            for folder in sorted(case["pictures"], key=lambda folder: (folder.startswith("reg/"), folder))
        ]  # fmt: skip
        datasets: list[dict[str, Any]] = [{"resolution": sides * (2 if len(sides) == 1 else 1), "subsets": subsets}]
        general: dict[str, Any] = {}
    else:
        datasets, general = case["dataset_config"]["datasets"], case["dataset_config"].get("general", {})
    defaults = {
        "enable_bucket": False, "bucket_no_upscale": False, "min_bucket_reso": 256, "max_bucket_reso": 1024,
        "bucket_reso_steps": 64, "batch_size": arguments.get("train_batch_size", 1),
    }  # fmt: skip
    given = {key: arguments[key] for key in BUCKETS if key in arguments}
    return [defaults | given | general | dataset for dataset in datasets]


def ours(case: Case) -> tuple[dict[str, Any], list[Scan]]:
    """The same training as a job of ours, and the folders as they would be found."""
    theirs, arguments = kohya_datasets(case), case["arguments"]
    first = theirs[0]
    datasets, scans = [], []
    for number, dataset in enumerate(theirs):
        for subset in dataset["subsets"]:
            datasets.append({
                "path": subset["image_dir"], "num_repeats": subset.get("num_repeats", 1),
                "is_regularisation": subset.get("is_reg", False), "resolutions": [dataset["resolution"]],
                "batch_group": str(number),
            })  # fmt: skip
            sizes = case["pictures"][subset["image_dir"]]
            items = [Item(f"{i:03}.png", *size, None, 1, 1, 1, "") for i, size in enumerate(sizes)]
            scans.append(Scan(Path(subset["image_dir"]), tuple(items), ()))
    mode = "off" if not first["enable_bucket"] else "no_upscale" if first["bucket_no_upscale"] else "upscale"
    epochs = arguments.get("max_train_epochs")
    data = {
        "name": "a", "model": {"path": "demo", "architecture": "sdxl"}, "datasets": datasets,
        "batching": {
            "size": first["batch_size"],
            "gradient_accumulation_steps": arguments.get("gradient_accumulation_steps", 1),
            "balance_regularisation": any(each["is_regularisation"] for each in datasets),
            "buckets": {
                "mode": mode, "minimum": first["min_bucket_reso"], "maximum": first["max_bucket_reso"],
                "step": first["bucket_reso_steps"], "adapt_minimum": False,
            },
        },
        "duration": {"steps": arguments.get("max_train_steps", 1600)} if epochs is None else {"epochs": epochs},
    }  # fmt: skip
    return data, scans


def planned(case: Case) -> Plan:
    data, scans = ours(case)
    return plan(parse(data, "test"), SPECS["sdxl"], scans)


def differ_in_batch_size(case: Case) -> bool:
    return len({dataset["batch_size"] for dataset in kohya_datasets(case)}) > 1


def test_the_cases_are_of_every_kind() -> None:
    assert len(cases()) == 200
    flat = [(case, dataset) for case in cases() for dataset in kohya_datasets(case)]
    assert len({json.dumps(dataset["resolution"]) for _, dataset in flat}) > 8
    assert {dataset["enable_bucket"] for _, dataset in flat} == {True, False}
    assert {dataset["bucket_no_upscale"] for _, dataset in flat} == {True, False}
    assert {dataset["bucket_reso_steps"] for _, dataset in flat} >= {16, 32, 64, 128}
    for kind in ("max_train_epochs", "max_train_steps", "gradient_accumulation_steps", "train_data_dir"):
        assert sum(kind in case["arguments"] for case in cases()) > 20, kind
    assert sum(len(kohya_datasets(case)) > 1 for case in cases()) > 40
    assert sum(any(folder.startswith("reg/") for folder in case["pictures"]) for case in cases()) > 40
    assert 5 < sum(map(differ_in_batch_size, cases())) < 40


@pytest.mark.parametrize("number", range(200))
def test_steps_are_those_of_sd_scripts(number: int) -> None:
    case = cases()[number]
    found, theirs = planned(case), case["outcome"]
    # Which picture goes where, how large it becomes, and how often it comes.
    mine: dict[str, list[list[int]]] = {}
    data, _ = ours(case)
    for sample in found.samples:
        dataset = data["datasets"][sample.dataset]
        row = [int(sample.item.path[:3]), sample.repeats, *sample.fit.bucket, *sample.fit.scaled]
        mine.setdefault(f"{dataset['batch_group']} {dataset['path']}", []).append(row)
    expected = {
        f"{i} {folder}": rows for i, each in enumerate(theirs["datasets"]) for folder, rows in each["pictures"].items()
    }
    assert {key: sorted(rows) for key, rows in mine.items()} == expected
    if differ_in_batch_size(case):
        return  # there is one batch size for all datasets here; the import says so
    assert found.micro_batches == theirs["batches_per_epoch"]
    assert found.steps_per_epoch == theirs["steps_per_epoch"]
    assert found.total_steps == theirs["total_steps"]
    assert found.epochs == theirs["epochs"]


def test_lists_of_buckets_are_those_of_sd_scripts() -> None:
    compared = 0
    for case in cases():
        for dataset, theirs in zip(kohya_datasets(case), case["outcome"]["datasets"], strict=True):
            if "list" not in theirs:
                continue
            size = dataset["resolution"]
            size = (size, size) if isinstance(size, int) else tuple(size)
            limits = dataset["min_bucket_reso"], dataset["max_bucket_reso"], dataset["bucket_reso_steps"]
            assert [list(each) for each in kohya_buckets(size, *limits)] == known()["bucket_lists"][theirs["list"]]
            compared += 1
    assert compared > 100
