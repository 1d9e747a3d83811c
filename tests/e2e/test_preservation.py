"""Preservation, contrastive guidance and MeanFlow in whole trainings; and a sound file from every loss."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from loratory.networks.base import from_state
from loratory.networks.files import read_state
from loratory.networks.metadata import read_lora
from loratory.training.objectives.losses import LOSSES
from tests.e2e.jobs import Data, contents, differences, losses, metrics, train
from tests.e2e.test_masks import masked
from tests.e2e.test_network_types import STEPS as STEPS_OF_TYPES
from tests.e2e.test_network_types import stops_and_goes_on
from tests.unit.models.conftest import load_model

__all__ = ["masked"]

pytestmark = pytest.mark.slow

STEPS = {"duration.steps": 4, "batching.size": 2, "optimizer.learning_rate": 0.01, "datasets.0.trigger_word": "ohwx"}
CLASS = {"diff_output_preservation": 1.0, "diff_output_preservation_class": "bird"}
KEPT = {"is_regularisation": True, "diff_output_preservation": True, "captions": {"default": "a photo"}}
# Everything that asks the bare model, with what an engine does about texts and memory.
ASKING: dict[str, Data] = {
    "sd15": {
        "objective": CLASS | {"blank_prompt_preservation": 0.5, "guidance_loss_target": [1.5, 3.0]},
        "network.train_text_encoders": True,
        "memory.gradient_checkpointing": True,
    },
    "flux1": {
        "objective": CLASS | {"blank_prompt_preservation": 0.5, "guidance_loss_target": [1.5, 3.0],
                              "guidance_loss_schedule": "sigma", "mean_flow_steps": 2},
    },
}  # fmt: skip


def with_kept_pictures(data: Data) -> Data:
    """The same pictures a second time, held to what the bare model makes of them."""
    return data | {"datasets": [*data["datasets"], {"path": data["datasets"][0]["path"]} | KEPT]}


@pytest.mark.parametrize("architecture", ["flux1", pytest.param("sd15", marks=pytest.mark.full)])
def test_a_run_that_asks_the_bare_model_goes_on_bit_equal(
    architecture: str, make_job: Callable[..., Data], at_step: Callable
) -> None:
    changes = STEPS | ASKING[architecture] | {"network.dropout": 0.2, "saving.checkpoint_every_n_steps": 2}
    whole = train(with_kept_pictures(make_job(architecture, changes, output="whole")))
    lines = metrics(whole)
    assert all(line["loss"] > 0 for line in lines)
    for name in ("loss_diff_output_preservation", "loss_blank_prompt_preservation"):
        found = [line[name] for line in lines if name in line]
        assert found, "steps with pictures that teach something say how much it is"
        assert any(found[1:]), "once the model has changed"
    at_step(2, lambda training: training.stop.ask("the test"))
    train(with_kept_pictures(make_job(architecture, changes, output="halves")))
    at_step(0, lambda training: None)
    halves = train(with_kept_pictures(make_job(architecture, changes, output="halves")))
    assert differences(contents(halves), contents(whole)) == []


@pytest.mark.parametrize(
    "name", ["diff_output_preservation", pytest.param("blank_prompt_preservation", marks=pytest.mark.full)]
)
def test_what_is_preserved_changes_less(name: str, make_job: Callable[..., Data]) -> None:
    """How far predictions for the class or the empty caption have moved, with hardly any and with much preservation."""

    def moved(multiplier: float) -> float:
        objective = {**CLASS, "diff_output_preservation": 0.0, name: multiplier}
        changes = STEPS | {"duration.steps": 16, "objective": objective}
        lines = metrics(train(make_job("sd15", changes, output=f"{name}{multiplier}")))
        return sum(line[f"loss_{name}"] for line in lines[8:]) / multiplier

    assert moved(20.0) < 0.5 * moved(1e-6)


def test_pictures_held_to_the_bare_model_teach_nothing(make_job: Callable[..., Data]) -> None:
    """Alone they would leave a new adapter as it is: their loss is zero until others have changed it."""
    data = make_job("sd15", STEPS | {"batching.size": 1, "duration.steps": 20, "optimizer.learning_rate": 0.001})
    data["datasets"][0] |= {"num_repeats": 1, "loss_weight": 0.0}
    data["objective"] = {"loss_type": "mse"}
    run = train(with_kept_pictures(data))
    assert losses(run) == [0.0] * 20


def test_cached_texts_and_texts_encoded_in_the_step_train_alike(make_job: Callable[..., Data]) -> None:
    changes = STEPS | {"objective": CLASS | {"guidance_loss_target": 2.0, "unconditional_prompt": "dull"}}
    cached = metrics(train(make_job("sd15", changes, output="cached")))
    fresh = metrics(train(make_job("sd15", changes | {"caching.text_embeddings": "off"}, output="fresh")))
    for name in ("loss", "loss_diff_output_preservation"):
        assert [line[name] for line in fresh] == pytest.approx([line[name] for line in cached], rel=1e-4)


OBJECTIVES: dict[str, dict[str, Any]] = {
    **{name: {"loss_type": name} for name in LOSSES},
    "huber over time": {"loss_type": "huber", "huber_schedule": "exponential"},
    "guidance": {"guidance_loss_target": 3.0, "guidance_loss_cfg_zero": True},
    "mean_flow": {"loss_type": "mean_flow"},
}


@pytest.mark.parametrize(
    ("architecture", "name"),
    [
        *(("flux1", name) for name in OBJECTIVES),
        *(pytest.param("sd15", name, marks=pytest.mark.full) for name in OBJECTIVES if name != "mean_flow"),
    ],
)
def test_a_file_of_every_loss_is_sound(
    architecture: str, name: str, make_job: Callable[..., Data], tiny_model: Callable[[str], Path]
) -> None:
    """Its numbers are finite, and a fresh model with it says something else than without, and no nonsense."""
    run = train(make_job(architecture, STEPS | {"duration.steps": 2, "objective": OBJECTIVES[name]}))
    assert all(loss > 0 for loss in losses(run))
    tensors, _ = read_lora(run.final_export_path)
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    model = load_model(tiny_model(architecture))
    network = from_state(model, read_state(run.final_export_path, model)).eval()
    noisy = torch.randn(1, 16 if architecture == "flux1" else 4, 8, 8, generator=torch.Generator().manual_seed(0))
    times = torch.tensor([0.5] if architecture == "flux1" else [500])
    with torch.no_grad():
        conditioning = model.collate(model.encode_prompts(["a photo"]))
        sizes = torch.tensor([[64, 64, 0, 0, 64, 64]])
        adapted = model.predict(noisy, times, conditioning, sizes)
        with network.disabled():
            plain = model.predict(noisy, times, conditioning, sizes)
    assert adapted.isfinite().all()
    change = float((adapted - plain).norm() / plain.norm())
    assert 1e-4 < change < 1, change


def test_outside_of_masks_a_run_goes_on_bit_equal(
    masked: dict[str, Any], make_job: Callable[..., Data], at_step: Callable
) -> None:
    changes = STEPS_OF_TYPES | {"datasets": [masked], "objective": {"inverted_mask_prior": 0.5}}
    run = stops_and_goes_on(make_job, at_step, "sd15", changes)
    found = [line.get("loss_inverted_mask_prior", 0.0) for line in metrics(run)]
    assert any(found)
    assert all(part <= whole for part, whole in zip(found, losses(run), strict=True)), "it is a part of the loss"
