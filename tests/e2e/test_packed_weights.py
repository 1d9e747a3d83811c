"""Whole trainings on weights in every number format, and with accuracy-recovery adapters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from loratory.errors import UserError
from loratory.models.common.storage import FORMATS
from loratory.networks.metadata import read_lora
from tests.e2e.jobs import Data, losses, sample_pixels, train
from tests.e2e.test_memory import SAMPLES
from tests.e2e.test_network_types import STEPS, stops_and_goes_on
from tests.e2e.test_side_adapters import lora

pytestmark = pytest.mark.slow

FULL = pytest.mark.full
CLOSE = {"int8": 0.01, "uint8": 0.01, "uint7": 0.02, "uint6": 0.02, "uint2": 0.5, "uint3": 0.25, "fp8_e5m2": 0.1}
"""How far losses may be from those of bf16; of the others, 0.06."""


def both(name: str) -> Data:
    return {"memory.denoiser_weights": name, "memory.text_encoder_weights": name}


@pytest.mark.parametrize("name", [name if name == "uint4" else pytest.param(name, marks=FULL) for name in FORMATS])
@pytest.mark.parametrize("architecture", ["sd15", pytest.param("flux1", marks=FULL)])
def test_losses_are_near_those_of_bf16(architecture: str, name: str, make_job: Callable[..., Data]) -> None:
    changes = STEPS | {"memory.precision": "bf16", "sampling": SAMPLES, "memory.low_vram": True}
    full = train(make_job(architecture, changes, output="full"))
    packed = train(make_job(architecture, changes | both(name), output="packed"))
    assert losses(packed) == pytest.approx(losses(full), rel=CLOSE.get(name, 0.06))
    assert losses(packed) != losses(full)
    assert len(sample_pixels(packed)) == 1
    again = train(make_job(architecture, changes | both(name) | {"memory.gradient_checkpointing": True}, output="2"))
    assert losses(again) == pytest.approx(losses(packed), rel=1e-3)


@pytest.mark.full  # fp8 and, below, two uints do it in `make test`
@pytest.mark.parametrize("name", ["int8", "nf4", "uint3"])
def test_a_run_goes_on_bit_equal(name: str, make_job: Callable[..., Data], at_step: Callable) -> None:
    """With text encoders that are trained on packed weights, and a type that reads them."""
    network = {"rank": 2, "decompose": True, "train_text_encoders": True, "conv_rank": 1}
    memory = {"memory.gradient_checkpointing": "selective", "memory.precision": "bf16"}
    stops_and_goes_on(make_job, at_step, "sd15", STEPS | both(name) | memory | {"network": network})


def test_a_format_of_another_trainer_is_read(make_job: Callable[..., Data]) -> None:
    """As its own name, down to the copy of the config in the run's folder."""
    mine, theirs = (
        train(make_job("flux1", STEPS | {"memory.denoiser_weights": name}, output=name)) for name in ("int8", "qint8")
    )
    assert losses(mine) == losses(theirs)
    assert "denoiser_weights: int8" in theirs.config_path.read_text(encoding="utf-8")


# Accuracy-recovery adapters


def recovering(path: Path, name: str = "uint3", **changes: Any) -> Data:
    adapter = {"path": str(path), "on": "always", "recovers": name}
    return {"model.side_adapters": [adapter], "memory.denoiser_weights": "uint8", **changes}


def formats_of(training: Any) -> dict[str, int]:
    """Bits of each packed layer of the denoiser."""
    found = {}
    for path, module in training.architecture.components.denoiser.named_modules():
        if hasattr(module, "kept"):
            found[path] = module.packed.nbytes * 8 // (module.scales.numel() * 64)
    return found


WRAPPED = [
    *(f"transformer_blocks.0.attn.to_{part}" for part in "qkv"), "single_transformer_blocks.1.proj_out",
]  # fmt: skip


