"""`loratory plan`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from loratory.errors import UserError
from loratory.planner.command import Typed, card, plan_job, size_of


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORATORY_HOME", str(tmp_path / "home"))


def said(*arguments: object, **named: object) -> str:
    lines: list[str] = []
    assert plan_job(*arguments, say=lines.append, **named) == 0  # type: ignore[arg-type]
    return "\n".join(lines)


def test_without_a_dataset() -> None:
    text = said(None, ["batching.size=2"], architecture="sdxl", wanted=Typed(20, "1024x768"), gpu_memory=12.0)
    assert "20 pictures" in text
    assert "bucket 1152x896" in text
    assert "Will not fit in 12.0 GiB" in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_a_job_file_and_its_pictures(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, size in enumerate([(512, 512), (640, 512), (512, 512)]):
        Image.new("RGB", size).save(photos / f"{number}.png")
    job = tmp_path / "job.yaml"
    job.write_text(
        f"name: a\nmodel: {{architecture: sd15, path: some/model}}\ndatasets: [{{path: {photos.as_posix()}}}]\n"
        "duration: {epochs: 4}\nmemory: {gradient_checkpointing: on}\n"
    )
    found = json.loads(said(job, [], as_json=True))
    assert (found["pictures"], found["steps_per_epoch"], found["total_steps"]) == (3, 3, 12)
    assert found["memory_bytes"]["training"]["activations"] > 0
    assert found["fit"] is None or found["machine"]["memory_bytes"]
    many = json.loads(said(job, [], as_json=True, wanted=Typed(100), gpu_memory=24.0))
    assert (many["pictures"], many["fit"]["fits"]) == (100, True)


def test_what_cannot_be_planned_is_said() -> None:
    with pytest.raises(UserError, match="--architecture and --pictures"):
        plan_job(None, [], print)
    with pytest.raises(UserError, match="sdxxl"):
        plan_job(None, [], print, architecture="sdxxl", wanted=Typed(3))
    for size in ("big", "0x10", "10x", "-5"):
        with pytest.raises(UserError, match="--size"):
            size_of(size)
    with pytest.raises(UserError, match="--gpu-memory"):
        card(-1.0, "auto")


def test_sizes() -> None:
    assert size_of("1024x768") == size_of("1024 X 768") == (1024, 768)
    assert size_of("512") == (512, 512)


def test_planning_needs_no_torch() -> None:
    code = (
        "import sys; from loratory.planner.command import *; "
        "plan_job(None, [], lambda _: None, architecture='flux1', wanted=Typed(9), gpu_memory=24.0); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'diffusers', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
