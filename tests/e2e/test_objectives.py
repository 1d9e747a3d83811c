"""The options of the objective in whole trainings."""

from collections.abc import Callable

import pytest

from loratory.networks.metadata import read_lora
from tests.e2e.jobs import contents, differences, losses, train

pytestmark = pytest.mark.slow

# Everything that draws something of its own.
DRAWING = {
    "ip_noise_gamma": 0.1,
    "ip_noise_gamma_random_strength": True,
    "noise_offset": 0.1,
    "noise_offset_random_strength": True,
    "adaptive_noise_scale": 0.2,
    "multires_noise_iterations": 4,
    "content_or_style": "style",
    "timestep_sampling": "logit_normal",
    "loss_type": "huber",
}
STEPS = {"duration.steps": 4, "batching.size": 2, "optimizer.learning_rate": 0.01}


@pytest.mark.parametrize("architecture", ["sd15", pytest.param("flux1", marks=pytest.mark.full)])
def test_a_run_with_all_draws_goes_on_bit_equal(architecture: str, make_job: Callable, at_step: Callable) -> None:
    changes = STEPS | {"objective": DRAWING, "saving.checkpoint_every_n_steps": 2}
    whole = train(make_job(architecture, changes, output="whole"))
    assert all(loss > 0 for loss in losses(whole))
    _, metadata = read_lora(whole.final_export_path)
    expected = {"noise_offset": "0.1", "noise_offset_random_strength": "True", "adaptive_noise_scale": "0.2",
                "multires_noise_iterations": "4", "multires_noise_discount": "0.3", "ip_noise_gamma": "0.1",
                "loss_type": "huber", "huber_c": "0.1", "min_snr_gamma": "None",
                "zero_terminal_snr": "False"}  # fmt: skip
    assert {name: metadata[f"ss_{name}"] for name in expected} == expected, "under kohya's names"
    at_step(2, lambda training: training.stop.ask("the test"))
    train(make_job(architecture, changes, output="halves"))
    at_step(0, lambda training: None)
    halves = train(make_job(architecture, changes, output="halves"))
    assert differences(contents(halves), contents(whole)) == []


def test_guidance_reaches_the_model(make_job: Callable) -> None:
    one = train(make_job("flux1", STEPS | {"duration.steps": 1}, output="one"))
    other = train(make_job("flux1", STEPS | {"duration.steps": 1, "objective.guidance_scale": 3.5}, output="other"))
    assert losses(one) != losses(other)


@pytest.mark.parametrize("architecture", ["flux1", pytest.param("flux2", marks=pytest.mark.full)])
def test_guidance_is_bypassed(architecture: str, make_job: Callable) -> None:
    """What is told has no effect any more."""
    job = STEPS | {"duration.steps": 1, "objective.bypass_guidance_embedding": True}
    told = train(make_job(architecture, STEPS | {"duration.steps": 1}, output="told"))
    one = train(make_job(architecture, job, output="one"))
    other = train(make_job(architecture, job | {"objective.guidance_scale": 3.5}, output="other"))
    assert losses(one) == losses(other) != losses(told)


def test_zero_terminal_snr_trains_and_is_found_odd_for_noise_prediction(
    make_job: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    velocity = {"model.prediction_type": "v_prediction", "objective.min_timestep": 999, "objective.min_snr_gamma": 5}
    run = train(make_job("sd15", STEPS | velocity, output="plain"))
    assert all(loss > 0 for loss in losses(run))
    assert "zero terminal SNR" not in caplog.text
    zero = {"model.zero_terminal_snr": True, "duration.steps": 1}
    run = train(make_job("sd15", STEPS | velocity | zero, output="zero"))
    assert losses(run) == [0.0], "the last timestep has SNR 0, and min-SNR weighs v by it: the table is the new one"
    assert "zero terminal SNR" not in caplog.text
    train(make_job("sd15", STEPS | zero, output="odd"))
    assert "zero terminal SNR" in caplog.text
