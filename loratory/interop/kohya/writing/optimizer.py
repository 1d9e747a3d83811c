"""The optimizer and its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from loratory.config.optimizer import CustomConfig
from loratory.config.optimizers.arguments import SEVERAL
from loratory.config.optimizers.base import RatesConfig
from loratory.config.targets import trained_text_encoders
from loratory.interop.kohya.writing.sheet import Sheet


@dataclass(frozen=True)
class Theirs:
    """An optimizer's name there, and what its library calls arguments that have another name here."""

    name: str
    renamed: Mapping[str, str] = field(default_factory=dict)


_DECOUPLE = {"decoupled_decay": "decouple"}
_FREE = {"averaging_power": "r", "rate_power": "weight_lr_power"}
OPTIMIZERS = {
    "adamw": Theirs("AdamW"),
    "adamw8bit": Theirs("AdamW8bit"),
    "paged_adamw8bit": Theirs("PagedAdamW8bit"),
    "paged_adamw32bit": Theirs("PagedAdamW32bit"),
    "lion": Theirs("Lion"),
    "lion8bit": Theirs("Lion8bit"),
    "paged_lion8bit": Theirs("PagedLion8bit"),
    "sgd": Theirs("SGDNesterov"),
    "sgd8bit": Theirs("SGDNesterov8bit"),
    "adafactor": Theirs("Adafactor"),
    "came": Theirs("pytorch_optimizer.CAME"),
    "adan": Theirs("pytorch_optimizer.Adan"),
    "ademamix": Theirs("pytorch_optimizer.AdEMAMix", {"alpha_warmup_steps": "t_alpha_beta3"}),
    "ademamix8bit": Theirs("bitsandbytes.optim.AdEMAMix8bit"),
    "prodigy": Theirs("Prodigy", _DECOUPLE),
    "prodigy_plus_schedule_free": Theirs("prodigyplus.ProdigyPlusScheduleFree"),
    "adamw_schedule_free": Theirs("AdamWScheduleFree", _FREE),
    "radam_schedule_free": Theirs("RAdamScheduleFree", _FREE),
    "dadaptation": Theirs("DAdaptAdamPreprint", _DECOUPLE),
    "dadapt_adam": Theirs("DAdaptAdam", _DECOUPLE),
    "dadapt_adagrad": Theirs("DAdaptAdaGrad"),
    "dadapt_adan": Theirs("DAdaptAdan"),
    "dadapt_adan_ip": Theirs("DAdaptAdanIP"),
    "dadapt_sgd": Theirs("DAdaptSGD"),
    "dadapt_lion": Theirs("DAdaptLion"),
}
_TOGETHER = {"came": ("betas",), "adafactor": ("eps",)}
"""Where several of our numbers are one argument; elsewhere it is betas alone. CAME has eps1 and eps2 of their own."""


def write_optimizer(sheet: Sheet) -> None:
    optimizer = sheet.config.optimizer
    known = OPTIMIZERS.get(optimizer.type)
    sheet.done("optimizer.type")
    if isinstance(optimizer, CustomConfig):
        _write_custom(sheet, optimizer)
    elif known is None:
        sheet.cannot("optimizer.type", f"sd-scripts cannot set up {optimizer.type}; without it it takes AdamW.")
    else:
        sheet.say("optimizer.type", optimizer_type=known.name)
        arguments = _arguments(optimizer, known)
        sheet.done([f"optimizer.{name}" for name in _own_fields(optimizer)])
        sheet.say("optimizer.weight_decay", optimizer_args=[f"{name}={value}" for name, value in arguments.items()])
    if optimizer.type == "sgd" and getattr(optimizer, "momentum", 1) == 0:
        sheet.cannot("optimizer.momentum", "SGDNesterov of sd-scripts needs some; it stops with 0.")
    sheet.say("optimizer.max_grad_norm", max_grad_norm=optimizer.max_grad_norm)
    if optimizer.clip_by == "norm" or not optimizer.max_grad_norm:
        sheet.done("optimizer.clip_by")
    _write_rates(sheet)
    _write_lora_plus(sheet)
    if optimizer.stochastic_rounding and sheet.config.memory.adapter_precision == "bf16":
        sheet.cannot("optimizer.stochastic_rounding", "sd-scripts rounds a bf16 adapter to the nearest number.")
    sheet.done("optimizer.stochastic_rounding")
    for name in ("fused_backward_pass", "fused_optimizer_groups"):
        if getattr(optimizer, name):
            sheet.remark(f"optimizer.{name}", "sd-scripts has it for no adapter; it saves memory only.")


