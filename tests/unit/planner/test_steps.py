"""Pictures and settings become samples, buckets, batches and steps."""

from __future__ import annotations

import dataclasses
from collections import Counter
from math import ceil
from pathlib import Path
from typing import Any

import pytest

from loratory.config.architectures import SPECS
from loratory.config.batching import BucketsConfig, DurationConfig
from loratory.config.load import parse
from loratory.config.sizes import resolution_of
from loratory.data.scan import Item, Scan
from loratory.errors import UserError
from loratory.planner import Plan, bucket_rule, plan, total_steps

SD15, FLUX = SPECS["sd15"], SPECS["flux1"]
Pictures = list[tuple[str, int, int]]


def scan_of(pictures: Pictures, root: str = "photos", repeats: int = 1) -> Scan:
    items = [Item(path, width, height, None, 1, 1, repeats, "") for path, width, height in pictures]
    return Scan(Path(root), tuple(sorted(items, key=lambda item: item.path)), ())


def plan_of(
    *pictures: Pictures, datasets: list[dict[str, Any]] | None = None, repeats: int = 1, **changes: Any
) -> Plan:
    """A plan of these datasets, at 64 pixels in steps of 16."""
    parts = datasets or [{} for _ in pictures]
    batching = {"buckets": {"resolution": 64, "step": 16}} | changes.pop("batching", {})
    data = {
        "name": "a", "model": {"path": "demo"}, "duration": {"steps": 10}, "batching": batching,
        "datasets": [{"path": f"photos{number}", **part} for number, part in enumerate(parts)],
    }  # fmt: skip
    broken = changes.pop("broken", ())
    scans = [scan_of(each, f"photos{number}", repeats) for number, each in enumerate(pictures)]
    return plan(parse(data | changes, "test"), SD15, scans, broken)


SQUARE, WIDE, TALL = ("s.png", 100, 100), ("w.png", 200, 100), ("t.png", 100, 200)


# Buckets -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "resolution", "minimum", "maximum"),
    [
        ({}, (1024, 1024), 256, 2048),
        ({}, (512, 512), 256, 1024),
        ({}, (320, 320), 256, 640),
        ({}, (256, 256), 128, 512),  # at 256 a smallest side of 256 would leave one bucket only
        ({}, (128, 128), 64, 256),
        ({}, (64, 64), 64, 128),
        ({"step": 16}, (64, 64), 32, 128),
        ({"step": 16}, (72, 72), 32, 144),
        ({"step": 16}, (16, 16), 16, 32),
        ({"minimum": 32, "step": 16}, (64, 64), 32, 128),
        ({"minimum": 512}, (1024, 1024), 512, 2048),
        ({"minimum": 100}, (1024, 1024), 100, 2048),  # rounded down to the step where the buckets are made
        ({"minimum": 16, "step": 64}, (1024, 1024), 64, 2048),
        ({"maximum": 1536}, (1024, 1024), 256, 1536),
        ({"adapt_minimum": False}, (256, 256), 256, 512),
        ({"adapt_minimum": False, "minimum": 100}, (512, 512), 100, 1024),
        ({}, (768, 512), 256, 1536),
        ({}, (128, 512), 64, 1024),
    ],
)
def test_limits_of_buckets_follow_the_resolution(
    settings: dict[str, int], resolution: tuple[int, int], minimum: int, maximum: int
) -> None:
    rule = bucket_rule(BucketsConfig(**settings), resolution)
    assert (rule.minimum, rule.maximum, rule.resolution, rule.step) == (
        minimum, maximum, resolution, settings.get("step", 64)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("upscale", "kohya"), ("no_upscale", "kohya_no_upscale"), ("aitoolkit", "aitoolkit"), ("off", "off")],
)
def test_modes_have_their_rules(mode: str, kind: str) -> None:
    assert bucket_rule(BucketsConfig(mode=mode), (512, 512)).kind == kind


def test_limits_that_leave_no_room_are_refused() -> None:
    with pytest.raises(UserError, match="outside the bucket limits"):
        bucket_rule(BucketsConfig(maximum=512), (1024, 1024))
    with pytest.raises(UserError, match="smaller than the bucket step"):
        bucket_rule(BucketsConfig(), (32, 32))


def test_the_resolution_is_the_architectures_unless_given() -> None:
    assert resolution_of(BucketsConfig(), SD15) == (512, 512)
    assert resolution_of(BucketsConfig(), FLUX) == (1024, 1024)
    assert resolution_of(BucketsConfig(resolution=768), FLUX) == (768, 768)
    assert resolution_of(BucketsConfig(resolution=(768, 512)), SD15) == (768, 512)


def test_pictures_go_to_buckets_of_their_shape() -> None:
    found = plan_of([SQUARE, WIDE, TALL])
    buckets = {sample.item.path: sample.fit.bucket for sample in found.samples}
    # The area is that of 64x64: a ratio of 2 is nearest to 80x48 (1.67) or 96x32 (3).
    assert buckets == {"s.png": (64, 64), "w.png": (80, 48), "t.png": (48, 80)}
    assert list(found.buckets) == sorted(found.buckets)
    assert all(found.samples[index].fit.bucket == size for size, members in found.buckets.items() for index in members)


