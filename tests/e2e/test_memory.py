"""Packed weights, narrow autoencoders and kernels in whole trainings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from loratory.errors import UserError
from loratory.networks.metadata import read_lora
from tests.architectures import each
from tests.e2e.jobs import Data, losses, sample_pixels, train
from tests.e2e.test_network_types import STEPS, stops_and_goes_on

pytestmark = pytest.mark.slow

PACKED = {"memory.denoiser_weights": "fp8_e4m3", "memory.text_encoder_weights": "fp8_e4m3"}
SAMPLES = {"prompts": ["a photo --w 32 --h 32 --s 1 --d 3"], "every_n_steps": 4, "before_first_step": False}


@pytest.mark.parametrize("architecture", each(quick=("sd15",)))
def test_losses_of_packed_weights_are_near_those_of_bf16(architecture: str, make_job: Callable[..., Data]) -> None:
    changes = STEPS | {"memory.precision": "bf16", "sampling": SAMPLES}
    full = train(make_job(architecture, changes, output="full"))
    packed = train(make_job(architecture, changes | PACKED, output="packed"))
    assert losses(packed) == pytest.approx(losses(full), rel=0.05)
    assert losses(packed) != losses(full)
    tensors, other = (read_lora(run.final_export_path)[0] for run in (packed, full))
    assert {name: (each.shape, each.dtype) for name, each in tensors.items()} == {
        name: (each.shape, each.dtype) for name, each in other.items()
    }
    assert any(bool(tensor.any()) for name, tensor in tensors.items() if "lora_up" in name)
    assert len(sample_pixels(packed)) == 1
    again = train(make_job(architecture, changes | PACKED | {"memory.gradient_checkpointing": True}, output="again"))
    assert losses(again) == pytest.approx(losses(packed), rel=1e-3)


def test_a_run_on_packed_weights_goes_on_bit_equal(make_job: Callable[..., Data], at_step: Callable) -> None:
    """With text encoders that are trained on packed weights, and a type that reads them."""
    network = {"rank": 2, "decompose": True, "train_text_encoders": True, "conv_rank": 1}
    memory = {"memory.gradient_checkpointing": "selective", "memory.channels_last": True, "memory.attention": "flash"}
    stops_and_goes_on(make_job, at_step, "sd15", STEPS | PACKED | memory | {"network": network})


@pytest.mark.full
def test_a_merged_lora_and_another_schedule_work_on_packed_weights(
    make_job: Callable[..., Data], tmp_path: Path
) -> None:
    first = train(make_job("sd15", STEPS | {"optimizer.learning_rate": 0.1}, output="first"))
    model = {"model.prediction_type": "v_prediction", "model.zero_terminal_snr": True}
    merge = model | {"model.merge": [{"path": str(first.final_export_path)}]}
    found: dict[str, list[float]] = {}
    for name, changes in {"plain": model, "full": merge, "packed": merge | PACKED}.items():
        found[name] = losses(train(make_job("sd15", STEPS | changes, output=name)))
    assert found["packed"] == pytest.approx(found["full"], rel=0.05)
    gap = sum(abs(one - other) for one, other in zip(found["full"], found["plain"], strict=True))
    assert sum(abs(one - other) for one, other in zip(found["packed"], found["full"], strict=True)) < gap / 2


def loud_model(folder: Path, copy_of: Path) -> Path:
    """An SD 1.5 whose autoencoder leaves the range of fp16, as SDXL's first one does."""
    import shutil

    shutil.copytree(copy_of, folder)
    (path,) = (folder / "vae").glob("*.safetensors")
    tensors = load_file(path)
    for part in ("encoder", "decoder"):
        tensors[f"{part}.conv_in.weight"] *= 3e5
    save_file(tensors, path, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("cache", ["memory", "off"])
def test_an_autoencoder_that_is_too_loud_for_its_format_is_no_reason_to_stop(
    cache: str, make_job: Callable[..., Data], tiny_model: Callable, tmp_path: Path, caplog: Any
) -> None:
    changes = STEPS | {"model.path": str(loud_model(tmp_path / "loud", tiny_model("sd15"))), "caching.latents": cache}
    exact = train(make_job("sd15", changes, output="exact"))
    assert not [line for line in caplog.messages if "leaves the range" in line]
    narrow = train(make_job("sd15", changes | {"model.vae_precision": "fp16", "sampling": SAMPLES}, output="narrow"))
    assert losses(narrow) == pytest.approx(losses(exact), rel=0.02)
    assert len([line for line in caplog.messages if "leaves the range" in line]) == 1
    assert all(len(set(pixels)) > 10 for pixels in sample_pixels(narrow).values()), "no black picture"


@pytest.mark.full
def test_latents_of_tiles_are_not_mistaken_for_others(
    make_job: Callable[..., Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One cache folder: each finds its own entries, and going back to the first finds the first ones again."""
    from diffusers import AutoencoderKL

    for name, size in (("tile_sample_min_size", 32), ("tile_latent_min_size", 4)):  # pictures here are small
        monkeypatch.setattr(AutoencoderKL, name, property(lambda _, size=size: size, lambda *_: None), raising=False)
    found = [
        losses(train(make_job("sd15", STEPS | {"memory.vae_tiling": tiles}, output=f"{number}")))
        for number, tiles in enumerate((False, True, False, True))
    ]
    assert found[0] == found[2] and found[1] == found[3]
    assert found[0] != found[1]


@pytest.mark.parametrize("name", ["xformers", "flash_attn", "cudnn", "efficient"])
def test_a_kernel_that_is_not_here_is_refused_before_anything_is_loaded(
    name: str, make_job: Callable[..., Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    from loratory.training import memory

    monkeypatch.setattr(memory, "load", lambda *_, **__: pytest.fail("the model was loaded"))
    data = make_job("sd15", {"memory.attention": name, "memory.precision": "bf16"})
    with pytest.raises(UserError, match=rf"memory\.attention: {name} does not work \(cpu"):
        train(data)
    assert not (Path(data["saving"]["output_dir"]) / "run").exists()


@pytest.mark.full
def test_what_is_kept_of_the_base_weights(make_job: Callable[..., Data], at_step: Callable) -> None:
    """While training, the blocks' weights are there once, in 8 bits."""
    sizes: dict[str, int] = {}

    def measure(training: Any) -> None:
        denoiser = training.architecture.components.denoiser
        tensors = [*denoiser.parameters(), *denoiser.buffers()]
        sizes["bytes"] = sum(tensor.nbytes for tensor in tensors)
        sizes["packed"] = sum(tensor.nbytes for tensor in tensors if tensor.dtype == torch.float8_e4m3fn)

    found = []
    for changes in ({}, PACKED):
        at_step(2, measure)
        train(make_job("flux1", STEPS | {"memory.precision": "bf16"} | changes, output=f"out{len(found)}"))
        found.append(dict(sizes))
    assert found[0]["packed"] == 0
    assert found[1]["packed"] > 0.7 * found[0]["bytes"] / 2
    assert found[1]["bytes"] < 0.7 * found[0]["bytes"]
