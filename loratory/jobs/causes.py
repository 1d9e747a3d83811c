"""What a failed job can do next, as data: the browser makes buttons of it, and scripts can do the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from loratory.config.train import TrainConfig

Do = Literal["resume", "copy", "open_page", "set_token", "empty_trash", "edit"]
"""resume: go on with these changes, from this step. copy: a new run with these changes. edit: change these fields, then
resume. The others need no request to the job."""

_REPOSITORY = re.compile(r"'(?P<name>[A-Za-z0-9_][\w.-]*/[\w.-]+)'")
_TOKENS_PAGE = "https://huggingface.co/settings/tokens"


@dataclass(frozen=True)
class Action:
    """One way on."""

    do: Do
    title: str
    changes: dict[str, Any] = field(default_factory=dict)
    """Dotted paths and values."""
    from_step: int | None = None
    fields: tuple[str, ...] = ()
    url: str | None = None


@dataclass(frozen=True)
class Case:
    """What a suggestion may depend on."""

    message: str
    config: TrainConfig | None
    """None where it cannot be read."""
    steps: tuple[int, ...]
    """Of the run's checkpoints."""

    def go_on(self, before: str = "") -> Action:
        where = f"from step {self.steps[-1]}" if self.steps else "from the beginning"
        return Action("resume", f"{before}go on {where}" if before else f"Go on {where}")


def actions(code: str, case: Case) -> list[Action]:
    """The best one first. Every code that is not known leads to another try."""
    return _SUGGESTIONS.get(code, _again)(case)


def _again(case: Case) -> list[Action]:
    return [case.go_on()]


def _out_of_memory(case: Case) -> list[Action]:
    """First what costs time only and leaves what is learned as it is; then what a run that has begun cannot change."""
    if case.config is None:
        return _again(case)
    memory, batching = case.config.memory, case.config.batching
    found = []
    cheap: dict[str, Any] = {}
    if memory.gradient_checkpointing == "off":
        cheap["memory.gradient_checkpointing"] = "on"
    if not memory.low_vram:
        cheap["memory.low_vram"] = True
    if cheap:
        found.append(Action("resume", "Save memory, which takes more time", cheap))
    if memory.denoiser_weights == "full":
        packed = {**cheap, "memory.denoiser_weights": "int8"}
        found.append(Action("resume", "Save more: keep the frozen model in 8 bits", packed))
    if batching.size > 1:
        size = batching.size // 2
        smaller = {
            "batching.size": size,
            "batching.gradient_accumulation_steps": batching.gradient_accumulation_steps * batching.size // size,
        }
        do: Do = "copy" if case.steps else "resume"
        found.append(Action(do, f"Pictures in batches of {size}, as many per step", {**cheap, **smaller}))
    return [*found, case.go_on("Close other programs that use the memory, then ")]


def _out_of_ram(case: Case) -> list[Action]:
    changes: dict[str, Any] = {"runtime.prefetch": 0, "caching.latents": "disk", "caching.text_embeddings": "disk"}
    return [
        Action("resume", "Keep less in memory", changes),
        case.go_on("Close other programs that use the memory, then "),
    ]


def _not_a_number(case: Case) -> list[Action]:
    found = []
    earlier = case.steps[-2] if len(case.steps) > 1 else (case.steps[-1] if case.steps else 0)
    rate = getattr(case.config.optimizer, "learning_rate", None) if case.config is not None else None
    if case.config is not None and case.config.memory.precision == "fp16":
        found.append(Action("resume", "Compute in bf16", {"memory.precision": "bf16"}))
    if isinstance(rate, float):
        lower = {"optimizer.learning_rate": float(f"{rate / 3:.2g}")}
        found.append(Action("resume", f"A third of the learning rate, from step {earlier}", lower, earlier))
    return [*found, case.go_on()]


def _disk_full(case: Case) -> list[Action]:
    return [Action("empty_trash", "Empty the trash"), case.go_on("Free some space, then ")]


def _missing_model(case: Case) -> list[Action]:
    return [Action("edit", "Choose the model again", fields=("model.path",)), case.go_on("Bring it there, then ")]


def _gated_model(case: Case) -> list[Action]:
    found = _REPOSITORY.search(case.message)
    page = [Action("open_page", "Accept its licence", url=f"https://huggingface.co/{found['name']}")] if found else []
    token = Action("set_token", "Give a token that may read it", fields=("HF_TOKEN",), url=_TOKENS_PAGE)
    return [*page, token, case.go_on("Then ")]


def _broken_dataset(case: Case) -> list[Action]:
    return [Action("edit", "Choose the pictures again", fields=("datasets",)), case.go_on("Mend the dataset, then ")]


def _invalid(case: Case) -> list[Action]:
    return [Action("edit", "Change the job"), case.go_on()]


_SUGGESTIONS: Mapping[str, Callable[[Case], list[Action]]] = {
    "out_of_memory": _out_of_memory,
    "out_of_ram": _out_of_ram,
    "not_a_number": _not_a_number,
    "disk_full": _disk_full,
    "missing_model": _missing_model,
    "gated_model": _gated_model,
    "no_network": _again,
    "broken_dataset": _broken_dataset,
    "killed": _again,
    "restarted": _again,
    "crashed": _again,
    "missing_folder": lambda case: [],
    "invalid": _invalid,
    "unknown": _again,
}
CODES = tuple(_SUGGESTIONS)