# Samples -----------------------------------------------------------------------------------------------------


def test_repeats_of_folder_and_dataset_multiply() -> None:
    found = plan_of([SQUARE, WIDE], [TALL], datasets=[{"num_repeats": 3}, {}], repeats=2)
    assert [(sample.dataset, sample.item.path, sample.repeats) for sample in found.samples] == [
        (0, "s.png", 6), (0, "w.png", 6), (1, "t.png", 2)
    ]  # fmt: skip
    assert {size: Counter(members.tolist()) for size, members in found.buckets.items()} == {
        (64, 64): {0: 6}, (80, 48): {1: 6}, (48, 80): {2: 2}
    }  # fmt: skip


def test_datasets_of_different_groups_share_no_batch() -> None:
    datasets = [{"batch_group": "b"}, {}, {"batch_group": "b"}, {"batch_group": "a"}]
    found = plan_of([SQUARE], [SQUARE], [SQUARE], [SQUARE], datasets=datasets, batching={"size": 4})
    assert {size: members.tolist() for size, members in found.buckets.items()} == {
        (64, 64): [1], (64, 64, "a"): [3], (64, 64, "b"): [0, 2]
    }  # fmt: skip
    assert found.micro_batches == 3
    assert plan_of([SQUARE], [SQUARE], [SQUARE], [SQUARE], batching={"size": 4}).micro_batches == 1


@pytest.mark.parametrize(
    ("trained", "regular", "expected"),
    [
        (7, [1, 1, 1], [3, 2, 2]),  # 3 at first, then one more each in turn until there are 7
        (6, [1, 1, 1], [2, 2, 2]),
        (2, [1, 1, 1], [1, 1, 0]),  # the third is not used
        (5, [3, 3, 3], [3, 3, 0]),  # each begins with its own repeats; the second brings more than are needed
        (10, [2, 3], [5, 5]),  # 2 + 3, and 5 more in turn: 3 for the first, 2 for the second
        (11, [2, 3], [5, 6]),
    ],
)
def test_regularisation_pictures_are_balanced(trained: int, regular: list[int], expected: list[int]) -> None:
    extra = [[(f"{i}.png", 100, 100)] for i in range(len(regular))]
    datasets: list[dict[str, Any]] = [
        {"num_repeats": trained}, *({"num_repeats": count, "is_regularisation": True} for count in regular)
    ]  # fmt: skip
    batching = {"size": 1, "buckets": {"resolution": 64, "step": 16}}
    found = plan_of([SQUARE], *extra, datasets=datasets, batching=batching | {"balance_regularisation": True})
    counts = {sample.dataset: sample.repeats for sample in found.samples}
    assert [counts.get(number, 0) for number in range(len(datasets))] == [trained, *expected]
    assert any("leaves out" in note for note in found.notes) == (0 in expected)
    asked = plan_of([SQUARE], *extra, datasets=datasets, batching=batching)
    assert [sample.repeats for sample in asked.samples] == [trained, *regular]


def test_groups_are_balanced_one_by_one() -> None:
    datasets: list[dict[str, Any]] = [
        {"num_repeats": 5}, {"is_regularisation": True}, {"num_repeats": 2, "batch_group": "b"},
        {"is_regularisation": True, "batch_group": "b"}, {"is_regularisation": True, "batch_group": "alone"},
    ]  # fmt: skip
    batching = {"buckets": {"resolution": 64, "step": 16}, "balance_regularisation": True}
    found = plan_of(*[[SQUARE]] * 5, datasets=datasets, batching=batching)
    assert [(sample.dataset, sample.repeats) for sample in found.samples] == [(0, 5), (1, 5), (2, 2), (3, 2)]


def test_datasets_share_buckets_and_keep_their_names() -> None:
    found = plan_of([SQUARE], [SQUARE])
    assert [sample.key for sample in found.samples] == ["0/s.png", "1/s.png"]
    assert {size: members.tolist() for size, members in found.buckets.items()} == {(64, 64): [0, 1]}


def test_several_resolutions_multiply_the_pictures() -> None:
    datasets = [{"resolutions": [64, 96, [32, 64], 64]}, {}]
    found = plan_of([SQUARE, WIDE], [SQUARE], datasets=datasets)
    # By picture and then by size; the size named twice counts once.
    assert [(sample.key, sample.fit.bucket) for sample in found.samples] == [
        ("0/s.png", (64, 64)), ("0/s.png", (96, 96)), ("0/s.png", (32, 32)),
        ("0/w.png", (80, 48)), ("0/w.png", (128, 64)), ("0/w.png", (64, 32)),
        ("1/s.png", (64, 64)),
    ]  # fmt: skip


def test_broken_pictures_are_left_out_of_their_dataset_only() -> None:
    found = plan_of([SQUARE, WIDE], [SQUARE], broken={(0, "s.png")})
    assert [sample.key for sample in found.samples] == ["0/w.png", "1/s.png"]
    with pytest.raises(UserError, match="None of the pictures can be used"):
        plan_of([SQUARE], broken={(0, "s.png")})


