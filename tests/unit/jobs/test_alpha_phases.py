"""In which phase of alpha a run is, and what it waits for: told from its folder alone."""

from pathlib import Path

import pytest

from loratory.config.alpha_schedule import AlphaPhase
from loratory.config.load import dump, parse
from loratory.jobs.alpha_phases import alpha_phases_of
from loratory.runs import RunFolder
from loratory.runs.phases import Known, criteria

PHASES = [
    {"name": "low", "alpha": 4, "min_steps": 10, "loss_slope_below": 0.001, "gradient_stability_above": 0.55},
    {"name": "high", "alpha": 8},
]
SETTLED = {
    "phase_idx": 0, "steps_in_phase": 12, "loss_samples": 150, "loss_slope": -0.0004, "gradient_stability_avg": 0.52,
}  # fmt: skip


def run_with(folder: Path, schedule: object) -> RunFolder:
    job = {"name": "run", "model": {"path": "demo"}, "datasets": [{"path": "d"}], "alpha_schedule": schedule}
    return RunFolder.create(folder, "run", dump(parse(job, "the job")))


def test_each_criterion_is_told_with_its_limits(tmp_path: Path) -> None:
    run = run_with(tmp_path, {"preset": "custom", "linear": PHASES})
    run.metrics_path.write_text('{"step": 150, "phase": "low", ' + str(SETTLED).replace("'", '"')[1:] + "\n")
    found = alpha_phases_of(run)
    assert [each.name for each in found.phases] == ["low", "high"]
    assert (found.current, found.steps_in_phase) == (0, 12)
    assert [(each.name, each.value, each.above, each.below, each.holds) for each in found.criteria] == [
        ("min_steps", 12, 10, None, True),
        ("loss_samples", 150, 100, None, True),
        ("loss_slope", -0.0004, -0.001, 0.001, True),
        ("gradient_stability_avg", 0.52, 0.55, None, False),
    ]


def test_the_last_phase_waits_for_nothing(tmp_path: Path) -> None:
    run = run_with(tmp_path, {"preset": "custom", "linear": PHASES})
    run.metrics_path.write_text('{"step": 150, "phase_idx": 1, "steps_in_phase": 3}\n')
    found = alpha_phases_of(run)
    assert (found.current, found.criteria) == (1, [])


def test_before_the_first_numbers_and_without_phases(tmp_path: Path) -> None:
    assert alpha_phases_of(run_with(tmp_path / "a", {"preset": "custom", "linear": PHASES})).current is None
    assert alpha_phases_of(run_with(tmp_path / "b", {"preset": "off"})).phases == []


@pytest.mark.parametrize(
    ("slope", "stability", "holds"),
    [(-0.004, None, [True, True]), (-0.006, 0.56, [False, True]), (0.0001, 0.54, [False, False])],
)
def test_the_rule_of_ai_toolkit_shows_its_own_limits(slope: float, stability: float | None, holds: list[bool]) -> None:
    phase = AlphaPhase(name="low", alpha=1, min_steps=1, loss_slope_below=0.001, gradient_stability_above=0.55)
    found = criteria(phase, Known(1, 100, slope, None, 0.1, stability), "ai-toolkit")
    by_name = {each.name: each for each in found}
    assert [by_name["loss_slope"].holds, by_name["gradient_stability_avg"].holds] == holds
    assert (by_name["loss_slope"].above, by_name["loss_slope"].below) == (-0.005, pytest.approx(0.00005))
    assert by_name["loss_variation"].below == 0.5
