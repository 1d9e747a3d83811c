"""Rules about the preset that a job names. `rules` runs them with the others."""

from __future__ import annotations

from collections.abc import Iterator

from loratory.config.architectures import SPECS
from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.presets import Preset, built_in, find_or_none, nearest_card, preset_name
from loratory.config.problems import Problem, rule
from loratory.config.train import TrainConfig
from loratory.errors import UserError


@rule
def preset_is_for_the_model(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    found = None if config.preset is None else _if_usable(config.preset)
    if found is None or found.architecture in (None, spec.name):
        return
    other = _same_for(found, spec)
    yield Problem(
        "error",
        ("preset",),
        f"{found.name} is for {SPECS[found.architecture or spec.name].title}, and the model is {spec.title}"
        + (f"; {other} is for that" if other else "; take it out, or another one"),
        {"preset": other},
    )


def _if_usable(name: str) -> Preset | None:
    """A job was refused when its preset was read; a run's own copy does not need it, and may name one that is gone."""
    try:
        return find_or_none(name)
    except UserError:
        return None


def _same_for(preset: Preset, spec: ArchitectureSpec) -> str | None:
    """The same goal and card for the architecture, if there is such a preset."""
    if preset.memory is None:
        return None
    memory = nearest_card(spec.name, preset.memory)
    name = None if memory is None else preset_name(spec.name, preset.goal, memory)
    return name if name in built_in() else None