def test_too_small_pictures_are_named_and_enlarged_only_where_allowed() -> None:
    small = ("small.png", 100, 9)
    batching = {"buckets": {"resolution": 64, "step": 16, "mode": "no_upscale"}}
    found = plan_of([SQUARE, small], batching=batching)
    assert [sample.item.path for sample in found.samples] == ["s.png"]
    (note,) = found.notes
    assert str(Path("photos0/small.png")) in note
    assert "100x9" in note
    with pytest.raises(UserError, match="None of the pictures can be used"):
        plan_of([small, ("tiny.png", 8, 8)], batching=batching)
    assert len(plan_of([small]).samples) == 1


# Steps -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
@pytest.mark.parametrize("accumulation", [1, 2, 5])
def test_steps_of_an_epoch(batch_size: int, accumulation: int) -> None:
    squares: Pictures = [(f"s{number}.png", 100, 100) for number in range(5)]
    wide: Pictures = [(f"w{number}.png", 200, 100) for number in range(7)]
    batching = {
        "size": batch_size, "gradient_accumulation_steps": accumulation, "buckets": {"resolution": 64, "step": 16}
    }  # fmt: skip
    found = plan_of([*squares, *wide], batching=batching, duration={"epochs": 3})
    batches = ceil(5 / batch_size) + ceil(7 / batch_size)
    assert (found.batch_size, found.accumulation, found.micro_batches) == (batch_size, accumulation, batches)
    assert found.steps_per_epoch == ceil(batches / accumulation)
    assert found.total_steps == 3 * found.steps_per_epoch
    assert found.epochs == 3
    assert found.notes == ()


@pytest.mark.parametrize(
    ("duration", "per_epoch", "steps", "said"),
    [
        ({"steps": 7}, 10, 7, ()),
        ({"epochs": 7}, 10, 70, ()),
        ({"steps": 50, "epochs": 7}, 10, 50, ("steps come first", "50 steps")),
        ({"steps": 500, "epochs": 7}, 10, 70, ("epochs come first", "70 steps")),
        ({"steps": 70, "epochs": 7}, 10, 70, ("come first", "70 steps")),
        ({}, 1, 500, ("500 steps", "500 passes")),
        ({}, 10, 1000, ("1000 steps", "100 passes")),
        ({}, 30, 3000, ("3000 steps", "100 passes")),
        ({}, 600, 3000, ("3000 steps", "5 passes")),
    ],
)
def test_how_long(duration: dict[str, int], per_epoch: int, steps: int, said: tuple[str, ...]) -> None:
    found, notes = total_steps(DurationConfig(**duration), per_epoch)
    assert found == steps
    assert len(notes) == (1 if said else 0)
    assert all(words in notes[0] for words in said)


@pytest.mark.parametrize(("steps", "epochs"), [(1, 1), (5, 1), (6, 2), (10, 2), (11, 3)])
def test_epochs_that_are_begun_count(steps: int, epochs: int) -> None:
    pictures: Pictures = [(f"{number}.png", 100, 100) for number in range(5)]
    assert plan_of(pictures, duration={"steps": steps}).epochs == epochs


def test_notes_reach_the_plan() -> None:
    assert "about 500 passes" in " ".join(plan_of([SQUARE], duration={}).notes)


# Fingerprint -------------------------------------------------------------------------------------------------


def test_the_fingerprint_stands_for_the_pictures_and_nothing_else() -> None:
    plain = plan_of([SQUARE, WIDE]).fingerprint()
    assert plan_of([WIDE, SQUARE]).fingerprint() == plain
    assert plan_of([SQUARE, WIDE], duration={"epochs": 9}, seed=7, network={"rank": 2}).fingerprint() == plain
    step, resolution = {"buckets": {"resolution": 64, "step": 32}}, {"buckets": {"resolution": 96, "step": 16}}
    others = {
        "joined": plan_of([SQUARE, WIDE, TALL]),
        "left": plan_of([SQUARE, WIDE], broken={(0, "s.png")}),
        "renamed": plan_of([SQUARE, ("v.png", 200, 100)]),
        "resized": plan_of([("s.png", 101, 101), WIDE]),
        "repeated": plan_of([SQUARE, WIDE], datasets=[{"num_repeats": 2}]),
        "other buckets": plan_of([SQUARE, WIDE], batching=step),
        "another resolution": plan_of([SQUARE, WIDE], batching=resolution),
        "another size too": plan_of([SQUARE, WIDE], datasets=[{"resolutions": [64, 96]}]),
        "another dataset": plan_of([SQUARE], [WIDE]),
    }
    found = {name: each.fingerprint() for name, each in others.items()}
    assert len({plain, *found.values()}) == 1 + len(others), found


def test_the_fingerprint_sees_a_moved_crop() -> None:
    before = plan_of([SQUARE])
    (sample,) = before.samples
    moved = dataclasses.replace(sample, fit=dataclasses.replace(sample.fit, crop=(1, 0)))
    assert dataclasses.replace(before, samples=(moved,)).fingerprint() != before.fingerprint()
