"""The presets that come along: an architecture's base, a goal and a card, one over the other."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from loratory.config.architectures import SPECS
from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.presets.base import Preset
from loratory.config.presets.cards import CARDS, MEMORIES
from loratory.config.presets.parts import BASES, CLASSIC, GOALS, TEXT_ENCODER, Goal


@functools.cache
def built_in() -> dict[str, Preset]:
    """By name: `<architecture>-<goal>-<GB>gb`, and `classic`."""
    made = [
        compose(spec, goal, memory)
        for spec in SPECS.values()
        for goal in GOALS
        for memory in CARDS.get(spec.name, {})
    ]  # fmt: skip
    classic = Preset("classic", "the web form's defaults", CLASSIC.settings, "sd15", why=CLASSIC.why)
    return {preset.name: preset for preset in (*made, classic)}


def preset_name(architecture: str, goal: str, memory: int) -> str:
    return f"{architecture}-{goal}-{memory}gb"


def compose(spec: ArchitectureSpec, goal_name: str, memory: int) -> Preset:
    """One of them. What an optimizer step learns from is the same on every card; how many pictures at a time is not."""
    base, goal, card = BASES[spec.name], GOALS[goal_name], CARDS[spec.name][memory]
    batch = goal.batch[spec.objective]
    size = min(batch, card.pictures)
    batching = {"size": size, "gradient_accumulation_steps": batch // size}
    settings = _over(base.settings, {"network": _network(spec, goal)}, goal.settings, {"batching": batching})
    why = (*base.why, *goal.why)
    trains_texts = spec.name in goal.text_encoder
    if trains_texts:
        settings, why = _over(settings, TEXT_ENCODER.settings), (*why, *TEXT_ENCODER.why)
    if batch > size:
        why = (*why, f"A step learns from {batch} pictures, {size} at a time.")
    return Preset(
        preset_name(spec.name, goal_name, memory), goal.title, _over(settings, card.settings()), spec.name, goal_name,
        memory, (*why, *card.why(trains_texts)),
    )  # fmt: skip


def _network(spec: ArchitectureSpec, goal: Goal) -> dict[str, Any]:
    convolutions = {"conv_rank": goal.convolutions} if goal.convolutions and spec.convolution_groups else {}
    return {"type": "lora", "rank": goal.rank, **convolutions}


def _over(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings one over the other, the last on top."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = result.get(key)
            result[key] = _over(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return result


def nearest_card(architecture: str, gigabytes: float) -> int | None:
    """The largest of an architecture's cards that is no larger than this one; None where this one is too small."""
    # 24 GB say 23.99, and 40 GB 39.6
    fitting = [memory for memory in MEMORIES if memory in CARDS[architecture] and memory <= gigabytes + 0.5]
    return max(fitting, default=None)
