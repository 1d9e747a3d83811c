"""A loss that is not a number: skipped, counted, named; too often in a row it ends the run at its last checkpoint."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from loratory.config.optimizer import AdamWConfig, SGDConfig
from loratory.runs import RunFolder, read_status
from loratory.training import cache
from loratory.training.optimizers import make_optimizer
from tests.e2e.jobs import contents, differences, events, losses, metrics, train

pytestmark = pytest.mark.slow

LIMITS = {
    "batching.size": 2,
    "optimizer.learning_rate": 0.01,
    "duration.steps": 10,
    "runtime.max_nonfinite_steps": 3,
    "saving.checkpoint_every_n_steps": 4,
    "saving.keep_last_checkpoints": 9,
}


def break_the_model(training: Any) -> None:
    """The frozen part, as a model does whose arithmetic overflows."""
    with torch.no_grad():
        training.architecture.components.denoiser.conv_out.weight.fill_(float("nan"))


def test_broken_for_good(
    make_job: Callable, job_file: Callable, loratory: Callable, at_step: Callable, tmp_path: Path
) -> None:
    data = make_job("sd15", LIMITS)
    undisturbed = contents(train(make_job("sd15", LIMITS, output="undisturbed")))
    at_step(4, break_the_model)
    path = job_file(data)
    said = loratory("train", path)
    run = RunFolder.open(tmp_path / "out" / "run")
    assert said.code == 1
    assert "The loss is not a number since step 5 (pictures: " in said.error
    assert "the run can go on from its last checkpoint" in said.error
    skipped = [event.data for event in events(run) if event.kind == "step_skipped"]
    assert [event["step"] for event in skipped] == [5, 6, 7]
    named = [name for event in skipped for name in event["pictures"]]
    assert all(Path(name).is_file() for name in named), "each is named by its whole path"
    assert all(name in said.error for name in skipped[0]["pictures"])
    lines = metrics(run)
    assert [line["loss"] for line in lines[4:]] == [None] * 3
    assert all("loss" in line["nonfinite"] for line in lines[4:])
    assert read_status(run.path).state == "failed"
    assert [each.step for each in run.checkpoints()] == [4]

    at_step(0, break_the_model)
    assert loratory("train", path).code == 0, "with a healthy model it goes on"
    assert differences(contents(run), undisturbed) == []
    assert len(losses(run)) == 10


def poison(monkeypatch: pytest.MonkeyPatch, name: str, times: int) -> None:
    """The latents of one picture are not numbers the first times that it is used."""
    real = cache.Pictures.latents

    def latents(self: Any, sample: Any, view: Any) -> Any:
        nonlocal times
        mean, deviation = real(self, sample, view)
        if sample.item.path == name and times:
            times -= 1
            return mean * float("nan"), deviation
        return mean, deviation

    monkeypatch.setattr(cache.Pictures, "latents", latents)


@pytest.mark.parametrize(
    "optimizer", [{"type": "adamw"}, {"type": "sgd", "momentum": 0.9}, {"type": "sgd", "momentum": 0}]
)
def test_one_bad_picture(optimizer: dict, make_job: Callable, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its steps change nothing, not even the optimizer's memory; the others train on; the count survives."""
    poison(monkeypatch, "2_coffee.png", 1)
    every_step = {"batching.size": 1, "duration.steps": 5, "saving.checkpoint_every_n_steps": 1}
    changes = LIMITS | every_step | {"optimizer": optimizer}
    run = train(make_job("sd15", changes))
    (event,) = [event for event in events(run) if event.kind == "step_skipped"]
    assert event.data["pictures"] == [f"{photos}/2_coffee.png"]
    step = event.data["step"]
    assert [loss is None for loss in losses(run)] == [number == step for number in range(1, 6)]
    states = {each.step: each.path for each in run.checkpoints()}
    facts = {number: json.loads((path / "state.json").read_text()) for number, path in states.items()}
    assert [facts[number]["skipped_steps"] for number in range(1, 6)] == [int(number >= step) for number in range(1, 6)]
    if step > 1:
        before, after = (checkpoint_tensors(states[number]) for number in (step - 1, step))
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)
    last = checkpoint_tensors(states[5])
    assert all(bool(tensor.isfinite().all()) for tensor in last.values())


def checkpoint_tensors(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "network.safetensors") | load_file(folder / "optimizer.safetensors")


@pytest.mark.parametrize("config", [AdamWConfig(), SGDConfig(), SGDConfig(momentum=0)])
def test_first_step_is_skipped(config: Any) -> None:
    """The optimizer has no memory yet then, and none may come out of memory that nobody wrote."""
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = make_optimizer(config, {"unet": [weight]}, [])
    torch.use_deterministic_algorithms(True)  # fills fresh memory with NaN
    try:
        weight.grad = torch.full((3,), float("nan"))
        optimizer.found_inf = torch.tensor(1.0)  # type: ignore[attr-defined]
        optimizer.step()
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(weight, torch.ones(3))
    memory = [tensor for values in optimizer.state.values() for tensor in values.values() if tensor is not None]
    assert all(not tensor.any() for tensor in memory)
    weight.grad = torch.ones(3)
    optimizer.found_inf = torch.tensor(0.0)  # type: ignore[attr-defined]
    optimizer.step()
    assert bool((weight < 1).all())
