"""Alpha in phases: how strongly the network acts may change once the loss has settled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import model_validator

from loratory.config.base import StrictModel, param

Preset = Literal["off", "custom", "image", "video", "flux", "image_r2", "video_r2"]


def _field(default: Any = ..., **facts: Any) -> Any:
    return param(default, tab="LoRA", group="Alpha schedule", **{"level": "expert", "on_resume": "forbid", **facts})


class AlphaPhase(StrictModel):
    """One phase. It ends when it has had its steps and every criterion that is set holds; the last one never ends."""

    name: str = _field(min_length=1, max_length=60, help="What metrics and the terminal call this phase.")
    alpha: float = _field(gt=0, le=100_000, help="Alpha in this phase; strength is alpha divided by rank.")
    min_steps: int = _field(500, ge=1, help="Optimizer steps that the phase has at least.")
    loss_slope_below: float | None = _field(
        None, gt=0, le=1,
        help="The phase ends only while the loss changes by less than this in a step, over the last 200 steps.",
    )  # fmt: skip
    gradient_stability_above: float | None = _field(
        None, ge=0, le=1,
        help="The phase ends only while more than this share of the gradients' signs agree with the step before.",
    )  # fmt: skip
    loss_r2_above: float | None = _field(
        None, ge=0, le=1,
        help="The phase ends only while a straight line explains more than this share of the loss. At a true plateau "
        "that share is near zero, so it is seldom wise to set it.",
    )  # fmt: skip
    loss_variation_below: float | None = _field(
        None, gt=0, le=100,
        help="The phase ends only while the spread of the last 50 losses, divided by their mean, is less than this.",
    )  # fmt: skip


class AlphaScheduleConfig(StrictModel):
    """Phases of alpha, for linear layers and for larger convolutions."""

    preset: Preset = _field(
        "off",
        help="`off`: alpha stays. `custom`: the phases below. The others are phases that were published for such "
        "models at rank 64, `_r2` with a criterion that a settled loss seldom meets.",
    )  # fmt: skip
    linear: tuple[AlphaPhase, ...] = _field((), help="Phases of linear layers and 1×1 convolutions, in their order.")
    conv: tuple[AlphaPhase, ...] = _field((), help="Phases of larger convolutions, in their order.")
    rule: Literal["documented", "ai-toolkit"] = _field(
        "documented",
        help="`documented`: every criterion that is set is required. `ai-toolkit`: what its code did, which leaves R² "
        "out and lets a falling loss pass.",
    )  # fmt: skip
    transition: Literal["rescale", "ramp", "jump"] = _field(
        "rescale",
        help="What happens when alpha changes. `rescale`: the weights and the optimizer's memory of them are divided, "
        "so that nothing jumps and only what comes is learned at the new strength. `ramp`: alpha moves there over "
        "ramp_steps. `jump`: at once, as ai-toolkit did.",
    )  # fmt: skip
    ramp_steps: int = _field(200, ge=1, help="Optimizer steps of a ramp.")

    @model_validator(mode="before")
    @classmethod
    def _from_aitoolkit(cls, given: Any) -> Any:
        """ai-toolkit's own layout (`conv_alpha_phases`, `linear_alpha`) means what it meant there."""
        return converted(given) if isinstance(given, Mapping) and "conv_alpha_phases" in given else given

    def phases(self) -> dict[str, tuple[AlphaPhase, ...]]:
        """The phases by kind of layer, `linear` and `conv`; nothing for a kind whose alpha stays."""
        found = {"linear": self.linear, "conv": self.conv}
        if self.preset not in ("off", "custom"):
            published = PRESETS[self.preset]
            found = {kind: mine or published for kind, mine in found.items()}
        return {kind: each for kind, each in found.items() if each and self.preset != "off"}


_NAMES = ("foundation", "balance", "emphasis")


def _published(
    alphas: tuple[float, ...], steps: tuple[int, ...], slope: float, stability: float, r2: float | None
) -> tuple[AlphaPhase, ...]:
    return tuple(
        AlphaPhase(
            name=name, alpha=alpha, min_steps=least, loss_slope_below=slope, gradient_stability_above=stability,
            loss_r2_above=r2,
        )
        for name, alpha, least in zip(_NAMES, alphas, steps, strict=True)
    )  # fmt: skip


_STEPS = (2000, 3000, 2000)
PRESETS: dict[str, tuple[AlphaPhase, ...]] = {
    "image": _published((8, 14, 20), _STEPS, 0.001, 0.55, None),
    "video": _published((8, 14, 20), _STEPS, 0.005, 0.50, None),
    "flux": _published((64, 128, 192), _STEPS, 0.001, 0.55, None),
    "image_r2": _published((8, 14, 20), _STEPS, 0.001, 0.55, 0.1),
    "video_r2": _published((8, 14, 20), _STEPS, 0.005, 0.50, 0.01),
}

_CRITERIA = {
    "loss_improvement_rate_below": "loss_slope_below",
    "min_gradient_stability": "gradient_stability_above",
    "min_loss_r2": "loss_r2_above",
}
_DEFAULTS = {"loss_improvement_rate_below": 0.001, "min_gradient_stability": 0.55, "min_loss_r2": 0.1}


def converted(given: Mapping[str, Any]) -> dict[str, Any]:
    """ai-toolkit's `network.alpha_schedule` in our words: its phases move convolutions only, its linear alpha stays.

    Its defaults are its own. Raises ValueError for what is no such section.
    """
    known = {"enabled", "linear_alpha", "conv_alpha_phases", "per_expert", "mode", "_preset", "rule", "transition",
             "ramp_steps"}  # fmt: skip
    if strangers := given.keys() - known:
        raise ValueError(
            f"has {', '.join(sorted(map(str, strangers)))} beside conv_alpha_phases, which it doesn't know"
        )
    if given.get("per_expert"):
        raise ValueError("per_expert phases are not supported; give conv_alpha_phases, linear or conv")
    if not isinstance(given["conv_alpha_phases"], Mapping):
        raise ValueError("conv_alpha_phases is a table of phases by name")
    ours = {name: given[name] for name in ("rule", "transition", "ramp_steps") if name in given}
    if not given.get("enabled", False):
        return {**ours, "preset": "off"}
    conv = []
    for name, phase in given["conv_alpha_phases"].items():
        if not isinstance(phase, Mapping) or "alpha" not in phase:
            raise ValueError(f"conv_alpha_phases.{name} needs an alpha")
        criteria = {**_DEFAULTS, **phase.get("exit_criteria", {})}
        if strangers := criteria.keys() - _CRITERIA.keys():
            raise ValueError(f"conv_alpha_phases.{name}.exit_criteria has {', '.join(sorted(strangers))}")
        conv.append({"name": name, "alpha": phase["alpha"], "min_steps": phase.get("min_steps", 500),
                     **{_CRITERIA[key]: value for key, value in criteria.items()}})  # fmt: skip
    linear = [{"name": "constant", "alpha": given.get("linear_alpha", 16)}]
    return {**ours, "preset": "custom", "linear": linear, "conv": conv}
