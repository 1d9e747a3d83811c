"""The benchmark of recipes runs, and its figures are those of the runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.full
def test_one_recipe(tmp_path: Path) -> None:
    out, picture = tmp_path / "learning.json", tmp_path / "learning.png"
    command = [sys.executable, "benchmarks/learning/run.py", "--only", "AdamW 2.5e-3, cosine", "--steps", "8"]
    said = subprocess.run(
        [*command, "--every", "4", "--output", str(out), "--picture", str(picture)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    found = json.loads(out.read_text(encoding="utf-8"))
    (recipe,) = found["recipes"].values()
    assert 0 < recipe["lowest loss"] <= found["loss before training"]
    assert recipe["CPU ms per step"] > 0
    assert min(Image.open(picture).size) > 300
