"""Phases of alpha: when they end, what a change does to weights and optimizer, and what ai-toolkit's files mean."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from loratory.config.alpha_schedule import PRESETS, AlphaPhase, AlphaScheduleConfig
from loratory.config.ema import EmaConfig
from loratory.config.network import LoraConfig
from loratory.errors import UserError
from loratory.networks.base import Network, inject
from loratory.training.alpha_schedule import AlphaScheduler, is_over, rescale_memory
from loratory.training.ema import Ema
from loratory.training.statistics import Reading
from tests.unit.networks.helpers import stir, unet_inputs
from tests.unit.networks.test_network import unet_model

PHASE = {"name": "first", "alpha": 4.0, "min_steps": 10, "loss_slope_below": 0.001, "gradient_stability_above": 0.5}
TWO = {"preset": "custom", "linear": [PHASE, {"name": "second", "alpha": 8.0}]}


def reading(**changes: Any) -> Reading:
    usual = {"step": 9, "count": 200, "slope": 0.0, "r2": 0.0, "variation": 0.2, "stability": 0.6}
    return Reading(**(usual | changes))


@pytest.mark.parametrize(
    ("phase", "known", "over"),
    [
        ({}, {}, True),
        ({}, {"count": 99}, False),
        ({}, {"slope": 0.0011}, False),
        ({}, {"slope": -0.0011}, False),  # it still learns
        ({}, {"slope": -0.0009}, True),
        ({}, {"stability": 0.5}, False),
        ({}, {"stability": None}, False),  # what is not known does not hold
        ({"loss_r2_above": 0.01}, {"r2": 0.005}, False),
        ({"loss_r2_above": 0.01}, {"r2": 0.02}, True),
        ({"loss_variation_below": 0.1}, {}, False),
        ({"loss_slope_below": None, "gradient_stability_above": None}, {"slope": 5.0, "stability": None}, True),
    ],
)
def test_every_criterion_that_is_set_is_required(phase: dict[str, Any], known: dict[str, Any], over: bool) -> None:
    chosen = AlphaPhase(**(PHASE | phase))
    assert is_over(chosen, 10, reading(**known), "documented") is over
    assert not is_over(chosen, 9, reading(**known), "documented"), "it has its steps first"


@pytest.mark.parametrize(
    ("known", "over"),
    [
        ({"slope": 0.00004}, True),
        ({"slope": 0.00006}, False),  # above z = 0.05 · 0.001
        ({"slope": -0.0049}, True),
        ({"slope": -0.0051}, False),
        ({"stability": None}, True),
        ({"stability": 0.49}, False),
        ({"variation": 0.51}, False),
        ({"r2": 0.0}, True),
    ],
)
def test_the_rule_that_aitoolkits_code_had(known: dict[str, Any], over: bool) -> None:
    phase = AlphaPhase(**PHASE, loss_r2_above=0.1)
    assert is_over(phase, 10, reading(**known), "ai-toolkit") is over


def scheduler_of(config: dict[str, Any], network: Network, optimizer: Any = None) -> AlphaScheduler:
    optimizer = optimizer or torch.optim.AdamW(network.parameters(), lr=0.01, fused=True)
    return AlphaScheduler(AlphaScheduleConfig(**config), network, optimizer, Ema(EmaConfig(), {}))


def network_of(**changes: Any) -> tuple[Any, Network]:
    model = unet_model()
    return model, inject(model, LoraConfig(rank=2, conv_rank=2, **changes), seed=0)


def drive(scheduler: AlphaScheduler, steps: range, loss: float = 0.5, stability: float = 0.9) -> list[str]:
    """Numbers of a step are known four steps later, as in the loop."""
    said = []
    for step in steps:
        if step >= 4:
            scheduler.read(step - 4, loss, stability)
        said += scheduler.advance(step + 1)
    return said


def test_linear_layers_and_convolutions_have_phases_of_their_own() -> None:
    _, network = network_of()
    conv_phases = [{"name": "a", "alpha": 2.0, "min_steps": 120}, {"name": "b", "alpha": 6.0}]
    linear_phases = [{"name": "constant", "alpha": 1.0}]
    config = {"preset": "custom", "linear": linear_phases, "conv": conv_phases, "transition": "jump"}
    scheduler = scheduler_of(config, network)
    linear, conv = (network.with_alpha(larger_convolutions=larger) for larger in (False, True))
    assert {layer.scale for layer in linear} == {0.5} and {layer.scale for layer in conv} == {1.0}
    said = drive(scheduler, range(150))
    assert len(said) == 1 and "Alpha of conv layers goes from 2 to 6" in said[0]
    assert {layer.scale for layer in linear} == {0.5} and {layer.scale for layer in conv} == {3.0}
    assert scheduler.facts() == {
        "alpha_enabled": 1, "linear_alpha": 1.0, "conv_alpha": 6.0, "phase": "b", "phase_idx": 1, "steps_in_phase": 30,
    }  # fmt: skip


def test_rank_stabilised_layers_keep_their_root() -> None:
    _, network = network_of(rank_stabilized=True)
    scheduler_of({"preset": "custom", "linear": [{"name": "only", "alpha": 3.0}]}, network)
    assert {layer.scale for layer in network.with_alpha(larger_convolutions=False)} == {3.0 * 2**0.5 / 2}


def test_a_phase_that_begins_changes_neither_the_model_nor_the_next_step() -> None:
    """With `rescale` the next update of W + ΔW is that of the old strength, for momentum too: nothing jumps."""
    model, network = network_of()
    stir(network)
    network.eval()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.0)
    inputs = unet_inputs()

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        loss = model.components.denoiser(**inputs, return_dict=False)[0].square().mean()
        loss.backward()
        return loss.detach()

    for _ in range(3):
        step()
        optimizer.step()
    scheduler = scheduler_of(TWO | {"transition": "rescale", "conv": TWO["linear"]}, network, optimizer)
    before = step()
    gradients = {p: p.grad.clone() for p in network.parameters()}
    memory = {p: (s["exp_avg"] / s["exp_avg_sq"].sqrt().clamp(min=1e-30)).clone() for p, s in optimizer.state.items()}
    assert len(drive(scheduler, range(150))) == 2
    assert float(step()) == pytest.approx(float(before), rel=1e-5)
    for layer in network.layers.values():
        # twice the strength, half the weight: its gradient and the memory of it are twice as large
        torch.testing.assert_close(layer.up.grad, 2 * gradients[layer.up], rtol=1e-3, atol=1e-7)
        torch.testing.assert_close(layer.down.grad, gradients[layer.down], rtol=1e-3, atol=1e-7)
        state = optimizer.state[layer.up]
        torch.testing.assert_close(state["exp_avg"] / state["exp_avg_sq"].sqrt().clamp(min=1e-30), memory[layer.up])


def test_a_ramp_goes_there_evenly_and_ends_exactly() -> None:
    _, network = network_of()
    phases = [PHASE, {"name": "second", "alpha": 4.4}]
    scheduler = scheduler_of({"preset": "custom", "linear": phases, "transition": "ramp", "ramp_steps": 10}, network)
    begins = next(step for step in range(300) if drive(scheduler, range(step, step + 1)))
    alphas = []
    for step in range(begins + 1, begins + 14):
        scheduler.advance(step + 1)
        alphas.append(scheduler.facts()["linear_alpha"])
    assert alphas[:3] == pytest.approx([4.04, 4.08, 4.12])
    assert alphas[9:] == [4.4] * 4


def test_an_optimizer_whose_memory_is_unknown_is_refused() -> None:
    parameter = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.Adagrad([parameter])
    with pytest.raises(UserError, match="use ramp"):
        rescale_memory(optimizer, parameter, 2.0)


def test_it_decides_the_same_after_a_stop_anywhere() -> None:
    def fresh() -> AlphaScheduler:
        return scheduler_of(TWO | {"transition": "jump"}, network_of()[1])

    whole = fresh()
    said = {step: drive(whole, range(step, step + 1)) for step in range(160)}
    changed = next(step for step, sentences in said.items() if sentences)
    for stop in (3, 50, changed - 2, changed, changed + 1):
        first = fresh()
        drive(first, range(stop))
        for late in range(max(0, stop - 4), stop):  # before anything is saved all numbers are read
            first.read(late, 0.5, 0.9)
        state = json.loads(json.dumps(first.state()))
        again = fresh()
        again.load(state)
        found = []
        for step in range(stop, 160):
            if step - 4 >= stop:
                again.read(step - 4, 0.5, 0.9)
            found += [step for _ in again.advance(step + 1)]
        assert found == ([changed] if changed >= stop else []), stop
        assert again.facts() == whole.facts()


# ai-toolkit's own layout

THEIRS = {
    "enabled": True, "linear_alpha": 16, "mode": "x", "_preset": "video",
    "conv_alpha_phases": {
        "foundation": {"alpha": 8, "min_steps": 2000,
                       "exit_criteria": {"loss_improvement_rate_below": 0.005, "min_gradient_stability": 0.5,
                                         "min_loss_r2": 0.01}},
        "balance": {"alpha": 14},
    },
}  # fmt: skip


def test_their_layout_means_what_it_meant() -> None:
    config = AlphaScheduleConfig(**THEIRS, rule="ai-toolkit")
    first, second = config.phases()["conv"]
    assert (first.name, first.alpha, first.min_steps) == ("foundation", 8, 2000)
    assert (first.loss_slope_below, first.gradient_stability_above, first.loss_r2_above) == (0.005, 0.5, 0.01)
    assert (second.min_steps, second.loss_slope_below, second.gradient_stability_above) == (500, 0.001, 0.55)
    assert [phase.alpha for phase in config.phases()["linear"]] == [16]
    assert (config.rule, config.transition) == ("ai-toolkit", "rescale")
    assert AlphaScheduleConfig(**THEIRS | {"enabled": False}).phases() == {}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"other": 1}, "other beside conv_alpha_phases"),
        ({"per_expert": {"high_noise": {}}}, "per_expert phases are not supported"),
        ({"conv_alpha_phases": [1]}, "a table of phases by name"),
        ({"conv_alpha_phases": {"a": {}}}, "a needs an alpha"),
        ({"conv_alpha_phases": {"a": {"alpha": 1, "exit_criteria": {"loss": 1}}}}, "exit_criteria has loss"),
    ],
)
def test_what_is_wrong_in_their_layout_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        AlphaScheduleConfig(**THEIRS | changes)


def test_presets_are_the_published_ones() -> None:
    assert [phase.alpha for phase in PRESETS["flux"]] == [64, 128, 192]
    assert [phase.min_steps for phase in PRESETS["video"]] == [2000, 3000, 2000]
    assert all(phase.loss_r2_above is None for name in ("image", "video", "flux") for phase in PRESETS[name])
    mine = AlphaScheduleConfig(preset="image", linear=(AlphaPhase(name="mine", alpha=1.0),)).phases()
    assert [phase.name for phase in mine["linear"]] == ["mine"] and mine["conv"] == PRESETS["image"]
