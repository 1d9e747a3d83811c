"""The prompts of a run's samples, completed with the job's usual values. Without torch: a job is checked by them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.samplers import why_not
from loratory.config.sampling import SamplingConfig
from loratory.config.sizes import resolution_of
from loratory.config.train import TrainConfig
from loratory.data.captions import fill_in
from loratory.data.images import BrokenImage, probe
from loratory.data.prompts import Prompt, parse_prompts
from loratory.errors import UserError
from loratory.interop.prompt_files import content_of, parse_file


def trigger_word(config: TrainConfig) -> str:
    """What stands for [trigger] in prompts: the first dataset's that has one."""
    return next((dataset.trigger_word for dataset in config.datasets if dataset.trigger_word), "")


def settled(
    prompt: Prompt, number: int, spec: ArchitectureSpec, usual: SamplingConfig, size: tuple[int, int], trigger: str = ""
) -> Prompt:
    """The prompt, `number` in its list from 0, with nothing left open. `size` is that of the training.

    Sizes are rounded down to what the model can make, as kohya does. Raises UserError for what the model cannot do.
    """
    width, height = prompt.width or usual.width or size[0], prompt.height or usual.height or size[1]
    multiple = spec.size_multiple
    if min(width, height) < multiple:
        raise UserError(
            f"The prompt {prompt.text!r} asks for {width}x{height}; {spec.title} needs at least {multiple}."
        )
    sampler = prompt.sampler or usual.sampler
    if sampler is not None and (reason := why_not(sampler, spec)):
        raise UserError(f"The prompt {prompt.text!r} asks for a sampler that cannot be: {reason}.")
    check_control_images(prompt, spec)
    scale = usual.scale if prompt.scale is None else prompt.scale
    seed = (usual.seed + number) % 2**63 if usual.walk_seed else usual.seed
    return Prompt(
        text=fill_in(prompt.text, trigger),
        negative=fill_in(usual.negative_prompt if prompt.negative is None else prompt.negative, trigger),
        width=width // multiple * multiple,
        height=height // multiple * multiple,
        seed=seed if prompt.seed is None else prompt.seed,
        scale=spec.sample_scale if scale is None else scale,
        steps=prompt.steps or usual.steps or spec.sample_steps,
        guidance=usual.guidance if prompt.guidance is None else prompt.guidance,
        rescale=usual.guidance_rescale if prompt.rescale is None else prompt.rescale,
        strength=usual.strength if prompt.strength is None else prompt.strength,
        sampler=sampler,
        flow_shift=prompt.flow_shift,
        control_images=prompt.control_images,
    )


def check_control_images(prompt: Prompt, spec: ArchitectureSpec) -> None:
    """Raise UserError for control pictures that cannot be used: broken, or too many for the model."""
    for path in prompt.control_images:
        try:
            probe(Path(path))
        except BrokenImage as error:
            raise UserError(
                f"The prompt {prompt.text!r} names a control picture that cannot be used: {error}"
            ) from None
    count, most = len(prompt.control_images), spec.control_images
    if count > most:
        takes = f"{spec.title} takes {most}" if most else f"{spec.title} has no control input"
        raise UserError(f"The prompt {prompt.text!r} has {count} control pictures (--ci); {takes}.")


def without_effect(prompt: Prompt, spec: ArchitectureSpec) -> list[str]:
    """Sentences about a prompt's options that do nothing on this architecture."""
    flags = {"guidance": "--g", "rescale": "--gr"}
    found = [flag for name, flag in flags.items() if getattr(prompt, name) is not None
             and name not in spec.pipeline_arguments]  # fmt: skip
    if prompt.flow_shift is not None and spec.objective != "flow":
        found.append("--fs")
    return [f"The prompt {prompt.text!r} has {flag}, which has no effect on {spec.title}." for flag in found]


def settled_all(
    prompts: Sequence[Prompt], config: TrainConfig, spec: ArchitectureSpec
) -> tuple[list[Prompt], list[str]]:
    """The prompts with nothing left open, and sentences about options that do nothing. Raises UserError."""
    size, word = resolution_of(config.batching.buckets, spec), trigger_word(config)
    taken = [settled(each, number, spec, config.sampling, size, word) for number, each in enumerate(prompts)]
    return taken, list(dict.fromkeys(note for each in prompts for note in without_effect(each, spec)))


def prompts_of(config: TrainConfig, spec: ArchitectureSpec) -> tuple[list[Prompt], list[str]]:
    """`settled_all` of what the job says or its prompt file holds. Raises UserError for what cannot be read or made."""
    file = config.sampling.prompts_file
    if file is None:
        return settled_all(parse_prompts(config.sampling.prompts), config, spec)
    return settled_all(parsed_file(Path(file), content_of(Path(file)), spec), config, spec)


def parsed_file(path: Path, content: bytes, spec: ArchitectureSpec) -> list[Prompt]:
    """The prompts of a file for a model. Raises UserError."""
    return parse_file(path, content, guided="guidance" in spec.pipeline_arguments)
