"""Archives and folders become datasets: whole ones, or files in one that is there; all or nothing."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from loratory.data.imports import import_archive, import_folder
from loratory.errors import UserError
from loratory.files import DiskFull

OLD = {"dog.png": b"old", "dog.txt": b"old words", "sub/cat.png": b"old cat"}
NEW = {"dog.png": b"new", "dog.txt": b"new words", "sub/cat.png": b"new cat", "sub/fish.png": b"fish"}


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def bring(tmp_path, request):
    """An import of NEW from either kind of source."""

    def archive(dataset: Path, clash: str = "refuse", **more):
        with zipfile.ZipFile(tmp_path / "new.zip", "w") as packed:
            for name, data in NEW.items():
                packed.writestr(name, data)
        return import_archive(tmp_path / "new.zip", dataset, clash=clash, **{"discard": never_discard, **more})

    def folder(dataset: Path, clash: str = "refuse", **more):
        source = fill(tmp_path / "source", NEW)
        return import_folder(source, dataset, how="copy", clash=clash, **{"discard": never_discard, **more})

    return {"archive": archive, "folder": folder}[request.param]


def never_discard(paths: list[Path]) -> None:
    raise AssertionError("nothing is to be replaced")


both = pytest.mark.parametrize("bring", ["archive", "folder"], indirect=True)


@both
def test_a_new_dataset(tmp_path, bring):
    report = bring(tmp_path / "set")
    assert contents(tmp_path / "set") == NEW
    assert (report.files, report.pictures, report.captions, report.other_files) == (4, 3, 1, 0)
    assert report.bytes == sum(map(len, NEW.values()))


@both
def test_names_that_are_there_are_refused_and_nothing_has_changed(tmp_path, bring):
    dataset = fill(tmp_path / "set", OLD)
    with pytest.raises(UserError, match=r"3 of the files are in the dataset already, such as (dog|sub)") as caught:
        bring(dataset)
    assert caught.value.code == "exists", "the browser asks then what to do with the names"
    assert contents(dataset) == OLD
    assert [path.name for path in dataset.iterdir() if path.name.startswith(".")] == []


@both
def test_or_skipped_numbered_or_replaced(tmp_path, bring):
    dataset = fill(tmp_path / "skip", OLD)
    report = bring(dataset, "skip")
    assert contents(dataset) == OLD | {"sub/fish.png": b"fish"}
    assert (report.files, report.bytes, report.left_out_count) == (1, 4, 3)

    dataset = fill(tmp_path / "number", OLD)
    report = bring(dataset, "number")
    assert contents(dataset) == OLD | {
        "dog (2).png": b"new", "dog (2).txt": b"new words", "sub/cat (2).png": b"new cat", "sub/fish.png": b"fish",
    }  # fmt: skip
    assert report.renamed_count == 3

    dataset, gone = fill(tmp_path / "replace", OLD), []

    def discard(paths: list[Path]) -> None:
        gone.extend(paths)
        for path in paths:
            path.unlink()

    report = bring(dataset, "replace", discard=discard)
    assert contents(dataset) == NEW
    assert report.replaced == len(gone) == 3


@both
def test_a_cancel_leaves_nothing(tmp_path, bring):
    def end(done: int, total: int) -> None:
        raise KeyboardInterrupt

    for dataset in (tmp_path / "set", fill(tmp_path / "old", OLD)):
        before = contents(dataset)
        with pytest.raises(KeyboardInterrupt):
            bring(dataset, "number", ask=end)
        assert contents(dataset) == before
    assert not (tmp_path / "set").exists()


@both
@pytest.mark.parametrize("point", ["import.before_write", "import.before_rename"])
def test_a_full_disk_leaves_nothing(tmp_path, bring, monkeypatch, point):
    monkeypatch.setenv("LORATORY_FAULT", f"{point}=enospc")
    for dataset in (tmp_path / "set", fill(tmp_path / "old", OLD)):
        before = contents(dataset)
        with pytest.raises(DiskFull):
            bring(dataset, "number")
        assert contents(dataset) == before
        monkeypatch.setenv("LORATORY_FAULT", f"{point}:1=enospc")


def test_links_share_the_bytes_and_edits_do_not(tmp_path):
    source = fill(tmp_path / "source", NEW)
    (source / "way.png").symlink_to("/etc/passwd")
    report = import_folder(source, tmp_path / "set", how="link", clash="refuse", discard=never_discard)
    assert (source / "dog.png").samefile(tmp_path / "set" / "dog.png")
    assert [(each.name, each.reason) for each in report.left_out] == [("way.png", "it is a link")]
    assert not (tmp_path / "set" / "way.png").is_symlink()


def test_a_folder_into_itself(tmp_path):
    source = fill(tmp_path / "source", NEW)
    for dataset in (source, source / "sub" / "new"):
        with pytest.raises(UserError, match="holds the dataset itself"):
            import_folder(source, dataset, how="copy", clash="number", discard=never_discard)
