"""Frozen LoRAs beside the base model: on and off when they have to be, never trained, never exported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from loratory.errors import UserError
from loratory.runs import RunFolder
from tests.e2e.jobs import Data, losses, sample_pixels, train
from tests.e2e.test_network_types import stops_and_goes_on

pytestmark = pytest.mark.slow

# Of the layers that Flux fuses, and one of another block, in two layouts.
LAYERS = {"lora_unet_double_blocks_0_img_attn_qkv": (96, 32), "lora_unet_single_blocks_1_linear2": (32, 160)}
SAMPLES = {"prompts": ["a photo --w 32 --h 32 --s 2 --d 3"], "before_first_step": True, "every_n_steps": 100}
JOB = {"duration.steps": 3, "optimizer.learning_rate": 0.01, "sampling": SAMPLES, "saving.precision": "fp32"}


def lora(folder: Path, layers: dict[str, tuple[int, int]] = LAYERS) -> Path:
    folder.mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(5)
    tensors: dict[str, Tensor] = {}
    for name, (outputs, inputs) in layers.items():
        tensors[f"{name}.lora_down.weight"] = torch.randn(2, inputs, generator=generator)
        tensors[f"{name}.lora_up.weight"] = torch.randn(outputs, 2, generator=generator)
        tensors[f"{name}.alpha"] = torch.tensor(2.0)
    path = folder / "adapter.safetensors"
    save_file(tensors, path)
    return path


def beside(path: Path, **settings: Any) -> Data:
    return {"model.side_adapters": [{"path": str(path), **settings}]}


def first_sample(run: RunFolder) -> bytes:
    return next(iter(sample_pixels(run).values()))


def test_a_training_adapter_works_in_training_only(tmp_path: Path, make_job: Callable[..., Data]) -> None:
    """Training is that of a base with the adapter merged in; samples are those of the base without it."""
    file = lora(tmp_path / "adapter")
    plain = train(make_job("flux1", JOB, output="plain"))
    merged = train(make_job("flux1", JOB | {"model.merge": [{"path": str(file), "strength": 0.5}]}, output="merged"))
    run = train(make_job("flux1", JOB | beside(file.parent, strength=0.5), output="beside"))
    assert losses(run) == pytest.approx(losses(merged), rel=1e-4)
    assert abs(losses(run)[0] / losses(plain)[0] - 1) > 1e-3, "the adapter does something"
    first, last = sample_pixels(run).values()
    assert first == first_sample(plain) != first_sample(merged)
    assert first != last, "what was trained is in the sample"
    mine, theirs = load_file(run.final_export_path), load_file(plain.final_export_path)
    assert {key: tensor.shape for key, tensor in mine.items()} == {key: tensor.shape for key, tensor in theirs.items()}


@pytest.mark.full
def test_a_training_adapter_in_the_names_of_ai_toolkit(tmp_path: Path, make_job: Callable[..., Data]) -> None:
    """As it is published for Z-Image-Turbo, whose samples need a few steps and a scale of 1."""
    generator, tensors = torch.Generator().manual_seed(6), {}
    for name, (outputs, inputs) in {"attention.to_q": (64, 64), "feed_forward.w2": (64, 170)}.items():
        start = f"diffusion_model.layers.0.{name}.lora"
        tensors[f"{start}_A.weight"] = torch.randn(2, inputs, generator=generator)
        tensors[f"{start}_B.weight"] = torch.randn(outputs, 2, generator=generator)
    file = tmp_path / "adapter.safetensors"
    save_file(tensors, file)
    turbo = JOB | {"sampling": SAMPLES | {"prompts": ["a photo --w 32 --h 32 --d 3"], "steps": 2, "scale": 1.0}}
    plain = train(make_job("zimage", turbo, output="plain"))
    merged = train(make_job("zimage", turbo | {"model.merge": [{"path": str(file)}]}, output="merged"))
    run = train(make_job("zimage", turbo | beside(file, on="training"), output="beside"))
    assert losses(run) == pytest.approx(losses(merged), rel=1e-4)
    assert abs(losses(run)[0] / losses(plain)[0] - 1) > 1e-3, "the adapter does something"
    first, last = sample_pixels(run).values()
    assert first == first_sample(plain) != first_sample(merged)
    assert first != last, "what was trained is in the sample"


def test_adapters_for_samples_and_for_both(tmp_path: Path, make_job: Callable[..., Data]) -> None:
    file = lora(tmp_path / "adapter")
    plain, merged, sampling, always = (
        train(make_job("flux1", JOB | changes, output=name))
        for name, changes in {
            "plain": {},
            "merged": {"model.merge": [{"path": str(file)}]},
            "sampling": beside(file, on="sampling"),
            "always": beside(file, on="always"),
        }.items()
    )
    assert losses(sampling) == losses(plain)
    assert losses(always) == pytest.approx(losses(merged), rel=1e-4)
    pictures = [first_sample(run) for run in (plain, sampling, always)]
    assert pictures[0] != pictures[1] == pictures[2]


@pytest.mark.parametrize("architecture", ["flux1", pytest.param("sd15", marks=pytest.mark.full)])
def test_it_goes_on_bit_equal(
    architecture: str, tmp_path: Path, make_job: Callable[..., Data], at_step: Callable[..., None]
) -> None:
    layers = {"lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q": (64, 64)}
    file = lora(tmp_path / "adapter", LAYERS if architecture == "flux1" else layers)
    changes = {
        "duration.steps": 6,
        "saving.checkpoint_every_n_steps": 3,
        "ema": {"decay": 0.9},
        "memory.gradient_checkpointing": True,
    }
    changes["sampling"] = SAMPLES | {"every_n_steps": 3}
    stops_and_goes_on(make_job, at_step, architecture, changes | beside(file), steps=6)


def test_recomputed_activations_see_the_adapter(tmp_path: Path, make_job: Callable[..., Data]) -> None:
    file = lora(tmp_path / "adapter")
    kept, recomputed = (
        train(make_job("flux1", JOB | beside(file) | {"memory.gradient_checkpointing": on}, output=str(on)))
        for on in (False, True)
    )
    assert losses(kept) == pytest.approx(losses(recomputed), rel=1e-5)


def test_what_cannot_be_used_is_said(tmp_path: Path, make_job: Callable[..., Data]) -> None:
    def complaint(path: Path) -> str:
        with pytest.raises(UserError) as caught:
            train(make_job("flux1", JOB | beside(path)))
        return str(caught.value)

    assert "There is no model at" in complaint(tmp_path / "nowhere.safetensors")
    (tmp_path / "empty").mkdir()
    assert "model.side_adapters" in (said := complaint(tmp_path / "empty")) and "no .safetensors file" in said
    lora(tmp_path / "two").rename(tmp_path / "two" / "other.safetensors")
    lora(tmp_path / "two")
    assert "2 LoRA files (adapter.safetensors, other.safetensors)" in complaint(tmp_path / "two")
    texts = lora(tmp_path / "texts", LAYERS | {"lora_te1_text_model_encoder_layers_0_mlp_fc1": (53, 24)})
    assert "changes text encoders (text_encoder." in complaint(texts)
    wrong = lora(tmp_path / "wrong", {"lora_unet_double_blocks_7_img_attn_qkv": (96, 32)})
    assert "belong to layers that the Flux.1 model lacks" in complaint(wrong)


def test_the_usual_name_wins(tmp_path: Path, make_job: Callable[..., Data]) -> None:
    """Repositories of diffusers' kind may hold other files, too."""
    file = lora(tmp_path / "adapter")
    file.rename(file.with_name("pytorch_lora_weights.safetensors"))
    save_file({"something": torch.zeros(1)}, file)
    named = train(make_job("flux1", JOB | beside(file.with_name("pytorch_lora_weights.safetensors")), output="named"))
    assert losses(train(make_job("flux1", JOB | beside(file.parent), output="found"))) == losses(named)
