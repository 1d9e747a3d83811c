"""Samples: pictures made while training, by the diffusers pipeline around the trained modules."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.sampling import SamplingConfig
from loratory.config.train import TrainConfig
from loratory.data.captions import fill_in
from loratory.errors import UserError
from loratory.interop.prompts import Prompt, parse_prompts, read_prompts
from loratory.models.base import Architecture
from loratory.training.memory import all_on_device


def prompts_of(config: SamplingConfig) -> list[Prompt]:
    """The prompts of a job. Raises UserError for one that cannot be read."""
    if config.prompts_file is not None:
        return read_prompts(Path(config.prompts_file))
    return parse_prompts(config.prompts)


def trigger_word(config: TrainConfig) -> str:
    """What stands for [trigger] in prompts: the first dataset's that has one."""
    return next((dataset.trigger_word for dataset in config.datasets if dataset.trigger_word), "")


def settled(
    prompt: Prompt, spec: ArchitectureSpec, default_seed: int, default_size: tuple[int, int], trigger: str = ""
) -> Prompt:
    """The prompt with nothing left open; sizes are rounded down to what the model can make, as kohya does."""
    width, height = prompt.width or default_size[0], prompt.height or default_size[1]
    multiple = spec.size_multiple
    if min(width, height) < multiple:
        raise UserError(
            f"The prompt {prompt.text!r} asks for {width}x{height}; {spec.title} needs at least {multiple}."
        )
    return Prompt(
        text=fill_in(prompt.text, trigger),
        negative=fill_in(prompt.negative, trigger),
        width=width // multiple * multiple,
        height=height // multiple * multiple,
        seed=default_seed if prompt.seed is None else prompt.seed,
        scale=spec.sample_scale if prompt.scale is None else prompt.scale,
        steps=prompt.steps or spec.sample_steps,
        guidance=prompt.guidance,
    )


def arguments_for(prompt: Prompt, spec: ArchitectureSpec) -> dict[str, Any]:
    """The pipeline call for a settled prompt."""
    names = spec.pipeline_arguments
    arguments: dict[str, Any] = {
        "prompt": prompt.text,
        "width": prompt.width,
        "height": prompt.height,
        "num_inference_steps": prompt.steps,
        "generator": torch.Generator("cpu").manual_seed(prompt.seed or 0),
    }
    for field in ("scale", "guidance", "negative"):
        value = getattr(prompt, field)
        if value is not None and field in names:
            arguments[names[field]] = value
    return arguments


@torch.no_grad()
def make_samples(architecture: Architecture, prompts: Sequence[Prompt]) -> Iterator[tuple[Prompt, Image.Image]]:
    """One picture for each settled prompt. Draws nothing from any global generator."""
    pipeline: Any = architecture.pipeline()
    with all_on_device(architecture):
        for prompt in prompts:
            yield prompt, pipeline(**arguments_for(prompt, architecture.spec)).images[0]


def png(image: Image.Image, prompt: Prompt, step: int) -> bytes:
    """The picture as PNG, with what made it as text inside."""
    text = PngInfo()
    text.add_text("prompt", prompt.text)
    text.add_text("settings", f"{prompt!r}, step {step}")
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()
