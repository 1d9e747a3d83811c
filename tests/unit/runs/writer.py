"""Writes everything that a run ever writes, in an old run folder; started as a process of its own to be killed."""

import os
import sys
from pathlib import Path

from loratory.files import DiskFull, new_folder, write_atomic, write_points
from loratory.runs import RunFolder, keep_last, request


def fill(folder: Path, text: str) -> None:
    (folder / "state").mkdir()
    (folder / "state" / "optimizer.bin").write_text(text * 100, encoding="ascii")
    (folder / "weights.safetensors").write_text(text, encoding="ascii")


def write_old(run_path: Path) -> None:
    """What stands there before: one checkpoint, one of everything, nobody at work."""
    run = RunFolder.create(run_path.parent, run_path.name)
    run.write_config("old")
    with run.lock():
        run.write_status("starting", step=0, total_steps=9)
        run.emit("began", round="old")
        with run.metrics() as metrics:
            for step in (1, 2, 3):
                metrics.append(step, loss=1.0)
        with run.new_checkpoint(1) as folder:
            fill(folder, "old")
        write_atomic(run.export_path(1), b"old", point="export")
        write_atomic(run.sample_path(1, 0, "ab"), b"old", point="sample")
        write_atomic(run.path / "notes.txt", b"old")
        with new_folder(run.path / "extra") as folder:
            fill(folder, "old")
        run.write_status("stopped", step=1)


def write_new(run_path: Path) -> None:
    """Everything again, over the old and beside it; may be repeated."""
    run = RunFolder.open(run_path)
    with run.lock():
        run.write_status("starting")
        run.write_config("new")
        run.emit("began", round="new")
        with run.metrics() as metrics:
            metrics.truncate_after(1)
            metrics.append(2, loss=2.0)
        with run.new_checkpoint(1) as folder:
            fill(folder, "new")
        with run.new_checkpoint(2) as folder:
            fill(folder, "new")
        write_atomic(run.export_path(1), b"new", point="export")
        write_atomic(run.sample_path(1, 0, "ab"), lambda stream: stream.write(b"new"), point="sample")
        write_atomic(run.path / "notes.txt", b"new")
        with new_folder(run.path / "extra", replace=True) as folder:
            fill(folder, "new")
        write_atomic(run.export_path(2), b"new", point="export")
        keep_last([run.export_path(1), run.export_path(2)], 1)
        request(run.path, "save", {"from": "writer"})
        for pending in run.pending_requests():
            run.answer(pending)
        if not (run_path.parent / "second").exists():
            RunFolder.create(run_path.parent, "second")
        run.write_status("finished", step=2)


if __name__ == "__main__":
    # A killed process leaves its writes in the system's memory. Flushing them to the disk is tested elsewhere.
    os.fsync = lambda descriptor: None
    if sys.argv[1] == "--points":
        sys.stdout.write("\n".join(sorted(write_points())))
    else:
        try:
            write_new(Path(sys.argv[1]))
        except DiskFull as full:
            sys.exit(f"DiskFull: {full}")
