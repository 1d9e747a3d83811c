"""Sample pictures: made by the diffusers pipeline around the trained modules, and written as files."""

from __future__ import annotations

import io
from contextlib import ExitStack
from typing import Any

import torch
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from loratory.config.sampling import SamplingConfig
from loratory.data.prompts import Prompt
from loratory.models.base import Architecture
from loratory.models.common.samplers import scheduler_for
from loratory.networks.base import Network


def arguments_for(prompt: Prompt, architecture: Architecture) -> dict[str, Any]:
    """The pipeline call for a settled prompt."""
    names = architecture.spec.pipeline_arguments
    arguments: dict[str, Any] = {
        "prompt": prompt.text,
        "width": prompt.width,
        "height": prompt.height,
        "num_inference_steps": prompt.steps,
        "generator": torch.Generator("cpu").manual_seed(prompt.seed or 0),
    }
    for field in ("scale", "guidance", "negative", "rescale"):
        value = getattr(prompt, field)
        if value is not None and field in names:
            arguments[names[field]] = value
    if hasattr(architecture, "text_length"):
        arguments["max_sequence_length"] = architecture.text_length
    return arguments


@torch.no_grad()
def make_sample(
    pipeline: Any, prompt: Prompt, architecture: Architecture, network: Network | None = None
) -> Image.Image:
    """The picture of a settled prompt by a pipeline of the architecture; the prompt's strength belongs to `network`.

    A function of the prompt and the weights. The pipeline, the network and all global random generators are left as
    they were.
    """
    own, device = pipeline.scheduler, pipeline.device
    devices = [device] if device.type == "cuda" else []
    with ExitStack() as stack:
        # For schedulers that a pipeline gives no generator.
        stack.enter_context(torch.random.fork_rng(devices))
        torch.manual_seed(prompt.seed or 0)
        if network is not None:
            stack.enter_context(network.evaluating())
            stack.enter_context(network.scaled(1.0 if prompt.strength is None else prompt.strength))
        stack.callback(setattr, pipeline, "scheduler", own)
        pipeline.scheduler = scheduler_for(prompt.sampler, own, architecture.spec.objective, prompt.flow_shift)
        image: Image.Image = pipeline(**arguments_for(prompt, architecture)).images[0]
        return image


def described(prompt: Prompt, step: int) -> str:
    """What made a picture, in the layout that A1111's web UI has made usual, and the training step."""
    facts = {
        "Steps": prompt.steps,
        "Sampler": prompt.sampler or "the model's own",
        "CFG scale": prompt.scale,
        "Guidance": prompt.guidance,
        "Guidance rescale": prompt.rescale,
        "Flow shift": prompt.flow_shift,
        "Seed": prompt.seed,
        "Size": f"{prompt.width}x{prompt.height}",
        "LoRA strength": prompt.strength,
        "Training step": step,
    }
    lines = [prompt.text]
    if prompt.negative:
        lines.append(f"Negative prompt: {prompt.negative}")
    lines.append(", ".join(f"{name}: {value}" for name, value in facts.items() if value is not None))
    return "\n".join(lines)


def picture_file(image: Image.Image, prompt: Prompt, step: int, config: SamplingConfig) -> bytes:
    """The picture as a file of the job's kind. What made it is inside: text of a PNG, EXIF's comment of the others."""
    buffer, text = io.BytesIO(), described(prompt, step)
    if config.format == "png":
        inside = PngInfo()
        inside.add_text("prompt", prompt.text)
        inside.add_text("settings", f"{prompt!r}, step {step}")
        inside.add_itxt("parameters", text)
        image.save(buffer, "PNG", pnginfo=inside)
    else:
        exif = Image.Exif()
        comment = b"UNICODE\0" + text.encode("utf-16-be")
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
        kind = {"jpg": "JPEG", "webp": "WEBP"}[config.format]
        image.convert("RGB").save(buffer, kind, quality=config.quality, exif=exif)
    return buffer.getvalue()
