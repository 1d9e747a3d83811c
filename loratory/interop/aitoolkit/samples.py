"""Their `sample` section: pictures made while training."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from loratory.config.samplers import NAMES, why_not
from loratory.errors import UserError
from loratory.interop.aitoolkit.context import Making
from loratory.interop.aitoolkit.notes import Section

_FLAG = re.compile(r"\s*--([A-Za-z0-9_]+)(?=\s|$)")
_INLINE = {"n": "n", "w": "w", "h": "h", "d": "d", "seed": "d", "s": "s", "steps": "s", "m": "am",
           "network_multiplier": "am", "gr": "gr", "ctrl_img": "ci"}  # fmt: skip
_INLINE_NOT_HERE = ("p2", "n2", "a", "ref", "ev", "extra_values", "frames", "num_frames", "fps", "ctrl_idx")
_ITEM = {"width": "w", "height": "h", "seed": "d", "sample_steps": "s", "network_multiplier": "am"}
_PICTURES = ("ctrl_img_1", "ctrl_img_2", "ctrl_img_3")


def read_samples(job: Making) -> None:
    sample, train = job.process.section("sample"), job.process.section("train")
    field = job.arch.guidance_field
    job.put("sampling.before_first_step", not train.flag("skip_first_sample") or train.flag("force_first_sample"))
    job.put(f"sampling.{field}", float(sample.number("guidance_scale", 7)))
    job.put("sampling.negative_prompt", _negative(sample.get("neg", "")))
    multiplier = sample.get("network_multiplier", 1)
    job.put("sampling.strength", float(multiplier[0] if isinstance(multiplier, list) else multiplier))
    _sampler(job, sample)
    rescale = float(sample.number("guidance_rescale", 0.0))
    if rescale and "rescale" in job.arch.spec.pipeline_arguments:
        job.put("sampling.guidance_rescale", rescale)
    elif rescale:
        sample.say("unsupported", "guidance_rescale", f"{job.arch.spec.title} has no such setting")
    form = str(sample.get("format", "jpg")).removeprefix(".").replace("jpeg", "jpg")
    if form in ("jpg", "png", "webp"):
        job.put("sampling.format", form)
    else:
        sample.say("unsupported", "format", f"{form} is not written here; png takes its place")
    prompts = _prompts(job, sample)
    if train.flag("disable_sampling"):
        train.say("mapped", "disable_sampling", "there are no prompts in the job, so that no samples are made")
        prompts = []
    job.put("sampling.prompts", prompts)


def _negative(given: Any) -> str:
    return "" if given is False else str(given)


def _sampler(job: Making, sample: Section) -> None:
    """Left out, theirs is DDPM's; on a flow model that makes nothing, and all files for these name another."""
    given = sample.get("sampler", None if job.arch.is_flow else "ddpm")
    if given is None:
        return
    if given not in NAMES:
        sample.say("unsupported", "sampler", f"{given} is not here; the model's own takes its place")
    elif reason := why_not(given, job.arch.spec):
        sample.say("unsupported", "sampler", f"{reason}; the model's own takes its place")
    else:
        job.put("sampling.sampler", given)


def _prompts(job: Making, sample: Section) -> list[str]:
    """One line for each, with the options that are its own."""
    items = sample.sections("samples")
    if items:
        sample.say("dead", "prompts", "samples count where both are given")
        return [line for item in items if (line := _line(job, item))]
    given = sample.get("prompts", [])
    if not isinstance(given, list):
        raise UserError(f"{sample.notes.source}: {sample.path}.prompts must be a list; it is {given!r}.")
    return [line for number, text in enumerate(given)
            if (line := _text(job, _prompt(text), f"{sample.path}.prompts.{number}"))]  # fmt: skip


def _prompt(given: Any) -> str:
    """Also of a mapping that some write into `prompts`."""
    return str(given.get("prompt", "") if isinstance(given, Mapping) else given).strip()


def _line(job: Making, item: Section) -> str:
    options = {flag: item.get(key) for key, flag in _ITEM.items() if key in item}
    if "guidance_scale" in item:
        options[_scale_flag(job)] = item.get("guidance_scale")
    if "neg" in item and item.get("neg") is not False:
        options["n"] = item.get("neg")
    pictures = [item.get(key) for key in _PICTURES if item.get(key)]
    if "ctrl_img_1" not in item and item.get("ctrl_img"):
        pictures.insert(0, item.get("ctrl_img"))
    text = _text(job, str(item.get("prompt", "")).strip(), f"{item.path}.prompt")
    own, _, inline = text.partition(" --")
    flags = [f"--{flag} {value}" for flag, value in options.items()]
    flags += [f"--ci {job.place(str(path))}" for path in pictures]
    if inline:
        flags.append(f"--{inline}")
    if not own and not flags:
        flags.append("--am 1")  # an empty prompt is one, too
    return " ".join(part for part in (own, *flags) if part)


def _scale_flag(job: Making) -> str:
    return "g" if job.arch.guidance_field == "guidance" else "l"


def _text(job: Making, text: str, path: str) -> str:
    """A prompt with its options in our words. Those that mean nothing here are left out, and said."""
    flags = list(_FLAG.finditer(text))
    parts = [text[: flags[0].start()] if flags else text]
    for number, flag in enumerate(flags):
        end = flags[number + 1].start() if number + 1 < len(flags) else len(text)
        key, value = flag[1].lower(), text[flag.end() : end].strip()
        ours = _scale_flag(job) if key in ("l", "cfg") else _INLINE.get(key)
        if ours == "ci":
            value = job.place(value)
        if ours is not None:
            parts.append(f"--{ours} {value}".strip())
        elif key in _INLINE_NOT_HERE:
            job.notes.say("unsupported", path, f"--{key} means nothing here and is left out")
        else:
            job.notes.say("dead", path, f"--{key} is no option; their program leaves it out of the prompt, too")
    return " ".join(part for part in parts if part)
