"""Their `train`, `save` and `logging` sections, and what stands beside them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from loratory.config.memory import Attention
from loratory.errors import UserError
from loratory.interop.aitoolkit.context import Making, precision
from loratory.interop.aitoolkit.notes import Section
from loratory.interop.aitoolkit.optimizers import optimizer_of, schedule_of

SUM_SWITCH = "--set batching.accumulate=sum"
ATTENTION: dict[str, Attention] = {
    "native": "auto", "flash": "flash_attn", "flash_varlen": "flash_attn", "flash_hub": "flash_hub",
    "_flash_3": "flash_attn_3", "_flash_3_hub": "flash_3_hub", "xformers": "xformers",
    "_native_efficient": "efficient", "_native_flash": "flash", "_native_cudnn": "cudnn", "_native_math": "math",
}  # fmt: skip
LOSSES: dict[str, dict[str, Any]] = {
    "mse": {"loss_type": "mse"},
    "mae": {"loss_type": "mae"},
    "pseudo_huber": {"loss_type": "pseudo_huber", "huber_c": 0.01, "huber_schedule": "constant"},
    # All bands count alike there, which is the same number.
    "wavelet": {"loss_type": "mse"},
    "stepped": {"loss_type": "mse", "loss_weighting": "stepped"},
    "mean_flow": {"loss_type": "mse", "mean_flow_steps": 4},
}
_EVEN = ("linear", "weighted")
_SHIFTED = ("shift", "flux_shift", "lumina2_shift")
_ONLY_TIMES = {
    "lognorm_blend": "sigmoid", "one_step": "linear", "two_step": "linear", "four_step": "linear",
    "eight_step": "linear", "next_sample": "shift",
}  # fmt: skip
LAST_INDEX = 999


def read_training(job: Making) -> None:
    train = job.process.section("train")
    job.put("memory.precision", precision(train, "dtype", "fp32"))
    job.data["optimizer"] = optimizer_of(train)
    job.data["schedule"] = schedule_of(train)
    _steps(job, train)
    _times(job, train)
    _loss(job, train)
    _preservation(job, train)
    _guidance(job, train)
    _speed(job, train)
    ema = train.section("ema_config")
    if ema.flag("use_ema"):
        job.put("ema", {"decay": ema.number("ema_decay", 0.999), "warm_up": False})
    else:
        ema.say("dead", "ema_decay", "has no effect while use_ema is off")
    if train.flag("train_text_encoder"):
        if job.arch.spec.trainable_text_encoders:
            job.put("network.train_text_encoders", True)
        else:
            train.say("unsupported", "train_text_encoder", f"{job.arch.spec.title}'s text encoders are not trained")
    _noise_scheduler(job, train)


def _noise_scheduler(job: Making, train: Section) -> None:
    fitting = "flowmatch" if job.arch.is_flow else "ddpm"
    given = str(train.get("noise_scheduler", fitting))
    if given == "custom_lcm" or (given != fitting and (given == "flowmatch" or job.arch.is_flow)):
        train.say("unsupported", "noise_scheduler", f"{job.arch.spec.title} is trained with {fitting}")
    elif given != fitting:
        train.say("ignored", "noise_scheduler", "in training all of them mix noise in the same way")


def _steps(job: Making, train: Section) -> None:
    """Steps and accumulation. The older of two keys counts every batch as a step, and learns from the last only."""
    steps, inner, older = (
        int(train.number(key, usual))
        for key, usual in (("steps", 1000), ("gradient_accumulation", 1), ("gradient_accumulation_steps", 1))
    )
    if inner > 1 and older != 1:
        raise UserError(
            f"{job.notes.source}: {train.path} has gradient_accumulation and gradient_accumulation_steps; there they "
            "exclude each other, too. Keep gradient_accumulation."
        )
    if older == -1:
        train.say("unsupported", "gradient_accumulation_steps", "a whole epoch in a step: give their number, as "
                  "batching.gradient_accumulation_steps")  # fmt: skip
    elif older > 1:
        fewer = math.ceil(steps / older)
        train.say("mapped", "gradient_accumulation_steps", f"a step has {older} batches here, so {steps} of their "
                  f"steps are {fewer}. There, gradients are cleared before every batch, so that only the last one "
                  "counts; for that: leave it out, and lower steps")  # fmt: skip
        steps = fewer
    elif inner > 1:
        train.say("mapped", "gradient_accumulation", "gradients are averaged here. There they are summed, so that "
                  f"clipping bites sooner; for that: {SUM_SWITCH}")  # fmt: skip
    job.put("duration.steps", steps)
    job.put("batching.gradient_accumulation_steps", max(inner, older, 1))


def _times(job: Making, train: Section) -> None:
    """When in the way from noise to picture. Theirs counts places in a list of 1000 that begins with noise."""
    low, high = int(train.number("min_denoising_steps", 0)), int(train.number("max_denoising_steps", LAST_INDEX))
    if low > 0:
        job.put("objective.max_timestep", LAST_INDEX - low)
    # The upper bound is excluded there.
    if high < LAST_INDEX:
        job.put("objective.min_timestep", LAST_INDEX + 1 - high)
    if not job.arch.is_flow:
        for key in ("timestep_type", "linear_timesteps", "linear_timesteps2"):
            train.say("dead", key, f"is for flow models; {job.arch.spec.title} is none")
        return
    kind = str(train.get("timestep_type", "sigmoid"))
    if kind in _ONLY_TIMES:
        kind = _ONLY_TIMES[kind]
        train.say("unsupported", "timestep_type", f"such times are not drawn here; {kind} takes their place")
    times = _sampling(kind)
    if times is None:
        job.notes.refuse(f"{train.path}.timestep_type", f"{kind!r} is no timestep_type of ai-toolkit")
        return
    weighting = {"linear_timesteps": "bell", "linear_timesteps2": "half_bell"}
    for key, name in weighting.items():
        if train.flag(key):
            times["loss_weighting"] = name
    for name, value in times.items():
        job.put(f"objective.{name}", value)


def _sampling(kind: str) -> dict[str, Any] | None:
    """Our drawing of times. Theirs has a shift only where it is asked for."""
    if kind == "sigmoid":
        return {"timestep_sampling": "sigmoid", "flow_shift": 1.0}
    if kind in _SHIFTED:
        return {"timestep_sampling": "uniform", "flow_shift": "auto"}
    if kind in _EVEN:
        weighted = {"loss_weighting": "weighted"} if kind == "weighted" else {}
        return {"timestep_sampling": "uniform", "flow_shift": 1.0, **weighted}
    return None


def _loss(job: Making, train: Section) -> None:
    kind = str(train.get("loss_type", "mse"))
    if kind not in LOSSES:
        job.notes.refuse(f"{train.path}.loss_type", f"{kind!r} is no loss of ai-toolkit; it has {', '.join(LOSSES)}")
        return
    if not job.arch.is_flow and kind in ("stepped", "mean_flow"):
        train.say("unsupported", "loss_type", f"is for flow models; {job.arch.spec.title} is none, and takes mse")
        kind = "mse"
    if kind == "wavelet":
        train.say("mapped", "loss_type", "is mse: their wavelet counts all bands alike, which comes to the same; "
                  "objective.loss_type=wavelet with objective.wavelet_detail sharpens")  # fmt: skip
    job.data.setdefault("objective", {}).update(LOSSES[kind])
    if "min_snr_gamma" in train:
        if job.arch.is_flow:
            train.say("dead", "min_snr_gamma", "is for noise prediction; with flow models it stops their program")
        else:
            job.put("objective.min_snr_gamma", train.number("min_snr_gamma", 5))
    if any(dataset.given.get("is_reg") for dataset in job.process.sections("datasets")):
        job.put("objective.prior_loss_weight", float(train.number("reg_weight", 1.0)))
    else:
        train.say("ignored", "reg_weight", "there is no regularisation set")


def _preservation(job: Making, train: Section) -> None:
    for name in ("diff_output_preservation", "blank_prompt_preservation", "inverted_mask_prior"):
        multiplier = f"{name}_multiplier"
        if train.flag(name):
            usual = 0.5 if name == "inverted_mask_prior" else 1.0
            job.put(f"objective.{name}", float(train.number(multiplier, usual)))
        else:
            train.say("ignored", multiplier, f"has no effect while {name} is off")
    named = "diff_output_preservation_class"
    if train.flag("diff_output_preservation"):
        job.put(f"objective.{named}", str(train.get(named, "")))
    else:
        train.say("ignored", named, "has no effect while diff_output_preservation is off")


def _guidance(job: Making, train: Section) -> None:
    """The guidance that a model is told, and contrastive guidance."""
    is_told = job.arch.guidance_field == "guidance"
    if train.flag("bypass_guidance_embedding"):
        if is_told:
            job.put("objective.bypass_guidance_embedding", True)
        else:
            train.say("ignored", "bypass_guidance_embedding", f"{job.arch.spec.title} is told no guidance")
    scale = train.number("cfg_scale", 1.0)
    if is_told and scale != 1 and not job.data.get("objective", {}).get("bypass_guidance_embedding"):
        job.put("objective.guidance_scale", float(scale))
    elif scale != 1:
        train.say("ignored", "cfg_scale", "has no effect without do_cfg, and where no guidance is told")
    belonging = ("guidance_loss_target", "do_guidance_loss_cfg_zero", "guidance_loss_schedule", "unconditional_prompt")
    if not train.flag("do_guidance_loss"):
        for key in belonging:
            train.say("ignored", key, "has no effect while do_guidance_loss is off")
        return
    target = train.get("guidance_loss_target", 3.0)
    job.put("objective.guidance_loss_target", target if isinstance(target, list) else float(target))
    job.put("objective.guidance_loss_cfg_zero", train.flag("do_guidance_loss_cfg_zero"))
    job.put("objective.guidance_loss_schedule", str(train.get("guidance_loss_schedule", "constant")))
    job.put("objective.unconditional_prompt", str(train.get("unconditional_prompt", "")))


def _speed(job: Making, train: Section) -> None:
    job.put("memory.gradient_checkpointing", "on" if train.flag("gradient_checkpointing", True) else "off")
    backend = str(train.get("attention_backend", "native"))
    attention: Attention | None = ATTENTION.get(backend)
    if attention is None:
        train.say("unsupported", "attention_backend", f"{backend} is not here, or cannot be trained through")
    if attention in (None, "auto"):
        attention = "xformers" if train.flag("xformers") else "sdpa" if train.flag("sdp") else "auto"
    job.put("memory.attention", attention)


def read_saving(job: Making) -> None:
    save = job.process.section("save")
    job.put("saving.precision", precision(save, "dtype", "float16"))
    job.put("saving.format", "aitoolkit")
    folder = job.process.get("training_folder")
    if folder is not None:
        job.put("saving.output_dir", job.place(str(folder)))


def read_logging(job: Making) -> None:
    logging = job.process.section("logging")
    if "log_dir" in job.process:
        job.put("logging.tensorboard", True)
        job.process.say("mapped", "log_dir", "TensorBoard's files are in the run's folder here")
    if logging.flag("verbose"):
        job.put("logging.level", "debug")
    wanted = logging.flag("use_wandb")
    if wanted:
        job.put("logging.wandb.mode", "online")
        job.put("logging.wandb.project", str(logging.get("project_name", "ai-toolkit")))
        if "run_name" in logging:
            job.put("logging.wandb.run_name", str(logging.get("run_name")))
        return
    for key in ("project_name", "run_name"):
        logging.say("ignored", key, "has no effect while use_wandb is off")


def read_meta(job: Making, meta: Section) -> None:
    """What their files carry in the header: title, author and description, and all else as a remark."""
    left: dict[str, Any] = {}
    for key, value in meta.given.items():
        creator = value.get("name") if key == "creator" and isinstance(value, Mapping) else None
        if key in ("name", "description") and isinstance(value, str):
            job.put(f"saving.{'title' if key == 'name' else key}", value)
        elif isinstance(creator, str):
            job.put("saving.author", creator)
            rest = {name: each for name, each in value.items() if name != "name"}
            left |= {"creator": rest} if rest else {}
        elif value is not None:
            left[key] = value
        job.notes.say("mapped", f"meta.{key}")
    if left.keys() == {"comment"} and isinstance(left["comment"], str):
        job.put("saving.comment", left["comment"])
    elif left:
        job.put("saving.comment", json.dumps(left, ensure_ascii=False, default=str))
