"""No option of the objective does nothing: each changes the loss of a tiny model where it is said to have an effect."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
import torch

from loratory.config.base import param_of
from loratory.config.objective import ObjectiveConfig
from loratory.networks.base import Network, inject
from loratory.training import loop, objective
from loratory.training.batches import BatchMaker
from loratory.training.meter import Meter
from loratory.training.metrics import Terms
from tests.tiny.fixtures import tiny_model
from tests.unit.models.conftest import load_model
from tests.unit.networks.helpers import stir
from tests.unit.training.helpers import Captions, Latents, job, plan_of, sample

__all__ = ["tiny_model"]

Changes = dict[str, Any]
OFFSET, HUBER, PYRAMID = {"noise_offset": 0.1}, {"loss_type": "huber"}, {"multires_noise_iterations": 3}
GUIDED = {"guidance_loss_target": 3.0}

# Other values of the fields whose types do not name them.
OTHERS: Changes = {
    "noise_offset": 0.1,
    "adaptive_noise_scale": 0.5,
    "multires_noise_iterations": 3,
    "multires_noise_discount": 0.8,
    "ip_noise_gamma": 0.1,
    "min_timestep": 400,
    "max_timestep": 400,
    "sigmoid_scale": 2.0,
    "logit_mean": 1.0,
    "logit_std": 2.0,
    "mode_scale": 0.5,
    "flow_shift": 2.0,
    "huber_c": 0.3,
    "huber_scale": 2.0,
    "wavelet_detail": 3.0,
    "min_snr_gamma": 0.1,
    "v_pred_like_loss": 0.5,
    "guidance_loss_target": (2.0, 4.0),
    "unconditional_prompt": "a worse photo",
    "mean_flow_steps": 3,
    "mean_flow_distance": 0.3,
    "diff_output_preservation": 0.5,
    "diff_output_preservation_class": "house",
    "blank_prompt_preservation": 0.5,
    "inverted_mask_prior": 0.5,
}
# What has to be set before a field has an effect; the rules say so to the user.
NEEDED: dict[str, Changes] = {
    "noise_offset_random_strength": OFFSET,
    "adaptive_noise_scale": OFFSET,
    "multires_noise_discount": PYRAMID,
    "ip_noise_gamma_random_strength": {"ip_noise_gamma": 0.1},
    "logit_mean": {"timestep_sampling": "logit_normal"},
    "logit_std": {"timestep_sampling": "logit_normal"},
    # With mean 0 and deviation 1 it is the same as sigmoid.
    "timestep_sampling": {"logit_mean": 0.5},
    "mode_scale": {"timestep_sampling": "mode"},
    "huber_c": HUBER,
    "huber_scale": HUBER,
    "huber_schedule": HUBER,
    "wavelet_detail": {"loss_type": "wavelet"},
    "guidance_loss_schedule": GUIDED,
    "guidance_loss_cfg_zero": GUIDED,
    "unconditional_prompt": GUIDED,
    "mean_flow_distance": {"mean_flow_steps": 2},
    "diff_output_preservation_class": {"diff_output_preservation": 1.0},
}
VELOCITY = {"scale_v_pred_loss_like_noise_pred"}
"""Fields for v-prediction models."""
MASKED = {"inverted_mask_prior", "masked_loss_mean"}
"""Fields for pictures with masks."""
ELSEWHERE = {
    "bypass_guidance_embedding": "goes to the model when a training is assembled: tests/e2e/test_objectives.py",
    "guidance_scale": "goes to the model when a training is assembled: tests/e2e/test_objectives.py",
    "prior_loss_weight": "needs a regularisation set: test_dataset_fields.py",
}


def values(name: str) -> list[Any]:
    """All values of a choice or a switch, else the default and another one."""
    annotation = ObjectiveConfig.model_fields[name].annotation
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    default = ObjectiveConfig.model_fields[name].default
    return [False, True] if annotation is bool else [default, OTHERS[name]]


def with_adapter(model: Any) -> tuple[Any, Network]:
    """The model and an adapter on it that does something."""
    network = inject(model, job().network, seed=0)
    stir(network)
    return model, network


@pytest.fixture(scope="module")
def loss_of(tiny_model: Callable[[str], Path]) -> Callable[..., float]:
    """`loss_of(architecture, objective, velocity, masked)`: of one step of two pictures, through the loop's own
    function."""
    models: dict[str, Any] = {}

    def loss(architecture: str, changes: Changes, velocity: bool, masked: bool = False) -> float:
        if architecture not in models:
            models[architecture] = with_adapter(load_model(tiny_model(architecture)))
        model, network = models[architecture]
        if velocity:
            schedule = dataclasses.replace(model.noise_schedule, prediction_type="v_prediction")
            model = dataclasses.replace(model, noise_schedule=schedule)
        config, channels = job(objective=changes), 16 if architecture == "flux1" else 4
        plan = plan_of([sample(number, (64, 64)) for number in range(3)], batch_size=2)
        maker = BatchMaker(
            config, plan, Latents(channels=channels), Captions(cached=False),
            objective.time_draw(model.spec, config.objective), latent_channels=channels, latent_factor=8,
        )  # fmt: skip
        training: Any = SimpleNamespace(
            config=config, architecture=model, device=torch.device("cpu"), network=network, terms=Terms(),
            fused=SimpleNamespace(active=False),
            scaler=torch.amp.GradScaler("cpu", enabled=False),
            meter=Meter(torch.device("cpu"), is_flow=model.noise_schedule is None),
        )  # fmt: skip
        batch = maker.make(3, 0, np.array([1, 2]), step_samples=2, is_last=True)
        if masked:
            batch.masks = torch.zeros(2, 1, 8, 8)
            batch.masks[..., :5] = 1
        return loop.forward_backward(training, batch).item()

    return loss


@pytest.mark.parametrize("architecture", ["sd15", "flux1"])
@pytest.mark.parametrize("name", sorted(set(ObjectiveConfig.model_fields) - set(ELSEWHERE)))
def test_a_field_changes_the_loss_where_it_is_said_to(name: str, architecture: str, loss_of: Callable) -> None:
    needed = NEEDED.get(name, {})
    velocity = name in VELOCITY and architecture == "sd15"
    found = [loss_of(architecture, needed | {name: value}, velocity, name in MASKED) for value in values(name)]
    assert all(np.isfinite(found))
    architectures = param_of(ObjectiveConfig, name).architectures
    effects = len(found) if not architectures or architecture in architectures else 1
    assert len({f"{loss:.6g}" for loss in found}) == effects, dict(zip(map(str, values(name)), found, strict=True))


def test_nothing_is_listed_that_does_not_exist() -> None:
    assert set(OTHERS) | set(NEEDED) | VELOCITY | MASKED | set(ELSEWHERE) <= set(ObjectiveConfig.model_fields)


def test_what_is_not_for_a_models_kind_of_prediction_is_said(loss_of: Callable) -> None:
    """An option without effect on the loss has a complaint, and no other has one."""
    for name, changes in (("scale_v_pred_loss_like_noise_pred", True), ("v_pred_like_loss", 0.5)):
        for kind in ("epsilon", "v_prediction"):
            schedule = objective.NoiseSchedule(torch.linspace(0.99, 0.01, 1000), kind)
            plain = loss_of("sd15", {}, kind == "v_prediction")
            without_effect = loss_of("sd15", {name: changes}, kind == "v_prediction") == plain
            said = list(objective.complaints(schedule, ObjectiveConfig(**{name: changes})))
            assert any(name in complaint for complaint in said) == without_effect
            assert not list(objective.complaints(schedule, ObjectiveConfig()))
    terminal = torch.linspace(0.99, 0.0, 1000)
    assert list(objective.complaints(objective.NoiseSchedule(terminal, "epsilon"), ObjectiveConfig()))
    assert not list(objective.complaints(objective.NoiseSchedule(terminal, "v_prediction"), ObjectiveConfig()))
    assert not list(objective.complaints(None, ObjectiveConfig(v_pred_like_loss=1)))
