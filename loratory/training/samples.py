"""Samples of a run: when they are made, what becomes of one that fails, and how many are kept."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from loratory.config.train import TrainConfig
from loratory.console import Show
from loratory.data.prompts import Prompt
from loratory.errors import UserError
from loratory.files import DiskFull, delete_whole, write_atomic
from loratory.models.base import Architecture
from loratory.networks.base import Network
from loratory.networks.side import SideAdapters
from loratory.runs import RunFolder
from loratory.training.memory import at_work
from loratory.training.preview import make_sample, picture_file
from loratory.training.prompts import Prompts
from loratory.training.recorder import Recorder
from loratory.training.remembered import RememberedPrompts

log = logging.getLogger(__name__)


class Sampler:
    """Makes the samples of a run, one after the other. A failing one is reported and stops neither the others nor the
    training."""

    def __init__(
        self,
        run: RunFolder,
        architecture: Architecture,
        networks: tuple[Network, SideAdapters],
        config: TrainConfig,
        prompts: Prompts,
        show: Show,
        recorder: Recorder,
        places: tuple[torch.device, RememberedPrompts | None],
    ) -> None:
        """`places`: where samples are made, and what is known of prompts without the text encoders."""
        self._device, self._remembered = places
        self._run, self._architecture, self._config = run, architecture, config
        self._network, self._sides = networks
        self.prompts, self._show, self._recorder = prompts, show, recorder

    def __call__(self, step: int) -> None:
        """Make them after `step` steps, with the weights as they are. Raises DiskFull."""
        self._read_prompts_again(step)
        if not self.prompts.current:
            return
        made: list[str] = []
        self._attempt("all", step, partial(self._make_all, step, made))
        if made:
            self._recorder.samples(step, [self._run.samples_path / name for name in made])
            self._run.emit("samples", step=step, files=made)
            log.info("%d samples after step %d in %s", len(made), step, self._run.samples_path)
            self._delete_old()

    def _make_all(self, step: int, made: list[str]) -> None:
        prompts = self.prompts.current
        with self._pipelines(prompts) as pipeline_for, self._sides.sampling():
            for number, prompt in enumerate(prompts):
                which = f"sample {number + 1} of {len(prompts)}"
                self._run.write_status("sampling", step=step, message=which)
                self._show.say(which)
                self._attempt(prompt.text, step, partial(self._make, pipeline_for, number, prompt, step, made))

    @contextmanager
    def _pipelines(self, prompts: Sequence[Prompt]) -> Iterator[Callable[[Prompt], Any]]:
        """Within the block everything that samples need is on the device, and a function gives a prompt's pipeline."""
        components = self._architecture.components
        if self._remembered is None:
            with at_work([components.vae, *components.text_encoders.values()], self._device):
                pipeline = self._architecture.pipeline()
                yield lambda _: pipeline
            return
        self._remembered.update(prompts)
        with at_work([components.vae], self._device), self._remembered.pipeline() as pipeline_for:
            yield pipeline_for

    def _attempt(self, which: str, step: int, work: Callable[[], None]) -> None:
        """Do it, or report why it failed: a preview is worth less than the training, which goes on. Raises DiskFull."""
        out_of_memory = False
        try:
            work()
        except (DiskFull, KeyboardInterrupt):
            raise
        except Exception as error:
            out_of_memory = isinstance(error, torch.OutOfMemoryError)
            log.exception("The sample %r after step %d failed; training goes on.", which, step)
            self._run.emit("sample_failed", step=step, prompt=which, error=type(error).__name__, message=str(error))
        if out_of_memory:  # only here is the error gone, and with it the tensors of the pipeline that failed
            release_memory()

    def _make(
        self, pipeline_for: Callable[[Prompt], Any], number: int, prompt: Prompt, step: int, made: list[str]
    ) -> None:
        sampling = self._config.sampling
        path = self._run.sample_path(step, number, prompt.digest(), f".{sampling.format}")
        image = make_sample(pipeline_for(prompt), prompt, self._architecture, self._network)
        write_atomic(path, picture_file(image, prompt, step, sampling), point="sample")
        made.append(path.name)

    def _read_prompts_again(self, step: int) -> None:
        try:
            if self.prompts.read_again():
                log.info("The prompts were changed: %d now.", len(self.prompts.current))
                self._run.emit("prompts", step=step, count=len(self.prompts.current))
        except UserError as error:
            log.warning("%s The prompts of before stay in use.", error)
            self._run.emit("prompts_failed", step=step, message=str(error))

    def _delete_old(self) -> None:
        saving = self._config.saving
        if saving.keep_last_samples is None:
            return
        every = saving.keep_every_n_steps
        found = self._run.samples()
        steps = [step for step in found if step > 0 and not (every and step % every == 0)]
        for path in [path for step in steps[: -saving.keep_last_samples] for path in found[step]]:
            delete_whole(path)
            self._run.emit("deleted", file=f"{path.parent.name}/{path.name}")


def release_memory() -> None:
    """Give what nobody holds any more back to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
