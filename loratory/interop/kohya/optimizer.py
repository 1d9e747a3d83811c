"""Optimizer, rates of the parts, and the schedule, with the defaults of sd-scripts and of its libraries."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from loratory.config.fields import section_types
from loratory.config.optimizer import OptimizerConfig
from loratory.config.optimizers.arguments import settled
from loratory.errors import UserError
from loratory.interop.kohya.names import number, pairs
from loratory.interop.kohya.network import text_rates
from loratory.interop.kohya.reading import Reading

_KINDS = {kind.model_fields["type"].default: kind for kind in section_types(OptimizerConfig)}

# What the libraries' classes do unless they are told otherwise, where ours do something else.
_THEIR_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "lion": {"weight_decay": 0.0},
    "lion8bit": {"weight_decay": 0.0},
    "paged_lion8bit": {"weight_decay": 0.0},
    "came": {"weight_decay": 0.0},
    "adan": {"weight_decay": 0.0},
    "dadaptation": {"decoupled_decay": False},
    "dadapt_adam": {"decoupled_decay": False},
    "adafactor": {"relative_step": True, "scale_parameter": True},
}
# Arguments that change how a step is computed and not where it goes, and those that ask for what is so anyway.
_MACHINERY = ("foreach", "fused", "capturable", "differentiable", "log_every", "fsdp_in_use", "is_paged", "args",
              "block_wise", "optim_bits")  # fmt: skip
_SO_ANYWAY: Mapping[str, tuple[Any, ...]] = {
    "amsgrad": (False,), "maximize": (False,), "percentile_clipping": (100,), "nesterov": (True,),
    "ams_bound": (False,),    "weight_decouple": (True,), "fixed_decay": (False,), "dampening": (0,), "beta1": (None,),
}  # fmt: skip

_REX = ("rex", "rexscheduler", "rexannealingwarmrestarts", "rexlr")


def read_optimizer(reading: Reading) -> None:
    name = _name(reading)
    given = _literals(reading, "optimizer_args")
    kind = settled({"type": name}, _KINDS)
    if kind["type"] not in _KINDS:
        # What sd-scripts does not know it looks for in torch.optim.
        kind = {"type": "custom", "implementation": f"torch.optim:{name}"}
    section: dict[str, Any] = dict(kind)
    section |= _arguments(reading, kind, given)
    for field, value in _THEIR_DEFAULTS.get(section["type"], {}).items():
        section.setdefault(field, value)
    section["max_grad_norm"] = reading.take("max_grad_norm", 1.0)
    warmup = section.pop("warmup_steps", None)
    reading.data.setdefault("optimizer", {}).update(section)
    _rates(reading, section)
    _lora_plus(reading)
    _schedule(reading, section, warmup)


def _name(reading: Reading) -> str:
    name = reading.take("optimizer_type") or ""
    for flag, meant in (("use_8bit_adam", "AdamW8bit"), ("use_lion_optimizer", "Lion")):
        if reading.take(flag, False):
            if name and name.lower() != meant.lower():
                raise UserError(f"{reading.where(flag)}: optimizer_type is {name!r}, too; keep one of them.")
            name = meant
    return str(name) or "AdamW"


def _literals(reading: Reading, name: str) -> dict[str, Any]:
    """name=value of a list; values are Python's literals, and texts where they are none. Raises UserError."""
    given = reading.take(name, [])
    items = given.items() if isinstance(given, Mapping) else [part.partition("=")[::2] for part in pairs(given)]
    found = {}
    for key, value in items:
        if not str(key).strip().isidentifier() or (isinstance(value, str) and not value.strip()):
            raise UserError(f"{reading.where(name)}: {key!r} must be written as name=value.")
        found[str(key).strip()] = _literal(value.strip()) if isinstance(value, str) else value
    return found


def _literal(text: str) -> Any:
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text.strip("\"'")


