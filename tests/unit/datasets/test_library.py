"""Which folders are datasets, what is known of them, and what somebody else changes in the meantime."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from loratory.data.images import decode, decode_small
from loratory.data.thumbnails import Thumbnails
from loratory.datasets import shelf as shelf_module
from loratory.datasets.checks import Examined, Thresholds, findings
from loratory.datasets.counts import buckets, placed
from loratory.datasets.errors import NotThere, Taken
from loratory.datasets.library import Library, finish_renames
from loratory.datasets.shelf import Shelf
from loratory.datasets.workbench import Workbench
from loratory.errors import UserError
from tests.unit.datasets.folders import make_dataset, open_dataset, picture_bytes


def test_roots_hold_datasets_or_are_one(tmp_path: Path) -> None:
    for name in ("kohya/10_dog", "many/one", "many/two", "many/.hidden", "flat"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "flat" / "a.png").write_bytes(picture_bytes())
    make_dataset("mine", {"a": "dog"})
    library = Library([tmp_path / "kohya", tmp_path / "many", tmp_path / "flat", tmp_path / "gone", tmp_path / "flat"])
    found = [(dataset.name, dataset.relative) for dataset in library.all()]
    assert found == [("mine", "mine"), ("kohya", "."), ("one", "one"), ("two", "two"), ("flat", ".")]
    ids = [dataset.id for dataset in library.all()]
    assert ids == [dataset.id for dataset in library.all()] and len(set(ids)) == 5
    assert all(len(each) == 12 and int(each, 16) >= 0 for each in ids)
    with pytest.raises(UserError, match="root of its own"):
        library.delete(library.find(ids[1]))
    with pytest.raises(UserError, match="root of its own"):
        library.rename(library.find(ids[1]), "x")


def test_history_follows_a_rename_also_when_the_process_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    for point in ("dataset.before_rename", "dataset.after_rename"):
        dataset = make_dataset(f"old {point}", {"a": "dog"})
        (dataset.state).mkdir(parents=True)
        (dataset.state / "settings.json").write_text('{"cover": "a.png"}')
        monkeypatch.setenv("LORATORY_FAULT", f"{point}=enospc")
        with pytest.raises(OSError, match="space"):
            Library().rename(dataset, f"new {point}")
        monkeypatch.delenv("LORATORY_FAULT")
        finish_renames(Library())
        now = next(each for each in Library().all() if each.name.endswith(point))
        assert (now.state / "settings.json").read_text() == '{"cover": "a.png"}'
        assert not (now.state / "moved_to").exists()


def test_a_change_of_case_is_a_rename_and_no_clash() -> None:
    dataset = make_dataset("dogs", {"a": "dog"})
    assert Library().rename(dataset, "Dogs").name == "Dogs"
    with pytest.raises(Taken):
        Library().create("DOGS")


def test_what_others_change_is_found() -> None:
    dataset = make_dataset("dogs", {"a": "dog", "b": None})
    shelf = Shelf()
    opened = shelf.open(dataset)
    before = opened.catalogue.revision
    (dataset.path / "b.txt").write_text("cat")
    (dataset.path / "a.txt").write_text("cow, cat")
    (dataset.path / "c.png").write_bytes(picture_bytes(32, 32, 9))
    shelf.open(dataset, look=True)
    assert opened.catalogue.paths == ["a.png", "b.png", "c.png"]
    assert [opened.catalogue.text(number) for number in range(3)] == ["cow, cat", "cat", ""]
    assert dict(opened.tag_counts()) == {"cat": 2, "cow": 1}
    assert opened.catalogue.revision > before
    fresh = Shelf().open(dataset)
    assert fresh.catalogue.paths == opened.catalogue.paths
    for path in dataset.path.iterdir():
        path.unlink()
    dataset.path.rmdir()
    with pytest.raises(NotThere):
        shelf.open(dataset, look=True)


def test_a_known_change_is_seen_however_long_the_last_look_took() -> None:
    dataset = make_dataset("dogs", {"a": "dog"})
    shelf = Shelf()
    opened = shelf.open(dataset)
    opened.took = 0.9  # longer than what is waited for without a reason
    (dataset.path / "b.png").write_bytes(picture_bytes(32, 32, 9))
    assert len(shelf.open(dataset).catalogue) == 1, "nobody has told of it"
    shelf.outdate([dataset.path])
    assert len(shelf.open(dataset).catalogue) == 2


def test_a_change_in_the_middle_of_a_look_is_not_passed_by(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make_dataset("dogs", {"a": "dog"})
    shelf = Shelf()
    shelf.open(dataset)
    make_catalogue, goes_on, is_read = shelf_module.make_catalogue, threading.Event(), threading.Event()

    def slow(*given: Any) -> Any:
        found = make_catalogue(*given)
        is_read.set()
        goes_on.wait(20)
        return found

    monkeypatch.setattr(shelf_module, "make_catalogue", slow)
    looking = threading.Thread(target=shelf.open, args=(dataset,), kwargs={"look": True})
    looking.start()
    assert is_read.wait(20)
    (dataset.path / "b.png").write_bytes(picture_bytes(32, 32, 9))
    shelf.outdate([dataset.path])
    goes_on.set()
    looking.join()
    assert len(shelf.open(dataset).catalogue) == 2


def test_a_look_that_sees_a_known_change_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's look is on its way, and has begun after the change: its end is what is asked for."""
    dataset = make_dataset("dogs", {"a": "dog"})
    shelf = Shelf()
    shelf.open(dataset).took = 0.9
    make_catalogue, begun = shelf_module.make_catalogue, threading.Event()

    def slow(*given: Any) -> Any:
        begun.set()
        time.sleep(0.3)
        return make_catalogue(*given)

    monkeypatch.setattr(shelf_module, "make_catalogue", slow)
    (dataset.path / "b.png").write_bytes(picture_bytes(32, 32, 9))
    shelf.outdate([dataset.path])
    looking = threading.Thread(target=shelf.open, args=(dataset,), kwargs={"look": True})
    looking.start()
    assert begun.wait(20)
    assert len(shelf.open(dataset).catalogue) == 2
    looking.join()


