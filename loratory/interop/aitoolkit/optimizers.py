"""Their optimizers and schedules as ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from loratory.config.fields import section_types
from loratory.config.optimizer import OptimizerConfig
from loratory.config.optimizers.arguments import OTHER_ARGUMENTS, SEVERAL, argument_names
from loratory.errors import UserError
from loratory.interop.aitoolkit.notes import Section

KINDS: Mapping[str, type[BaseModel]] = {
    kind.model_fields["type"].default: kind for kind in section_types(OptimizerConfig)
}


@dataclass(frozen=True)
class Theirs:
    """One of their optimizers: ours, and what theirs sets where the file says nothing."""

    ours: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    is_adaptive: bool = False
    """It finds its rate itself: a rate below 0.1 becomes 1."""
    remark: str = ""
    differs: str = ""
    """Why the training differs."""


_EPS = {"eps": 1e-6}
_NO_8BIT = "its own 8-bit memory is bitsandbytes' here: the same steps but for rounding"
_FULL_MEMORY = "its memory has 32 bits here, which takes more room"
_NEAREST = "is not here; automagic, with a rate for every number, takes its place"
OPTIMIZERS: Mapping[str, Theirs] = {
    "adamw": Theirs("adamw", _EPS),
    "adamw8bit": Theirs("adamw8bit", _EPS),
    "adamw8": Theirs("adamw8bit", _EPS, remark=_NO_8BIT),
    "adam": Theirs("custom", {"implementation": "torch.optim:Adam", "arguments": dict(_EPS)}),
    "adam8bit": Theirs("custom", {"implementation": "bitsandbytes.optim:Adam8bit", "arguments": dict(_EPS)}),
    "adam8": Theirs(
        "custom", {"implementation": "bitsandbytes.optim:Adam8bit", "arguments": dict(_EPS)}, remark=_NO_8BIT
    ),
    "adagrad": Theirs("custom", {"implementation": "torch.optim:Adagrad"}),
    "lion": Theirs("lion", {"weight_decay": 0.0}),
    "lion8bit": Theirs("lion8bit", {"weight_decay": 0.0}),
    "ademamix8bit": Theirs("ademamix8bit", _EPS),
    "adafactor": Theirs("adafactor", {"max_grad_norm": 0.0}),
    "prodigy": Theirs("prodigy", _EPS, is_adaptive=True),
    "prodigy8bit": Theirs("prodigy", _EPS, is_adaptive=True, remark=_FULL_MEMORY),
    "dadaptation": Theirs("dadapt_adam", _EPS, is_adaptive=True),
    "dadaptationadam": Theirs("dadapt_lion", is_adaptive=True, remark="is D-Adaptation's Lion there, too"),
    "dadaptationlion": Theirs("dadapt_lion", is_adaptive=True),
    "automagic": Theirs("automagic"),
    **{
        name: Theirs("automagic", differs=f"{name} {_NEAREST}")
        for name in ("automagic2", "automagic3", "automagicexperiment")
    },
}  # fmt: skip
AUTOMAGIC_MOST = 1e-3
"""A rate above it is a mistake for automagic, and becomes 1e-6."""


def optimizer_of(train: Section) -> dict[str, Any]:
    """Our optimizer section. Raises UserError for an optimizer that neither program knows."""
    given = str(train.get("optimizer", "adamw")).lower()
    theirs = OPTIMIZERS.get(given) or OPTIMIZERS.get(_family(given))
    if theirs is None:
        raise UserError(
            f"{train.notes.source}: {train.path}.optimizer: ai-toolkit has no optimizer {given!r}; it has "
            f"{', '.join(OPTIMIZERS)}."
        )
    if theirs.differs:
        train.say("unsupported", "optimizer", theirs.differs)
    elif theirs.remark:
        train.say("mapped", "optimizer", theirs.remark)
    found: dict[str, Any] = {"type": theirs.ours, "learning_rate": _rate(train, theirs), **theirs.settings}
    # Theirs skips Adafactor, whose updates have a bound of their own.
    found.setdefault("max_grad_norm", train.number("max_grad_norm", 1.0))
    if theirs.ours == "adafactor":
        train.say("dead", "max_grad_norm", "their trainer does not clip for Adafactor")
    params = train.section("optimizer_params")
    for name, value in params.given.items():
        _take(found, name, value, params)
    return found


def _family(name: str) -> str:
    """Of names that only begin like one: `prodigyopt`."""
    return next((family for family in ("prodigy8bit", "prodigy", "dadaptation") if name.startswith(family)), "")


def _rate(train: Section, theirs: Theirs) -> float:
    rate = train.number("lr", 1e-6)
    if theirs.is_adaptive and rate < 0.1:
        train.say("mapped", "lr", "becomes 1 for an optimizer that finds its rate, as there")
        return 1.0
    if theirs.ours == "automagic" and rate > AUTOMAGIC_MOST:
        train.say("mapped", "lr", "is too much for automagic and becomes 1e-6, as there")
        return 1e-6
    return rate


def _take(found: dict[str, Any], name: str, value: Any, params: Section) -> None:
    """One argument of their optimizer, under our name."""
    path = f"{params.path}.{name}"
    kind = KINDS[found["type"]]
    own = argument_names(kind)
    if "high_noise_" in name or "low_noise_" in name:
        params.notes.say("ignored", path, "no model here has two experts")
    elif found["type"] == "custom" and name != "weight_decay":
        found["arguments"] = {**found.get("arguments", {}), name: value}
    elif parts := [field for field in SEVERAL.get(name, ()) if field in kind.model_fields]:
        values = list(value) if isinstance(value, list) else [value]
        found.update(zip(parts, values, strict=False))
    elif name in own or OTHER_ARGUMENTS.get(name) in kind.model_fields:
        found[own.get(name, OTHER_ARGUMENTS.get(name, name))] = value
    else:
        params.notes.say("unsupported", path, f"{found['type']} takes no such argument here")
        return
    params.notes.say("mapped", path)


def _constant(train: Section, params: Section) -> dict[str, Any]:
    return {"type": "constant"}


def _cosine(train: Section, params: Section) -> dict[str, Any]:
    """Down to `eta_min`; with restarts theirs takes all steps for the first round, so there is no second."""
    rate = train.number("lr", 1e-6)
    least = params.given.get("eta_min")
    if least is not None and float(least) > 0:
        params.notes.say("mapped", f"{params.path}.eta_min")
        return {"type": "cosine_with_min_lr", "min_rate_ratio": min(1.0, float(least) / rate)}
    return {"type": "cosine"}


def _linear(train: Section, params: Section) -> dict[str, Any]:
    """torch's LinearLR, which rises from a third."""
    for name in ("start_factor", "end_factor"):
        if name in params.given:
            params.notes.say("mapped", f"{params.path}.{name}")
    return {
        "type": "ramp",
        "start_ratio": float(params.given.get("start_factor", 1 / 3)),
        "end_ratio": float(params.given.get("end_factor", 1.0)),
    }