def _arguments(reading: Reading, kind: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Our fields for the arguments of a library's class; what has none is said."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        key = f"optimizer_args.{name}"
        if name in _MACHINERY:
            reading.note("ignored", key, "changes how a step is computed, not where it goes")
        elif name in _SO_ANYWAY and value in _SO_ANYWAY[name] and kind["type"] != "custom":
            reading.note("default", key)
        elif name == "warmup_steps" and "schedule_free" in kind["type"]:
            found[name] = value
            reading.note("mapped", key, "became the warm-up of the schedule")
        elif kind["type"] == "custom":
            found.setdefault("arguments", {})[name] = value
            reading.note("mapped", key)
        else:
            try:
                fields = settled({**kind, "arguments": {name: value}}, _KINDS)
            except ValueError as error:
                reading.note("unsupported", key, str(error))
                continue
            found |= {field: each for field, each in fields.items() if field != "type"}
            reading.note("mapped", key)
    return found


def _rates(reading: Reading, section: Mapping[str, Any]) -> None:
    """A part without a rate of its own has the general one, which is 2e-6 unless it is said."""
    general = reading.take("learning_rate", 2e-6)
    rate = reading.take("unet_lr", general)
    texts = text_rates(reading)
    reading.take("text_encoder_lr")
    network = reading.data["network"]
    trains_texts = network.get("train_text_encoders") or network.get("train_large_text_encoders")
    if not network["train_denoiser"]:
        rate = next((each for each in texts if each), general)
    if section["type"] == "adafactor" and section.get("relative_step") and not reading.has("learning_rate"):
        return
    reading.set("optimizer.learning_rate", rate)
    if not reading.has("learning_rate") and not reading.has("unet_lr"):
        reading.note(
            "mapped", "learning_rate", "is not given, which means 2e-6 in sd-scripts: almost nothing is learned"
        )
    if not trains_texts:
        return
    if "schedule_free" not in section["type"] and section["type"].startswith(("dadapt", "prodigy")):
        if set(texts) - {rate}:
            reading.note("dead", "text_encoder_lr", "this optimizer has one rate for all parts; the denoiser's counts")
        return
    _text_rates(reading, rate, texts)


_TEXT_ENCODERS: Mapping[str | None, tuple[str, ...]] = {
    "flux1": ("text_encoder", "text_encoder_2"),
    "sd3": ("text_encoder", "text_encoder_2", "text_encoder_3"),
}


def _text_rates(reading: Reading, rate: float, texts: list[float]) -> None:
    names = _TEXT_ENCODERS.get(reading.architecture)
    if names is None or len(texts) == 1:
        if len(texts) > 1 and len(set(texts)) > 1:
            reading.note("dead", "text_encoder_lr", f"{reading.trainer} takes only the first number in sd-scripts")
        if texts[0] != rate:
            reading.set("optimizer.text_encoder_learning_rate", texts[0])
        return
    trained = names[: 1 if reading.architecture == "flux1" else 2]
    if reading.data["network"].get("train_large_text_encoders"):
        trained = names
    by_name = dict(zip(names, texts, strict=False))
    for name in trained:
        if by_name.get(name) == 0:
            reading.note("unsupported", "text_encoder_lr", f"the rate 0 of {name} would leave it out; it is trained "
                         "here with the denoiser's")  # fmt: skip
    found = {name: by_name[name] for name in trained if by_name.get(name)}
    if set(found.values()) - {rate}:
        reading.set("optimizer.text_encoder_learning_rates", found)


def _lora_plus(reading: Reading) -> None:
    general = reading.take_network("loraplus_lr_ratio", float, 0.0)
    denoiser = reading.take_network("loraplus_unet_lr_ratio", float, 0.0) or general
    texts = reading.take_network("loraplus_text_encoder_lr_ratio", float, 0.0) or general
    if denoiser:
        reading.set("optimizer.lora_plus_ratio", denoiser)
    if (texts or 1.0) != (denoiser or 1.0):
        reading.set("optimizer.text_encoder_lora_plus_ratio", texts or 1.0)


# The schedule -------------------------------------------------------------------------------------------------------


def _schedule(reading: Reading, optimizer: Mapping[str, Any], warmup: int | None) -> None:
    name = str(reading.take("lr_scheduler", "constant")).lower()
    cycles, power = reading.take("lr_scheduler_num_cycles") or 1, reading.take("lr_scheduler_power", 1.0)
    timescale, least = reading.take("lr_scheduler_timescale"), reading.take("lr_scheduler_min_lr_ratio")
    section = {"type": _custom(reading) or name, **_length(reading, "lr_warmup_steps", "warmup")}
    decay = _length(reading, "lr_decay_steps", "decay")
    arguments = _literals(reading, "lr_scheduler_args")
    if warmup is not None and not section.keys() & {"warmup_steps", "warmup_ratio"}:
        section["warmup_steps"] = warmup
    if optimizer["type"] == "adafactor" and optimizer.get("relative_step"):
        if section["type"] not in ("constant", "adafactor"):
            reading.note("dead", "lr_scheduler", "Adafactor finds its own rate with relative_step, without a schedule")
        section = {"type": "constant"}
    kind = section["type"]
    if kind.partition(":")[0] == "adafactor":
        section["type"] = "constant"
    elif kind == "cosine_with_restarts":
        section["num_cycles"] = cycles
    elif kind == "polynomial":
        rate = reading.data["optimizer"].get("learning_rate", 1.0)
        end = number(arguments.pop("lr_end", 1e-7), reading.where("lr_scheduler_args") + " lr_end")
        section |= {"power": power, "min_rate_ratio": min(1.0, end / rate)}  # it ends at 1e-7 there, if not told
    elif kind == "inverse_sqrt" and timescale:
        section["timescale"] = timescale
    elif kind in ("cosine_with_min_lr", "warmup_stable_decay"):
        _with_floor(reading, section, least, cycles, decay)
    elif kind == "one_cycle":
        section = {"type": kind, **_one_cycle(reading, arguments)}
    elif kind == "ramp":
        section = {"type": kind, **_ramp(reading, arguments)}
    elif kind == "piecewise_constant":
        section = {"type": kind, **_steps(reading, arguments.pop("step_rules", None))}
    for argument in arguments:
        reading.note(
            "unsupported", f"lr_scheduler_args.{argument}", f"the schedule {section['type']} takes no such argument"
        )
    reading.data["schedule"] = section


def _with_floor(reading: Reading, section: dict[str, Any], least: Any, cycles: int, decay: dict[str, Any]) -> None:
    if section["type"] == "warmup_stable_decay":
        section |= decay or {"decay_steps": 0}
    if least is not None:
        section["min_rate_ratio"] = least
    if cycles != 1:
        reading.note("unsupported", "lr_scheduler_num_cycles", f"{section['type']} falls once here, not {cycles} times")


def _length(reading: Reading, name: str, what: str) -> dict[str, Any]:
    """A length as steps or as a share of all: `10%` and numbers below 1 are shares."""
    value = reading.take(name)
    ratio = reading.take("warmup_ratio") if what == "warmup" else None
    if ratio and not value:
        return {f"{what}_ratio": number(ratio, reading.where("warmup_ratio"))}
    if value in (None, 0, "", "0"):
        return {}
    where = reading.where(name)
    if isinstance(value, str) and value.strip().endswith("%"):
        return {f"{what}_ratio": number(value.strip()[:-1], where) / 100}
    found = number(value, where)
    if found < 1:
        return {f"{what}_ratio": found}
    if isinstance(value, float):
        reading.note("mapped", name, f"{value} would be a share above 1 in sd-scripts, for it is written with a point; "
                     f"it became {int(found)} steps")  # fmt: skip
    return {f"{what}_steps": int(found)} if found else {}


def _custom(reading: Reading) -> str | None:
    """A schedule by its class, as far as it is one of ours."""
    name = reading.take("lr_scheduler_type")
    if not name:
        return None
    if str(name).rpartition(".")[2].lower() in _REX:
        return "rex"
    if (known := _TORCH_CLASSES.get(str(name).rpartition(".")[2])) is not None:
        return known
    reading.note("unsupported", "lr_scheduler_type", f"the class {name} cannot be used; lr_scheduler counts")
    return None


def _ramp(reading: Reading, arguments: dict[str, Any]) -> dict[str, float]:
    """PyTorch's class, whose start is a third if it is not told; its length is the job's own here."""
    if "total_iters" not in arguments:
        reading.note("unsupported", "lr_scheduler_args.total_iters", "PyTorch's 5 steps became all of the run's")
    arguments.pop("total_iters", None)
    return {"start_ratio": arguments.pop("start_factor", 1 / 3), "end_ratio": arguments.pop("end_factor", 1.0)}


_TORCH_CLASSES = {"OneCycleLR": "one_cycle", "LinearLR": "ramp"}
_ONE_CYCLE = {"pct_start": "rise_ratio", "div_factor": "start_divisor", "final_div_factor": "end_divisor"}


def _one_cycle(reading: Reading, arguments: dict[str, Any]) -> dict[str, float]:
    """PyTorch's class; the length and the rate are the job's own here."""
    for name in ("total_steps", "cycle_momentum"):
        arguments.pop(name, None)
    rate = reading.data["optimizer"].get("learning_rate")
    if (highest := arguments.pop("max_lr", rate)) != rate:
        reading.set("optimizer.learning_rate", highest)
        reading.note("mapped", "lr_scheduler_args.max_lr", "became the learning rate")
    return {ours: arguments.pop(theirs) for theirs, ours in _ONE_CYCLE.items() if theirs in arguments}


def _steps(reading: Reading, rules: Any) -> dict[str, Any]:
    """`1:10,0.1:20,0.01`: a factor until a step, and the last factor."""
    where = reading.where("lr_scheduler_args") + " step_rules"
    if not isinstance(rules, str) or not re.fullmatch(r"([^:,]+:\d+,)*[^:,]+", rules.replace(" ", "")):
        raise UserError(f"{where} is {rules!r}; factors and steps such as 1:10,0.1:20,0.01 were expected.")
    *parts, last = rules.replace(" ", "").split(",")
    found = [part.split(":") for part in parts]
    return {
        "until_steps": [int(step) for _, step in found],
        "factors": [number(factor, where) for factor, _ in found] + [number(last, where)],
    }
