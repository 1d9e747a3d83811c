"""`loratory network preview` and `loratory convert lora`."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from loratory.networks.metadata import read_lora
from loratory.runs import RunFolder
from tests.e2e.jobs import train

pytestmark = pytest.mark.slow


def test_preview_counts_what_is_trained(make_job: Callable, job_file: Callable, loratory: Callable) -> None:
    data = make_job("sd15", {"network": {"rank": 2, "conv_rank": 3, "train_text_encoders": True}})
    said = loratory("network", "preview", job_file(data))
    assert said.code == 0, said.text
    run: RunFolder = train(data)
    tensors, _ = read_lora(run.final_export_path)
    numbers = sum(tensor.numel() for tensor in tensors.values() if tensor.ndim)
    layers = sum(name.endswith(".alpha") for name in tensors)
    assert f"together {layers} layers, {numbers:,} numbers" in said.text
    assert "Blocks for network.targets.blocks: input_blocks.0-" in said.text
    checked = loratory("config", "check", job_file(data))
    assert f"It trains {layers} layers, {numbers:,} numbers" in checked.text
    taken = loratory("network", "preview", job_file(data), "--set", "network.shape_from_start=true",
                     "--set", f"network.start_from={run.final_export_path}")  # fmt: skip
    assert f"with {layers} layers, {numbers:,} numbers" in taken.text
    wrong = loratory("network", "preview", job_file(data), "--set", "network.targets.blocks=double_blocks.3")
    assert wrong.code == 1
    assert "this model has no double_blocks.3; it has input_blocks.0-" in wrong.error


def test_preview_needs_no_torch(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text("name: x\nmodel: {path: demo}\ndatasets: [{path: .}]\n", encoding="utf-8")
    code = (
        "import sys; from pathlib import Path; from loratory.session import show_network; "
        f"show_network(Path({str(job)!r}), [], False, print); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "lora on Stable Diffusion 1.5" in done.stdout


@pytest.mark.parametrize("dialect", ["diffusers", "comfyui", "aitoolkit"])
def test_convert_there_and_back(
    dialect: str, make_job: Callable, tiny_model: Callable, loratory: Callable, tmp_path: Path
) -> None:
    run = train(make_job("sd15", {"network.alpha": 1.0, "saving.precision": "fp32"}))
    model = ("--model", tiny_model("sd15"))
    there, back = tmp_path / "there.safetensors", tmp_path / "back.safetensors"
    said = loratory("convert", "lora", run.final_export_path, there, "--to", dialect, *model)
    assert said.code == 0, said.text
    assert loratory("convert", "lora", there, back, "--to", "kohya", *model).code == 0
    first, metadata = read_lora(run.final_export_path)
    second, kept = read_lora(back)
    assert first.keys() == second.keys()
    assert kept["ss_output_name"] == metadata["ss_output_name"]
    for name in (key.removesuffix(".alpha") for key in first if key.endswith(".alpha")):
        before, after = (
            float(each[f"{name}.alpha"]) / each[f"{name}.lora_down.weight"].shape[0]
            * each[f"{name}.lora_up.weight"].flatten(1) @ each[f"{name}.lora_down.weight"].flatten(1)
            for each in (first, second)
        )  # fmt: skip
        torch.testing.assert_close(after, before)
    again = loratory("convert", "lora", there, back, "--to", "kohya", *model)
    assert again.code == 1 and "exists already" in again.error
    strange = loratory("convert", "lora", there, tmp_path / "x.safetensors", "--to", "kohja", *model)
    assert strange.code == 1 and "use one of kohya" in strange.error
    assert not (tmp_path / "x.safetensors").exists()
