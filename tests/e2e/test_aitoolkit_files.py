"""A job file of ai-toolkit trains as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from loratory.config.load import parse
from loratory.interop.foreign import read_foreign
from loratory.runs import RunFolder
from tests.e2e import jobs


@pytest.fixture
def their_file(tiny_model: object, photos: Path, tmp_path: Path) -> Path:
    model = tiny_model("flux1")  # type: ignore[operator]
    process = {
        "type": "diffusion_trainer",
        "training_folder": str(tmp_path / "output"),
        "training_seed": 3,
        "trigger_word": "lory",
        "network": {"type": "lora", "linear": 2, "linear_alpha": 1},
        "save": {"dtype": "float32", "save_every": 1, "max_step_saves_to_keep": 4, "save_format": "diffusers"},
        "datasets": [{"folder_path": str(photos), "resolution": [64], "cache_latents_to_disk": True}],
        "train": {
            "steps": 2, "lr": 1e-3, "optimizer": "adamw", "dtype": "fp32", "noise_scheduler": "flowmatch",
            "timestep_type": "weighted", "gradient_accumulation": 2, "lr_scheduler": "linear",
            "skip_first_sample": True,
        },
        "model": {"name_or_path": str(model), "arch": "flux", "low_vram": False},
        "logging": {"log_every": 1},
        "sample": {
            "sampler": "flowmatch", "sample_every": 2, "width": 32, "height": 32, "guidance_scale": 4,
            "sample_steps": 1, "samples": [{"prompt": "a [trigger]", "seed": 5}],
        },
    }  # fmt: skip
    file = tmp_path / "their.yaml"
    config = {"name": "lory", "process": [process]}
    file.write_text(
        yaml.safe_dump({"job": "extension", "config": config, "meta": {"name": "[name]"}}), encoding="utf-8"
    )
    return file


def test_it_trains_two_steps(their_file: Path) -> None:
    found = read_foreign(their_file)
    assert found is not None
    assert [note.key for note in found[0].notes if note.level in ("unknown", "unsupported")] == []
    run: RunFolder = jobs.train(found[0].data | {"runtime": {"device": "cpu"}})
    assert len(jobs.losses(run)) == 2
    rates = [line["learning_rate"] for line in jobs.metrics(run)]
    assert rates == pytest.approx([1e-3 / 3, 1e-3 * 2 / 3])  # from a third, evenly, to all of it after the last step
    assert [export.path.name for export in run.exports()][-1] == "lory.safetensors"
    assert len(list(run.samples_path.iterdir())) == 1
    from loratory.networks.metadata import read_lora

    tensors, metadata = read_lora(run.exports()[-1].path)
    assert all(name.endswith((".lora_A.weight", ".lora_B.weight")) for name in tensors)
    assert metadata["modelspec.title"] == "lory"
    assert parse(found[0].data, "the job").network.alpha == 1.0  # type: ignore[union-attr]


def test_the_commands_take_it(their_file: Path, loratory: Callable[..., Any], tmp_path: Path) -> None:
    """Two processes: two jobs, trained one after the other, or written as two files."""
    data = yaml.safe_load(their_file.read_text(encoding="utf-8"))
    second = {**data["config"]["process"][0], "name": "second"}
    data["config"]["process"].append(second | {"train": {**second["train"], "steps": 1}, "wandb_key": "0" * 40})
    their_file.write_text(yaml.safe_dump(data), encoding="utf-8")
    done = loratory("train", their_file, "--set", "runtime.device=cpu")
    assert done.code == 0, done.text
    assert {path.name for path in (tmp_path / "output").iterdir()} == {"lory", "second"}
    for run in ("lory", "second"):
        assert (tmp_path / "output" / run / f"{run}.safetensors").exists()
        assert "0" * 40 not in (tmp_path / "output" / run / "config.yaml").read_text(encoding="utf-8")
    written = loratory("config", "import", their_file, "--out", tmp_path / "job.yaml")
    assert written.code == 0, written.text
    assert "WANDB_API_KEY" in written.text and "0" * 40 not in written.text
    assert (tmp_path / "job_lory.yaml").exists() and (tmp_path / "job_second.yaml").exists()