def test_odd_names_and_masks(tmp_path: Path) -> None:
    dataset = make_dataset("dogs", {"🐕 dog": "x", "masks/🐕 dog": None, "p" * 200: "y"})
    opened = open_dataset(dataset)
    assert opened.catalogue.paths == ["p" * 200 + ".png", "🐕 dog.png"]
    assert opened.catalogue.masks == {"🐕 dog.png": "masks/🐕 dog.png"}
    import os

    name = os.fsdecode(b"\xff.png")
    (dataset.path / name).write_bytes(picture_bytes())
    again = open_dataset(dataset).catalogue
    assert len(again) == 2
    assert "no UTF-8" in again.problems[-1].message or any("no UTF-8" in each.message for each in again.problems)


def test_findings_wait_for_content_and_survive_being_stopped() -> None:
    dataset = make_dataset("dogs", {"a": "x", "b": "x"})
    large = Image.open(dataset.path / "a.png")
    large.resize((320, 240), 3).save(dataset.path / "like a.jpg", quality=90)
    (dataset.path / "cut.png").write_bytes(picture_bytes(seed=7)[:-200])
    (dataset.path / "zero.png").write_bytes(b"")
    opened = open_dataset(dataset)
    examined = Examined(dataset)
    assert findings("look_alikes", opened.catalogue, examined, Thresholds()) == []

    def stop(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        examined.examine(opened.catalogue, stop)
    examined = Examined(dataset)
    assert examined.missing(opened.catalogue) == []
    limits = Thresholds()
    alike = findings("look_alikes", opened.catalogue, examined, limits)
    assert [each.items for each in alike] == [("a.png", "like a.jpg")]
    broken = findings("broken", opened.catalogue, examined, limits)
    assert {each.items[0] for each in broken} == {"cut.png", "zero.png"}
    assert [each.items for each in findings("same_caption", opened.catalogue, examined, limits)] == [("a.png", "b.png")]


def test_buckets_say_what_is_cut() -> None:
    from loratory.config.batching import BucketsConfig

    dataset = make_dataset("dogs", {"a": "x"}, width=200, height=100)
    opened = open_dataset(dataset)
    import numpy as np

    numbers = np.array([0])
    found = buckets(opened.catalogue, numbers, BucketsConfig(mode="off"), (64, 64), 2)
    one = placed(opened.catalogue, numbers, found, 0)
    # 200x100 becomes 128x64; the middle 64x64 of that is 100x100 of the picture.
    assert (one.bucket, one.box, one.cut_share, one.scale) == ((64, 64), (50, 0, 150, 100), 0.5, 0.64)
    assert (found.cropped, found.dropped, found.enlarged, found.batches_per_epoch) == (1, 0, 0, 1)


def test_thumbnails_are_upright_small_and_pruned(tmp_path: Path) -> None:
    image = Image.effect_noise((400, 200), 90).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    image.save(path, exif=exif)
    thumbnails = Thumbnails(tmp_path / "thumbs")
    small = thumbnails.get(path, "ab", 128)
    assert Image.open(small).size == (64, 128)
    assert thumbnails.get(path, "ab", 128) == small
    assert small.parent == tmp_path / "thumbs"
    small.write_bytes(b"")
    assert thumbnails.get(path, "ab", 128).stat().st_size > 0, "an empty one is made again"
    for number in range(5):
        thumbnails.get(path, f"c{number}", 128)
    thumbnails.cap_bytes = 3 * small.stat().st_size
    count, _ = thumbnails.prune()
    assert count == 4 and len(list(small.parent.iterdir())) == 2
    assert thumbnails.prune() == (0, 0)
    thumbnails.end()


def test_a_small_decoding_is_the_large_one_shrunk(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(picture_bytes(640, 480, 3))
    small = decode_small(path, 160)
    assert small.shape == (120, 160, 3)
    whole = decode(path).reshape(120, 4, 160, 4, 3).mean(axis=(1, 3))
    assert abs(whole - small).max() <= 2
    assert decode_small(path, 2000).shape == (480, 640, 3)


def test_summaries_are_kept_for_the_next_start() -> None:
    dataset = make_dataset("dogs", {"a": "dog", "b": None})
    (dataset.path / "bad.png").write_bytes(b"")
    first = Workbench().summaries()[0][1]
    assert first is not None
    assert (first.pictures, first.captioned, first.problems, first.cover) == (2, 1, 1, "a.png")
    assert Workbench().summaries()[0][1] == first
