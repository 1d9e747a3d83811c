"""Every optimizer trains a LoRA, is stopped and resumed bit-equal. New ones join by themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from loratory.config.optimizers.adaptive import OneRateSettings
from loratory.networks import formats
from loratory.networks.base import weight_shapes
from loratory.networks.metadata import read_lora
from loratory.training.optimizers import averaged
from tests.e2e.jobs import Data, metrics, train
from tests.e2e.test_network_types import STEPS, stops_and_goes_on
from tests.unit.training.optimizer_cases import KINDS, SETTINGS

pytestmark = pytest.mark.slow

USUAL_TIER = ("adamw8bit", "automagic", "dadapt_sgd", "muon", "prodigy_plus_schedule_free")
"""One of each kind of memory: 8 bits, booleans, numbers in groups, further groups, averages."""
PARTS = {
    "lora_plus_ratio": 4.0, "text_encoder_learning_rates": {"text_encoder": 0.5}, "text_encoder_lora_plus_ratio": 2.0
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.full] * (name not in USUAL_TIER)) for name in KINDS]
)
def test_an_optimizer_trains_stops_and_goes_on(name: str, make_job: Callable[..., Data], at_step: Callable) -> None:
    parts = {} if issubclass(KINDS[name], OneRateSettings) else PARTS
    changes = {key: value for key, value in STEPS.items() if not key.startswith("optimizer.")} | {
        "network": {"rank": 4, "train_text_encoders": True},
        "optimizer": {"type": name, **SETTINGS[name], **parts},
        "schedule": {"type": "constant", "warmup_steps": 1},
        "batching.gradient_accumulation_steps": 2,
    }
    run = stops_and_goes_on(make_job, at_step, "sd15", changes)
    tensors, metadata = read_lora(run.final_export_path)
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())
    assert metadata["ss_optimizer"] == KINDS[name].__name__.removesuffix("Config")
    last = metrics(run)[-1]
    assert all(last[key] > 0 for key in last if key.startswith("lr/"))
    assert ("sign_agreement" in last) == (name == "automagic")


def test_what_is_exported_is_the_average(make_job: Callable[..., Data], at_step: Callable) -> None:
    """And exports and samples in between leave the training where it was."""
    found: dict[str, Any] = {}

    def look(training: Any) -> None:
        def exported() -> dict[str, torch.Tensor]:
            spec, shapes = training.architecture.spec, weight_shapes(training.architecture)
            return formats.export(training.network.state(), spec, training.config.saving.format, shapes)

        found["at the point of training"] = exported()
        with averaged(training.optimizer):
            found["average"] = exported()

    changes = STEPS | {"optimizer": {"type": "adamw_schedule_free", "learning_rate": 0.02}}
    plain = train(make_job("sd15", changes, output="plain"))
    at_step(4, look)
    sampling = {"prompts": ["a photo --w 32 --h 32 --s 1 --d 3"], "every_n_steps": 1}
    busy = train(make_job("sd15", changes | {"sampling": sampling, "saving.export_every_n_steps": 1}, output="busy"))
    tensors, _ = read_lora(busy.final_export_path)
    assert all(torch.equal(tensors[key], found["average"][key]) for key in tensors)
    training_point = found["at the point of training"]
    assert any(not torch.equal(tensors[key], training_point[key]) for key in tensors)
    assert metrics(busy) == metrics(plain)
    assert read_lora(plain.final_export_path)[0].keys() == tensors.keys()


def test_a_missing_class_is_said_before_anything_is_made(
    tmp_path: Path, make_job: Callable[..., Data], job_file: Callable, loratory: Callable
) -> None:
    optimizer = {"type": "custom", "implementation": "torch.optim:Nothing"}
    said = loratory("train", job_file(make_job("sd15", {"optimizer": optimizer})))
    assert said.code == 1
    assert "optimizer.implementation: torch.optim:Nothing cannot be imported" in said.error
    assert not (tmp_path / "out" / "run").exists()