def _own_fields(optimizer: RatesConfig) -> list[str]:
    shared = {*RatesConfig.model_fields, "type", "learning_rate"} - {"weight_decay"}
    return [name for name in type(optimizer).model_fields if name not in shared]


def _arguments(optimizer: RatesConfig, known: Theirs) -> dict[str, str]:
    """Everything, since the library's defaults may be others. Left out is what is None: there it is the library's."""
    type_name = str(getattr(optimizer, "type", ""))
    given = {name: getattr(optimizer, name) for name in _own_fields(optimizer)}
    arguments: dict[str, str] = {}
    for theirs in _TOGETHER.get(type_name, ("betas",)):
        parts = [given.pop(name) for name in SEVERAL[theirs] if name in given and _is_part(type_name, name)]
        if parts:
            arguments[theirs] = repr(tuple(parts)) if len(parts) > 1 else repr(parts[0])
    for name, value in given.items():
        if value is not None or (name == "eps" and type_name == "prodigy_plus_schedule_free"):
            arguments[known.renamed.get(name, name)] = repr(value)
    if type_name == "ademamix8bit" and "alpha_warmup_steps" in arguments:
        arguments["t_alpha"] = arguments["t_beta3"] = arguments.pop("alpha_warmup_steps")
    return arguments


def _is_part(type_name: str, name: str) -> bool:
    """Prodigy's beta3 is an argument of its own."""
    return not (name == "beta3" and type_name.startswith("prodigy"))


def _write_custom(sheet: Sheet, optimizer: CustomConfig) -> None:
    arguments: dict[str, Any] = dict(optimizer.arguments)
    if optimizer.weight_decay:
        arguments["weight_decay"] = optimizer.weight_decay
    sheet.say(
        ("optimizer.implementation", "optimizer.arguments", "optimizer.weight_decay"),
        optimizer_type=optimizer.implementation.replace(":", "."),
        optimizer_args=[f"{name}={value!r}" for name, value in arguments.items()] or None,
    )
    if any("=" in repr(value) for value in arguments.values()):
        sheet.cannot("optimizer.arguments", "sd-scripts cannot read an argument that holds an equals sign.")


def _write_rates(sheet: Sheet) -> None:
    """One rate for all text encoders of SD and SDXL; one for each where there are several kinds."""
    optimizer, spec = sheet.config.optimizer, sheet.spec
    sheet.say("optimizer.learning_rate", learning_rate=optimizer.learning_rate)
    sheet.done(("optimizer.text_encoder_learning_rate", "optimizer.text_encoder_learning_rates"))
    if optimizer.text_encoder_learning_rate is None and not optimizer.text_encoder_learning_rates:
        return
    usual = optimizer.text_encoder_learning_rate or optimizer.learning_rate
    rates = [optimizer.text_encoder_learning_rates.get(name, usual) for name in spec.text_encoders]
    if spec.objective == "flow" and len(spec.text_encoders) > 1:
        sheet.arguments["text_encoder_lr"] = rates
        return
    sheet.arguments["text_encoder_lr"] = rates[:1]
    trained = trained_text_encoders(spec, sheet.config.network)
    if len({optimizer.text_encoder_learning_rates.get(name, usual) for name in trained}) > 1:
        sheet.cannot("optimizer.text_encoder_learning_rates", "sd-scripts gives both text encoders the first rate.")


def _write_lora_plus(sheet: Sheet) -> None:
    optimizer, given = sheet.config.optimizer, sheet.network_arguments
    ratio, texts = optimizer.lora_plus_ratio, optimizer.text_encoder_lora_plus_ratio
    sheet.done(("optimizer.lora_plus_ratio", "optimizer.text_encoder_lora_plus_ratio"))
    if ratio == 1 and texts in (None, 1):
        return
    if given.get("algo"):
        sheet.cannot("optimizer.lora_plus_ratio", "LyCORIS has no LoRA+.")
    elif texts is None or texts == ratio:
        given["loraplus_lr_ratio"] = ratio
    else:
        given["loraplus_unet_lr_ratio"], given["loraplus_text_encoder_lr_ratio"] = ratio, texts
