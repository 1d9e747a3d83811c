"""What is in a run's folder, while somebody works in it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from loratory.jobs import contents
from loratory.jobs.contents import checkpoints_of, disk_of, exports_of, files_of, samples_of
from loratory.runs import RunFolder
from loratory.server.tree import zip_stream
from loratory.trash import size_of
from tests.made_runs import make_run

LOOKS = {
    "size": lambda run: size_of(run.path), "disk": lambda run: disk_of(run.path), "checkpoints": checkpoints_of,
    "exports": exports_of, "samples": samples_of, "files": lambda run: files_of(run.path),
    "zip": lambda run: list(zip_stream([run.path])),
}  # fmt: skip


@pytest.fixture
def busy(own_home: Path) -> Iterator[RunFolder]:
    """A run in whose folder files come and go all the time, as retention and atomic writes make them."""
    run = make_run(own_home / "output", "busy")
    sample = next(run.samples_path.iterdir())
    over = threading.Event()

    def work() -> None:
        step = 100
        while not over.is_set():
            step += 1
            checkpoint, export = run.checkpoint_path(step), run.export_path(step)
            shutil.copytree(run.checkpoint_path(5), checkpoint)
            shutil.copy(run.final_export_path, export)
            picture = run.samples_path / f"{step:09d}{sample.name[9:]}"
            shutil.copy(sample, picture)
            (checkpoint / "manifest.tmp").write_bytes(b"x")
            for path in (checkpoint / "manifest.tmp", export, picture):
                path.unlink()
            shutil.rmtree(checkpoint)

    worker = threading.Thread(target=work)
    worker.start()
    yield run
    over.set()
    worker.join()


@pytest.mark.parametrize("name", LOOKS)
def test_what_comes_and_goes_meanwhile_is_no_error(busy: RunFolder, name: str) -> None:
    for _ in range(60):
        assert LOOKS[name](busy)


@pytest.mark.parametrize("when", ["before", "between"])
def test_a_sample_that_is_gone_has_no_part(own_home: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """Gone after the listing, or between the look at its size and the read of its words: another tells the prompt."""
    run = make_run(own_home / "output", "kept")
    whole, listed = samples_of(run), run.samples()
    first = whole.samples[0]
    monkeypatch.setattr(RunFolder, "samples", lambda run: listed)
    path = run.samples_path / first.file
    if when == "before":
        path.unlink()
    else:
        reads = contents.sample_text
        monkeypatch.setattr(contents, "sample_text", lambda each: (path.unlink(missing_ok=True), reads(each))[1])
    found = samples_of(run)
    assert first not in found.samples and len(found.samples) == len(whole.samples) - 1
    assert [(each.key, each.text, each.negative) for each in found.prompts] == [
        (each.key, each.text, each.negative) for each in whole.prompts
    ]
