"""What would make a job fit on a card: options are really tried in the estimate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from loratory.config.base import StrictModel
from loratory.config.optimizer import AdamW8bitConfig
from loratory.config.optimizers.base import RatesConfig
from loratory.config.rules import check
from loratory.config.train import TrainConfig
from loratory.data.buckets import Size
from loratory.planner.memory import memory_of
from loratory.planner.model import Model

Changes = Mapping[str, Any]
COUNTS_AS_NOTHING = 50 * 2**20
"""An option that saves less is not named."""


@dataclass(frozen=True)
class Option:
    """A change of the config, and what it saves on its own."""

    changes: dict[str, Any]
    """Dotted paths of fields, and their values."""
    saves_bytes: int
    phase: str
    """The phase in which it saves that: the highest one, or another one that does not fit."""
    time: str
    """What it costs, in words."""

    def __str__(self) -> str:
        return ", ".join(f"{path}: {_shown(value)}" for path, value in self.changes.items())


@dataclass(frozen=True)
class Fit:
    """Does a job fit into so many bytes, and what would help?"""

    limit_bytes: int
    peak_bytes: int
    options: tuple[Option, ...]
    """Single changes that save something, those that cost least time first."""
    enough: tuple[Option, ...]
    """The cheapest of them that make it fit together; empty where it fits, or where nothing does."""
    peak_with_enough_bytes: int | None

    @property
    def fits(self) -> bool:
        return self.peak_bytes <= self.limit_bytes

    def as_json(self) -> dict[str, Any]:
        """Plain data."""

        def plain(options: tuple[Option, ...]) -> list[dict[str, Any]]:
            return [{"changes": {path: value.model_dump(mode="json") if isinstance(value, RatesConfig) else value
                                 for path, value in each.changes.items()},
                     "saves_bytes": each.saves_bytes, "phase": each.phase, "time": each.time}
                    for each in options]  # fmt: skip

        return {
            "fits": self.fits, "limit_bytes": self.limit_bytes, "peak_bytes": self.peak_bytes,
            "options": plain(self.options), "enough": plain(self.enough),
            "peak_with_enough_bytes": self.peak_with_enough_bytes,
        }  # fmt: skip


def _shown(value: Any) -> str:
    if isinstance(value, RatesConfig):
        return str(getattr(value, "type"))  # noqa: B009  (each optimizer has it, their base has not)
    return str(value).lower() if isinstance(value, bool) else str(value)


def changed(config: TrainConfig, changes: Changes) -> TrainConfig:
    """A copy with other values, which are known to be valid ones."""
    for path, value in changes.items():
        section, _, name = path.rpartition(".")
        if not section:
            config = config.model_copy(update={name: value})
            continue
        inner: StrictModel = getattr(config, section)
        config = config.model_copy(update={section: inner.model_copy(update={name: value})})
    return config


def candidates(model: Model) -> Iterator[tuple[Changes, str]]:
    """Changes that may help, those that cost least time first, and what they cost."""
    config = model.config
    memory, blocks = config.memory, len(model.table.blocks)
    yield {"memory.low_vram": True}, "no time in steps"
    yield {"memory.unload_text_encoders": True}, "no time in steps"
    if config.caching.batch_size > 1 and config.caching.latents != "off":
        yield {"caching.batch_size": 1}, "next to no time"
    if config.optimizer.type == "adamw":
        yield _optimizer(config), "next to no time"
    if memory.gradient_checkpointing == "off":
        yield {"memory.gradient_checkpointing": "on", "memory.checkpoint_every": 2}, "about a sixth more"
        yield {"memory.gradient_checkpointing": "on"}, "about a third more"
    elif memory.checkpoint_every > 1:
        yield {"memory.checkpoint_every": 1}, "about a sixth more"
    size = config.batching.size
    if size > 1:
        steps = config.batching.gradient_accumulation_steps * size
        yield {"batching.size": 1, "batching.gradient_accumulation_steps": steps}, "some more: smaller batches"
    if memory.denoiser_weights == "full":
        yield {"memory.denoiser_weights": "int8"}, "some more: weights are unpacked"
    if memory.denoiser_weights in ("full", "int8", "fp8_e4m3", "fp8_e5m2", "uint8"):
        yield {"memory.denoiser_weights": "uint4"}, "more, and coarser weights"
    if memory.text_encoder_weights == "full" and not model.trained_text_encoders:
        yield {"memory.text_encoder_weights": "int8"}, "no time in steps"
    yield from (({"memory.blocks_to_swap": count}, "more, by the way to the card")
                for count in (blocks // 4, blocks // 2, blocks - 2) if count > memory.blocks_to_swap)  # fmt: skip
    if memory.gradient_checkpointing in ("off", "on"):
        yield {"memory.gradient_checkpointing": "offload"}, "much more: inputs of blocks wait elsewhere"


def _optimizer(config: TrainConfig) -> Changes:
    """The same AdamW with a memory of 8 bits."""
    shared = {name: getattr(config.optimizer, name) for name in AdamW8bitConfig.model_fields
              if name != "type" and hasattr(config.optimizer, name)}  # fmt: skip
    return {"optimizer": AdamW8bitConfig(**shared)}


def fit(model: Model, largest: Size, limit: int, factor: float) -> Fit:
    """Try what helps a job into `limit` bytes. `factor` is what runs on this machine say of estimates."""
    before = {str(problem) for problem in check(model.config, model.spec) if problem.level == "error"}

    def phases(options: Sequence[Option]) -> dict[str, int]:
        config = model.config
        for option in options:
            config = changed(config, option.changes)
        memory = memory_of(replace(model, config=config), largest)
        return {phase.name: phase.corrected(factor) for phase in memory.phases}

    def allowed(option: Option) -> bool:
        problems = check(changed(model.config, option.changes), model.spec)
        return all(problem.level != "error" or str(problem) in before for problem in problems)

    now = phases([])
    highest = max(now, key=now.__getitem__)
    options = []
    for changes, time in candidates(model):
        option = Option(dict(changes), 0, highest, time)
        after = phases([option])
        saved = {name: size - after.get(name, 0) for name, size in now.items() if name == highest or size > limit}
        phase = highest if saved[highest] > COUNTS_AS_NOTHING else max(saved, key=saved.__getitem__)
        if saved[phase] > COUNTS_AS_NOTHING and allowed(option):
            options.append(replace(option, saves_bytes=saved[phase], phase=phase))
    peak = now[highest]
    enough = _enough(options, limit, phases) if peak > limit else []
    return Fit(limit, peak, tuple(options), tuple(enough), max(phases(enough).values()) if enough else None)


def _enough(
    options: Sequence[Option], limit: int, phases: Callable[[Sequence[Option]], dict[str, int]]
) -> list[Option]:
    """Take one after the other as long as something does not fit, then leave out what is not needed, dearest first."""

    def excess(chosen: Sequence[Option]) -> int:
        return sum(max(0, size - limit) for size in phases(chosen).values())

    chosen: list[Option] = []
    for option in options:
        tried = [*(each for each in chosen if not each.changes.keys() & option.changes.keys()), option]
        if excess(tried) < excess(chosen):
            chosen = tried
    if excess(chosen):
        return []
    for option in reversed(chosen):
        rest = [each for each in chosen if each is not option]
        if not excess(rest):
            chosen = rest
    return chosen