def _warmup(train: Section, params: Section) -> dict[str, Any]:
    steps = params.given.get("num_warmup_steps", 1000)
    if "num_warmup_steps" in params.given:
        params.notes.say("mapped", f"{params.path}.num_warmup_steps")
    return {"type": "constant_with_warmup", "warmup_steps": steps}


SCHEDULES: Mapping[str, Callable[[Section, Section], dict[str, Any]]] = {
    "constant": _constant, "cosine": _cosine, "cosine_with_restarts": _cosine, "linear": _linear,
    "constant_with_warmup": _warmup,
}  # fmt: skip
_STOPS_THERE = ("step", "polynomial", "piecewise_constant", "inverse_sqrt", "cosine_with_min_lr", "warmup_stable_decay")


def schedule_of(train: Section) -> dict[str, Any]:
    """Our schedule section. Raises UserError for a schedule that their program knows no more than we do."""
    name, params = str(train.get("lr_scheduler", "constant")), train.section("lr_scheduler_params")
    make = SCHEDULES.get(name)
    if make is None:
        what = "stops their program, too" if name in _STOPS_THERE else "is no schedule of ai-toolkit"
        raise UserError(
            f"{train.notes.source}: {train.path}.lr_scheduler: {name!r} {what}; it has {', '.join(SCHEDULES)}."
        )
    if name == "linear":
        train.say("mapped", "lr_scheduler", "rises from a third of the rate to all of it, as there; for one that falls "
                  "to zero, which the name suggests: --set schedule.type=linear")  # fmt: skip
    found = make(train, params)
    for key in params.given:
        params.notes.say("unsupported", f"{params.path}.{key}", f"{name} takes no such argument here")
    return found
