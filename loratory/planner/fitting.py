"""What would make a job fit on a card: options are really tried in the estimate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from loratory.config.rules import check
from loratory.config.train import TrainConfig
from loratory.data.buckets import Size
from loratory.planner.memory import Memory, memory_of
from loratory.planner.model import Model

Changes = Mapping[str, Any]
COUNTS_AS_NOTHING = 50 * 2**20
"""An option that saves less is not named."""


@dataclass(frozen=True)
class Option:
    """A change of the config, and what it saves of the highest point on its own."""

    changes: dict[str, Any]
    """Dotted paths of fields, and their values."""
    saves_bytes: int
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
            return [{"changes": each.changes, "saves_bytes": each.saves_bytes, "time": each.time} for each in options]

        return {
            "fits": self.fits, "limit_bytes": self.limit_bytes, "peak_bytes": self.peak_bytes,
            "options": plain(self.options), "enough": plain(self.enough),
            "peak_with_enough_bytes": self.peak_with_enough_bytes,
        }  # fmt: skip


def _shown(value: Any) -> str:
    return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def changed(config: TrainConfig, changes: Changes) -> TrainConfig:
    """A copy with other values, which are known to be valid ones."""
    for path, value in changes.items():
        section, _, name = path.rpartition(".")
        if not section:
            config = config.model_copy(update={name: value})
            continue
        inner = getattr(config, section).model_copy(update={name: value})
        config = config.model_copy(update={section: inner})
    return config


def candidates(model: Model) -> Iterator[tuple[Changes, str]]:
    """Changes that may help, those that cost least time first, and what they cost."""
    config, spec = model.config, model.spec
    memory, blocks = config.memory, len(model.table.blocks)
    yield {"memory.low_vram": True}, "no time in steps"
    yield {"memory.unload_text_encoders": True}, "no time in steps"
    yield {"memory.vae_slicing": True}, "next to no time"
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
    del spec


def _optimizer(config: TrainConfig) -> Changes:
    """The same AdamW with a memory of 8 bits."""
    from loratory.config.optimizer import AdamW8bitConfig

    shared = {name: getattr(config.optimizer, name) for name in AdamW8bitConfig.model_fields
              if name != "type" and hasattr(config.optimizer, name)}  # fmt: skip
    return {"optimizer": AdamW8bitConfig(**shared)}


def fit(model: Model, largest: Size, limit: int, factor: float) -> Fit:
    """Try what helps a job into `limit` bytes. `factor` is what runs on this machine say of estimates."""

    def peak(tried: Model) -> int:
        return round(memory_of(tried, largest).highest.bytes * factor)

    def with_changes(start: Model, changes: Changes) -> Model:
        return replace(start, config=changed(start.config, changes))

    before = {str(problem) for problem in check(model.config, model.spec) if problem.level == "error"}

    def allowed(tried: Model) -> bool:
        return all(problem.level != "error" or str(problem) in before for problem in check(tried.config, tried.spec))

    now = peak(model)
    options = []
    for changes, time in candidates(model):
        tried = with_changes(model, changes)
        saved = now - peak(tried) if allowed(tried) else 0
        if saved > COUNTS_AS_NOTHING or (allowed(tried) and _shrinks_a_phase(model, tried, largest)):
            options.append(Option(dict(changes), max(saved, 0), time))
    enough: list[Option] = []
    after: int | None = None
    if now > limit:
        enough = _enough(model, options, limit, peak)
        after = peak(_together(model, enough)) if enough else None
    named = tuple(each for each in options if each.saves_bytes > COUNTS_AS_NOTHING)
    return Fit(limit, now, named, tuple(enough), after)


def _shrinks_a_phase(model: Model, tried: Model, largest: Size) -> bool:
    """Does it help where another phase is the highest now?"""
    one, other = memory_of(model, largest), memory_of(tried, largest)
    return any(_size(one, phase.name) - phase.bytes > COUNTS_AS_NOTHING for phase in other.phases)


def _size(memory: Memory, name: Any) -> int:
    found = memory.phase(name)
    return 0 if found is None else found.bytes


def _together(model: Model, options: list[Option]) -> Model:
    for option in options:
        model = replace(model, config=changed(model.config, option.changes))
    return model


def _enough(model: Model, options: list[Option], limit: int, peak: Any) -> list[Option]:
    """Take one after the other until it fits, then leave out again what it fits without, dearest first."""
    chosen: list[Option] = []
    for option in options:
        if peak(_together(model, [*chosen, option])) < peak(_together(model, chosen)) or not chosen:
            chosen = [each for each in chosen if not each.changes.keys() & option.changes.keys()] + [option]
        if peak(_together(model, chosen)) <= limit:
            break
    else:
        return []
    for option in reversed(chosen[:-1]):
        rest = [each for each in chosen if each is not option]
        if peak(_together(model, rest)) <= limit:
            chosen = rest
    return chosen
