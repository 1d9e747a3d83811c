"""Files of kohya's trainer run as they are."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from loratory.cli import app
from loratory.interop.foreign import parsed, read_foreign
from loratory.networks.metadata import read_lora
from loratory.runs import RunFolder
from tests.e2e.jobs import losses, quiet

CONFIG = """
[model_arguments]
pretrained_model_name_or_path = "{model}"

[training_arguments]
output_dir = "{output}"
output_name = "dog"
max_train_epochs = 1
train_batch_size = 2
mixed_precision = "no"
unet_lr = 1e-3
text_encoder_lr = 1e-4
network_module = "networks.lora"
network_dim = 4
network_alpha = 2
lr_scheduler = "cosine"
lr_warmup_steps = 1
seed = 7
min_snr_gamma = 5
max_data_loader_n_workers = 2
huggingface_token = "hf_not_to_be_seen"
"""

DATASET = """
[general]
caption_extension = ".txt"
shuffle_caption = true
keep_tokens = 1

[[datasets]]
resolution = 64

  [[datasets.subsets]]
  image_dir = '{photos}'
  num_repeats = 2
"""


@pytest.fixture
def files(tmp_path: Path, tiny_model: Callable[[str], Path], photos: Path) -> tuple[Path, Path]:
    config, dataset = tmp_path / "config.toml", tmp_path / "dataset.toml"
    config.write_text(CONFIG.format(model=tiny_model("sd15").as_posix(), output=(tmp_path / "out").as_posix()))
    dataset.write_text(DATASET.format(photos=photos.as_posix()))
    return config, dataset


def trained(files: tuple[Path, Path], *changes: str) -> RunFolder:
    from loratory.training.loop import StopFlag
    from loratory.training.run import run_training

    (job,) = read_foreign(*files) or []
    return run_training(parsed(job, ["runtime.device=cpu", *changes]), quiet(), StopFlag()).run


def test_it_trains_and_its_file_is_what_was_asked_for(files: tuple[Path, Path], photos: Path, tmp_path: Path) -> None:
    run = trained(files)
    assert run.path == tmp_path / "out" / "dog"
    pictures = len(list(photos.glob("*.png")))
    assert len(losses(run)) == math.ceil(pictures * 2 / 2)  # one bucket, two repeats, two in a batch, one epoch
    tensors, metadata = read_lora(run.export_path(None, ".safetensors"))
    assert {str(tensor.dtype) for tensor in tensors.values()} == {"torch.float32"}
    assert any(name.startswith("lora_te") for name in tensors)  # text encoders are trained unless it is said
    downs = {name: tensor for name, tensor in tensors.items() if name.endswith("lora_down.weight")}
    assert {tensor.shape[0] for tensor in downs.values()} == {4}
    assert {float(tensor) for name, tensor in tensors.items() if name.endswith(".alpha")} == {2.0}
    assert metadata["ss_seed"] == "7"
    assert not list(run.path.glob("dog_*.safetensors"))  # nothing was to be saved in between


def test_stopped_and_resumed_from_the_same_file(files: tuple[Path, Path]) -> None:
    whole = trained(files, "name=whole")
    first = trained(files, "name=parts", "duration.steps=2")
    again = trained(files, "name=parts")
    assert first.path == again.path
    # The schedule of the first part ends earlier; its first step is the same, and the other counts on.
    assert len(losses(again)) == len(losses(whole))
    assert losses(again)[0] == losses(whole)[0]


def test_the_command_line(files: tuple[Path, Path], tmp_path: Path) -> None:
    config, dataset = files
    out = tmp_path / "job.yaml"
    result = CliRunner().invoke(
        app, ["config", "import", str(config), "--dataset_config", str(dataset), "--out", str(out)]
    )
    assert result.exit_code == 0, result.output
    assert "settings taken over" in result.output
    assert "max_data_loader_n_workers" in result.output  # what was left out is said
    assert "hf_not" not in result.output + out.read_text()
    assert yaml.safe_load(out.read_text())["network"]["rank"] == 4
    checked = CliRunner().invoke(app, ["config", "check", str(out)])
    assert checked.exit_code == 0, checked.output
    again = CliRunner().invoke(app, ["config", "import", str(config), "--out", str(out)])
    assert again.exit_code == 1
    assert "exists" in again.output
    ours = CliRunner().invoke(app, ["config", "import", str(out)])
    assert ours.exit_code == 1
    assert "no file of another trainer" in ours.output


def test_train_takes_the_file(files: tuple[Path, Path], tmp_path: Path) -> None:
    config, dataset = files
    arguments = [
        "train",
        str(config),
        "--dataset",
        str(dataset),
        "--set",
        "runtime.device=cpu",
        "--set",
        "duration.steps=1",
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "dog" / "dog.safetensors").exists()


def test_a_dataset_file_alone_is_no_training(files: tuple[Path, Path]) -> None:
    _, dataset = files
    result = CliRunner().invoke(app, ["config", "check", str(dataset)])
    assert result.exit_code == 1
    assert "--dataset" in result.output
