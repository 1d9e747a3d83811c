"""The pictures of one round of samples, as far as a plan needs them."""

from __future__ import annotations

from dataclasses import dataclass

from loratory.config.sizes import sample_size_of
from loratory.data.buckets import Size
from loratory.data.prompts import Prompt, parse_prompt
from loratory.errors import UserError
from loratory.planner.model import Model


@dataclass(frozen=True)
class Picture:
    """size: (width, height) in pixels; at_once: how many the denoiser computes in a step, two where it is guided."""

    size: Size
    steps: int
    at_once: int


def pictures_of(model: Model) -> list[Picture]:
    """One for each prompt. A file of prompts counts as one prompt: it is read whenever samples are made."""
    sampling = model.config.sampling
    if sampling.prompts:
        return [_picture(model, _parsed(line)) for line in sampling.prompts]
    return [_picture(model, Prompt(""))] if sampling.prompts_file else []


def _parsed(line: str) -> Prompt:
    try:
        return parse_prompt(line)
    except UserError:
        return Prompt(line)  # the check of the job says what is wrong with it, and half-typed ones have a plan too


def _picture(model: Model, prompt: Prompt) -> Picture:
    sampling, spec = model.config.sampling, model.spec
    width, height = sample_size_of(model.config, spec)
    multiple = spec.size_multiple
    size = [max(multiple, each // multiple * multiple) for each in (prompt.width or width, prompt.height or height)]
    usual = spec.sample_scale if sampling.scale is None else sampling.scale
    scale = usual if prompt.scale is None else prompt.scale
    return Picture((size[0], size[1]), prompt.steps or sampling.steps or spec.sample_steps, 1 if scale == 1 else 2)
