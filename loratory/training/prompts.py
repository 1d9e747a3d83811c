"""The prompts of a run's samples: read, completed with the job's usual values, and read again when they were edited.

Without torch, so that a job can be checked without it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.samplers import why_not
from loratory.config.sampling import SamplingConfig
from loratory.config.train import TrainConfig
from loratory.data.captions import fill_in
from loratory.data.images import BrokenImage, probe
from loratory.errors import UserError
from loratory.interop.prompt_files import content_of, parse_file
from loratory.interop.prompts import Prompt, parse_prompts
from loratory.planner import resolution_of

log = logging.getLogger(__name__)


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


class Prompts:
    """The settled prompts of a run, `current`. Made before anything is loaded, so that mistakes are told at once."""

    def __init__(self, config: TrainConfig, spec: ArchitectureSpec) -> None:
        """Raises UserError for prompts that cannot be read or made."""
        self._config, self._spec = config, spec
        file = config.sampling.prompts_file
        self._file = None if file is None else Path(file)
        self._content: bytes | None = None
        self.current: list[Prompt]
        if self._file is None:
            self.use(config.sampling.prompts)
        else:
            self._content = content_of(self._file)
            self._take(self._read(self._file, self._content))

    def use(self, lines: Sequence[str]) -> None:
        """Take these lines from now on. Raises UserError for one that cannot be used; the old prompts then stay."""
        self._take(parse_prompts(lines))

    def read_again(self) -> bool:
        """Take what is in the file, if it was changed since it was last looked at; True when the prompts are new.

        Raises UserError, once for each content, for a file that cannot be used (any more); the old prompts then stay.
        """
        if self._file is None:
            return False
        try:
            content = content_of(self._file)
        except UserError:
            if self._content is None:
                return False
            self._content = None
            raise
        if content == self._content:
            return False
        self._content = content
        self._take(self._read(self._file, content))
        return True

    def _read(self, path: Path, content: bytes) -> list[Prompt]:
        return parse_file(path, content, guided="guidance" in self._spec.pipeline_arguments)

    def _take(self, prompts: Sequence[Prompt]) -> None:
        config, spec = self._config, self._spec
        size, word = resolution_of(config.batching.buckets, spec), trigger_word(config)
        taken = [settled(each, number, spec, config.sampling, size, word) for number, each in enumerate(prompts)]
        for note in dict.fromkeys(note for each in prompts for note in without_effect(each, spec)):
            log.warning("%s", note)
        self.current = taken
