"""Stable Diffusion 2 and 3 in whole runs: what their files say of them, and training without T5."""

from collections.abc import Callable
from pathlib import Path

import pytest

from loratory.networks.metadata import read_lora
from tests.e2e.jobs import Data, contents, differences, losses, train
from tests.e2e.test_network_types import STEPS, stops_and_goes_on
from tests.tiny import sd3

pytestmark = pytest.mark.slow


def test_velocity_of_a_single_file_is_told_in_the_metadata(
    make_job: Callable[..., Data], tiny_file: Callable, tiny_model: Callable
) -> None:
    """And `model.prediction_type` counts more than what the weights show."""
    source = {"model.path": str(tiny_file("sd2", "original")), "model.components": str(tiny_model("sd2"))}
    said = {}
    for asked in (None, "epsilon"):
        run = train(make_job("sd2", source | {"model.prediction_type": asked, "duration.steps": 2}, output=str(asked)))
        said[asked] = losses(run), read_lora(run.final_export_path)[1]
    metadata = said[None][1]
    assert (metadata["ss_v2"], metadata["ss_base_model_version"]) == ("True", "sd_v2_v")
    assert metadata["modelspec.architecture"] == "stable-diffusion-v2-768-v/lora"
    assert metadata["modelspec.prediction_type"] == "v"
    metadata = said["epsilon"][1]
    assert (metadata["ss_v2"], metadata["ss_base_model_version"]) == ("True", "sd_v2")
    assert metadata["modelspec.architecture"] == "stable-diffusion-v2-512/lora"
    assert said[None][0] != said["epsilon"][0]


def test_a_run_without_t5_stops_and_goes_on(make_job: Callable[..., Data], at_step: Callable, tmp_path: Path) -> None:
    """The job does without it; a folder that has none gives the same run."""
    sampling = {
        "prompts": ["a cat --w 32 --h 32 --s 2 --d 1 --l 3"],
        "every_n_steps": 2,
        "before_first_step": False,
    }
    changes = STEPS | {"network": {"rank": 2, "train_text_encoders": True}, "sampling": sampling}
    run = stops_and_goes_on(make_job, at_step, "sd3", changes | {"model.parts": {"text_encoder_3": None}})
    folder = sd3.build(tmp_path / "without", t5=False)
    other = train(make_job("sd3", changes | {"model.path": str(folder)}, output="other"))
    same = contents(other)
    assert losses(other) == losses(run) and same["samples"] == contents(run)["samples"]
    assert losses(train(make_job("sd3", changes, output="with"))) != losses(run)
    assert differences({"samples": same["samples"]}, contents(run)) == []
    assert read_lora(run.final_export_path)[1]["ss_base_model_version"] == "5-medium"


def test_t5_that_is_not_there_cannot_be_trained(
    make_job: Callable[..., Data], job_file: Callable, loratory: Callable, tmp_path: Path
) -> None:
    folder = sd3.build(tmp_path / "without", t5=False)
    large = {"model.path": str(folder), "network.train_large_text_encoders": True}
    said = loratory("train", job_file(make_job("sd3", large)))
    assert said.code == 1 and "has no text_encoder_3 that could be trained" in said.error
