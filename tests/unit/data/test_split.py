"""Which pictures are kept back: by what they hold alone, never on both sides, whatever joins them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from loratory.config.load import parse
from loratory.config.train import TrainConfig
from loratory.data.scan import ContentHashes, Item, Scan
from loratory.data.split import Apart, own_folder, read_like, set_apart
from loratory.errors import UserError

Sets = Mapping[str, Mapping[str, bytes]]


def folder(root: Path, files: Mapping[str, bytes]) -> tuple[Scan, ContentHashes]:
    """A dataset whose "pictures" hold these bytes: the split never opens them as pictures."""
    items = []
    for name, content in sorted(files.items()):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        status = path.stat()
        items.append(Item(name, 64, 64, None, status.st_size, status.st_mtime_ns, 5, ""))
    return Scan(root, tuple(items), ()), ContentHashes(None, root)


def job(sets: Sets, validation: dict[str, Any], **first: Any) -> TrainConfig:
    datasets = [{"path": name, "is_regularisation": name.startswith("reg")} for name in sets]
    datasets[0] |= first
    return parse({"name": "a", "model": {"path": "demo"}, "datasets": datasets, "validation": validation}, "test")


def split(tmp_path: Path, sets: Sets, **validation: Any) -> Apart:
    found = [folder(tmp_path / name, files) for name, files in sets.items()]
    extra = folder(tmp_path / "kept", validation.pop("kept")) if "kept" in validation else None
    config = job(sets, validation if extra is None else {"path": str(tmp_path / "kept"), **validation})
    return set_apart(config, [scan for scan, _ in found], [hashes for _, hashes in found], extra)


def names(scans: list[Scan]) -> list[list[str]]:
    return [[item.path for item in scan.items] for scan in scans]


def contents(scans: list[Scan]) -> list[bytes]:
    return [(scan.root / item.path).read_bytes() for scan in scans for item in scan.items]


def numbered(count: int, start: int = 0) -> dict[str, bytes]:
    return {f"{number:04}.png": b"picture %d" % number for number in range(start, start + count)}


def side(content: bytes, seed: int) -> float:
    """As the module says it, by hand: BLAKE2b of seed and content hash, eight bytes, little-endian, as a share."""
    inner = hashlib.blake2b(content, digest_size=16).hexdigest()
    outer = hashlib.blake2b(f"{seed}/validation/{inner}".encode(), digest_size=8).digest()
    return int.from_bytes(outer, "little") / 2**64


def test_a_share_by_hash(tmp_path: Path) -> None:
    files = numbered(1500)
    found = split(tmp_path, {"a": files}, split=0.2, seed=7, max_pictures=None)
    expected = sorted(name for name, content in files.items() if side(content, 7) < 0.2)
    assert names(found.held_out) == [expected]
    assert sorted([*expected, *names(found.training)[0]]) == sorted(files)
    assert abs(len(expected) - 300) < 4 * (1500 * 0.2 * 0.8) ** 0.5, "four standard deviations of a fair draw"
    other = split(tmp_path, {"a": files}, split=0.2, seed=8, max_pictures=None)
    assert names(other.held_out) != [expected]


def test_one_picture_under_many_names_is_on_one_side(tmp_path: Path) -> None:
    files = numbered(60)
    copies = {f"x/copy {name}": content for name, content in files.items()}
    found = split(tmp_path, {"a": files, "10_b": copies, "c": {**files, **numbered(20, 500)}}, split=0.3)
    both = set(contents(found.training)) & set(contents(found.held_out))
    assert both == set()
    measured = contents(found.held_out)
    assert len(measured) == len(set(measured)) > 5, "each is measured once, however many files hold it"
    assert set(measured) | set(contents(found.training)) == {*files.values(), *numbered(20, 500).values()}
    assert all(item.repeats == 1 for scan in found.held_out for item in scan.items)
    assert any("more files hold the same pictures" in note for note in found.notes)


def test_growing_moves_no_old_picture(tmp_path: Path) -> None:
    small = split(tmp_path / "1", {"a": numbered(80)}, split=0.25)
    large = split(tmp_path / "2", {"b": numbered(40, 900), "a": numbered(120)}, split=0.25)
    old = set(numbered(80).values())
    assert set(contents(small.held_out)) == set(contents(large.held_out)) & old
    assert set(contents(small.training)) == set(contents(large.training)) & old


def test_what_is_measured_when_there_are_too_many(tmp_path: Path) -> None:
    """Those with the lowest places: new pictures push out as few as they take the place of."""
    small = split(tmp_path / "1", {"a": numbered(200)}, split=0.5, max_pictures=20)
    places = sorted(side(content, 42) for content in numbered(200).values())
    assert sorted(side(content, 42) for content in contents(small.held_out)) == places[:20]
    large = split(tmp_path / "2", {"a": numbered(220)}, split=0.5, max_pictures=20)
    joined = sum(side(content, 42) < places[20] for content in numbered(20, 200).values())
    assert len(set(contents(small.held_out)) & set(contents(large.held_out))) >= 20 - joined
    unused = set(numbered(200).values()) - set(contents(small.held_out)) - set(contents(small.training))
    assert len(unused) > 50, "kept back and not measured: they are not trained on either"


def test_regularisation_sets_give_nothing_and_leave_copies_out(tmp_path: Path) -> None:
    sets = {"a": numbered(40), "reg": {**numbered(10), **numbered(30, 300)}}
    found = split(tmp_path, sets, split=0.4)
    assert len(found.held_out) == 1
    assert set(contents(found.held_out)) <= set(numbered(40).values())
    own = {content for content in numbered(30, 300).values()}
    assert own <= set(contents(found.training)), "all that is only in a regularisation set stays in it"
    assert set(contents(found.training)) & set(contents(found.held_out)) == set()


@pytest.mark.parametrize(
    ("sets", "validation", "words"),
    [
        ({"a": numbered(3)}, {"split": 1e-9}, "keeps none of 3 pictures back"),
        ({"a": numbered(3)}, {"split": 0.999999999}, "keeps all 3 pictures back"),
        ({"a": {"x.png": b"1", "y.png": b"1"}}, {"split": 0.999999}, "keeps all 1 pictures back"),
        ({"reg": numbered(3)}, {"split": 0.5}, "only regularisation sets"),
        (
            {"a": numbered(3), "reg": numbered(3, 5)},
            {"kept": {"z.png": b"picture 6"}},
            "are among those that are trained",
        ),
    ],
)
def test_nothing_on_one_side(tmp_path: Path, sets: Sets, validation: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        split(tmp_path, sets, **validation)


def test_a_folder_of_its_own(tmp_path: Path) -> None:
    """Everything is trained on; what lies in both is said and not measured."""
    kept = {f"other name {number}.png": b"picture %d" % number for number in range(5)} | numbered(6, 100)
    found = split(tmp_path, {"a": numbered(5)}, kept=kept)
    assert names(found.training) == [sorted(numbered(5))]
    assert sorted(contents(found.held_out)) == sorted(numbered(6, 100).values())
    (warning,) = found.warnings
    assert "other name 0.png, other name 1.png, other name 2.png and 2 more" in warning
    assert [dataset.path for dataset in found.config.datasets] == [str(tmp_path / "kept")]
    assert split(tmp_path / "2", {"a": numbered(5)}, kept=numbered(6, 100)).warnings == []


def test_an_own_folder_is_read_like_the_first_dataset_that_is_no_regularisation_set() -> None:
    config = job({"reg": {}, "a": {}, "b": {}}, {"path": "kept"}, captions={"extensions": [".reg"]})
    assert read_like(config).path == "a"
    assert own_folder(config) == (Path("kept"), config.datasets[1].captions.extensions)
    assert own_folder(job({"a": {}}, {"split": 0.1})) is None


def test_captions_and_pictures_without_chance(tmp_path: Path) -> None:
    """What a caption always has stays; what is drawn goes."""
    captions = {
        "prefix": "photo of", "shuffle": True, "dropout_rate": 0.5, "tag_dropout_rate": 0.5, "variants": 4,
        "token_warmup_steps": 9, "random_triggers": ["x"], "dropout_every_n_epochs": 2, "wildcards": True,
    }  # fmt: skip
    scan, hashes = folder(tmp_path / "a", numbered(20))
    config = job({"a": {}}, {"split": 0.5, "seed": 5}, captions=captions, trigger_word="ohwx", resolutions=[64, 96],
                 num_repeats=7, augmentation={"flip": True, "zoom": 2.0})  # fmt: skip
    (dataset,) = set_apart(config, [scan], [hashes], None).config.datasets
    plain = config.datasets[0].captions.model_dump() | {
        "shuffle": False, "dropout_rate": 0.0, "tag_dropout_rate": 0.0, "variants": 1, "token_warmup_steps": 0.0,
        "random_triggers": (), "dropout_every_n_epochs": None,
    }  # fmt: skip
    assert dataset.captions.model_dump() == plain
    assert (dataset.trigger_word, dataset.resolutions, dataset.num_repeats) == ("ohwx", (64,), 1)
    assert not dataset.augmentation.flip and not dataset.augmentation.varies()
    assert set_apart(config, [scan], [hashes], None).config.seed == 5
