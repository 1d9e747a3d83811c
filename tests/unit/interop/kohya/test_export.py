"""`loratory config export --to kohya`: folders, captions, and what is said."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from loratory.cli import app


def pictures(folder: Path, *names: str, caption: str | None = "a dog", ending: str = ".txt") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (512, 512)).save(folder / f"{name}.png")
        if caption is not None:
            (folder / f"{name}{ending}").write_text(caption, encoding="utf-8")


def export(folder: Path, job: str, *options: str, to: str = "kohya") -> tuple[int, str, Path]:
    file = folder / "job.yaml"
    file.write_text(job, encoding="utf-8")
    out = folder / "out"
    result = CliRunner().invoke(app, ["config", "export", str(file), "--to", to, "--out", str(out), *options])
    return result.exit_code, result.output, out


def subsets(out: Path) -> list[dict[str, Any]]:
    text = (out / "dataset.toml").read_text(encoding="utf-8")
    return [subset for dataset in tomllib.loads(text)["datasets"] for subset in dataset["subsets"]]


JOB = "name: a\nmodel: {path: /m/x.safetensors, architecture: sdxl}\ndatasets: [{path: ./photos, num_repeats: 2}]\n"


def test_every_folder_is_a_subset(tmp_path: Path) -> None:
    """sd-scripts looks into no sub-folder, and knows no `10_name` there."""
    pictures(tmp_path / "photos", "a", "b")
    pictures(tmp_path / "photos" / "10_ohwx dog", "c", caption=None)
    pictures(tmp_path / "photos" / "10_ohwx dog" / "deep", "d", ending=".caption")
    code, said, out = export(tmp_path, JOB)
    assert code == 0, said
    found = [(Path(each["image_dir"]).relative_to(tmp_path).as_posix(), each["num_repeats"],
              each.get("class_tokens"), each["caption_extension"]) for each in subsets(out)]  # fmt: skip
    assert found == [
        ("photos", 2, None, ".txt"),
        ("photos/10_ohwx dog", 20, "ohwx dog", ".txt"),
        ("photos/10_ohwx dog/deep", 20, "ohwx dog", ".caption"),
    ]
    # No length is given, so that it is counted: batches of one picture, a hundred passes, at most 3000 steps.
    uses = 2 * 2 + 20 + 20
    steps = tomllib.loads((out / "config.toml").read_text(encoding="utf-8"))["max_train_steps"]
    assert steps == min(3000, max(500, 100 * uses))
    assert f"{steps} steps" in said


def test_what_it_would_read_otherwise_is_said(tmp_path: Path) -> None:
    pictures(tmp_path / "photos", "a", caption="a dog\non a beach")
    pictures(tmp_path / "photos", "b", caption="")
    pictures(tmp_path / "photos", "c", ending=".json", caption='{"caption": "x"}')
    code, said, _ = export(tmp_path, JOB)
    assert code == 0, said
    for part in ("1 have more", "1 are empty", "1 of "):
        assert part in said


@pytest.mark.parametrize(
    ("job", "to", "told"),
    [
        (JOB, "onetrainer", "known: "),
        (JOB.replace("sdxl", "hidream"), "kohya", "sd-scripts does not train HiDream"),
    ],
)
def test_what_cannot_be_exported(tmp_path: Path, job: str, to: str, told: str) -> None:
    pictures(tmp_path / "photos", "a")
    code, said, out = export(tmp_path, job, to=to)
    assert code == 1
    assert told in said
    assert not out.exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    pictures(tmp_path / "photos", "a")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.toml").write_text("mine", encoding="utf-8")
    code, said, out = export(tmp_path, JOB)
    assert code == 1
    assert "not overwritten" in said
    assert (out / "config.toml").read_text(encoding="utf-8") == "mine"