def test_the_layers_under_a_recovery_adapter_have_its_format(
    tmp_path: Path, make_job: Callable[..., Data], at_step: Callable
) -> None:
    """All others have uint8; the exported file holds what was trained and nothing else, and names the adapter."""
    seen: dict[str, int] = {}
    at_step(1, lambda training: seen.update(formats_of(training)))
    file = lora(tmp_path / "adapter")
    run = train(make_job("flux1", STEPS | recovering(file), output="recovered"))
    assert {path for path, bits in seen.items() if bits == 3} == set(WRAPPED)
    assert len(seen) > 2 * len(WRAPPED) and {bits for path, bits in seen.items() if path not in WRAPPED} == {8}
    at_step(0, lambda training: None)
    plain = train(make_job("flux1", STEPS, output="plain"))
    mine, theirs = load_file(run.final_export_path), load_file(plain.final_export_path)
    assert {key: tensor.shape for key, tensor in mine.items()} == {key: tensor.shape for key, tensor in theirs.items()}
    header = "".join(read_lora(run.final_export_path)[1].values())
    assert "adapter.safetensors" in header and "uint3" in header and str(tmp_path) not in header


def error_of(model: Any, name: str, rank: int) -> dict[str, torch.Tensor]:
    """A LoRA that undoes as much as it can of what a format loses: the best low rank of the difference."""
    tensors = {}
    for path in WRAPPED:
        weight = model.components.denoiser.get_submodule(path).weight
        form = FORMATS[name]
        lost = weight - form.unpack(form.pack(weight), weight.shape, weight.dtype)
        left, sizes, right = torch.linalg.svd(lost.detach(), full_matrices=False)
        tensors[f"transformer.{path}.lora_B.weight"] = (left[:, :rank] * sizes[:rank]).contiguous()
        tensors[f"transformer.{path}.lora_A.weight"] = right[:rank].contiguous()
    return tensors


def test_an_adapter_that_knows_the_loss_takes_it_back(
    tmp_path: Path, make_job: Callable[..., Data], tiny_model: Callable[[str], Path]
) -> None:
    """With its whole rank everything that uint2 loses: losses and samples are those of uint8 alone."""
    from tests.unit.models.conftest import load_model

    file = tmp_path / "recovery.safetensors"
    save_file(error_of(load_model(tiny_model("flux1")), "uint2", 64), file)
    changes = STEPS | {"sampling": SAMPLES | {"before_first_step": True}}
    runs = {
        name: train(make_job("flux1", changes | more, output=name))
        for name, more in {
            "uint8": {"memory.denoiser_weights": "uint8"},
            "recovered": recovering(file, "uint2"),
            "other": recovering(file, "uint3"),
        }.items()
    }
    assert losses(runs["recovered"]) == pytest.approx(losses(runs["uint8"]), rel=2e-3)
    gap = abs(losses(runs["other"])[0] / losses(runs["uint8"])[0] - 1)
    assert abs(losses(runs["recovered"])[0] / losses(runs["uint8"])[0] - 1) < gap / 3
    first, same = (next(iter(sample_pixels(runs[name]).values())) for name in ("uint8", "recovered"))
    assert sum(abs(one - other) for one, other in zip(first, same, strict=True)) / len(first) < 2


def test_a_run_beside_a_recovery_adapter_goes_on_bit_equal(
    tmp_path: Path, make_job: Callable[..., Data], at_step: Callable
) -> None:
    changes = STEPS | recovering(lora(tmp_path / "adapter"), "uint4")
    stops_and_goes_on(make_job, at_step, "flux1", changes | {"memory.gradient_checkpointing": True})


def test_a_recovery_adapter_that_does_not_fit_is_refused(tmp_path: Path, make_job: Callable[..., Data]) -> None:
    said: list[str] = []

    def complaint(file: Path, **changes: Any) -> str:
        with pytest.raises(UserError) as caught:
            train(make_job("flux1", STEPS | recovering(file, **changes), output=f"out{len(said)}"))
        said.append(str(caught.value))
        return said[-1]

    file = lora(tmp_path / "adapter")
    kept = complaint(file, **{"memory.keep_full_if_contains": ["to_q"]})
    assert "memory.keep_full_if_contains keeps layers in full (transformer_blocks.0.attn.to_q)" in kept
    assert "cannot be merged" in complaint(file, **{"model.merge": [{"path": str(file)}]})
    assert "expects all other layers in uint8" in complaint(file, **{"memory.denoiser_weights": "uint4"})
    norm = tmp_path / "norm.safetensors"
    save_file({"transformer.transformer_blocks.0.attn.norm_q.diff": torch.zeros(16)}, norm)
    assert "layers that are never packed (transformer_blocks.0.attn.norm_q)" in complaint(norm)
