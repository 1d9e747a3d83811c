"""What the text encoders make of the prompts of samples, kept so that samples need no text encoder.

A pipeline of diffusers asks its own `encode_prompt`. Its answers are written down by starting to make the sample and
leaving when the denoiser is called, so they are, bit for bit, what the sample would have been made from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor

from loratory.data.prompts import Prompt
from loratory.models.base import Architecture
from loratory.training.preview import make_sample


class _Encoded(Exception):
    """The denoiser was called: everything is encoded."""


class RememberedPrompts:
    """Answers of `encode_prompt`, in the computer's memory, by prompt; those of the current prompts and no others."""

    def __init__(
        self, architecture: Architecture, device: torch.device, encoders: Callable[[], AbstractContextManager[None]]
    ) -> None:
        """`encoders()`: within this block the text encoders are on `device`."""
        self._architecture, self._device, self._encoders = architecture, device, encoders
        self._answers: dict[Prompt, list[Any]] = {}

    def update(self, prompts: Sequence[Prompt]) -> None:
        """Encode the prompts that are new, and forget those that are gone."""
        self._answers = {prompt: answers for prompt, answers in self._answers.items() if prompt in prompts}
        wanted = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._answers]
        if not wanted:
            return
        with self._encoders():
            for prompt in wanted:
                self._answers[prompt] = self._encoded(prompt)

    def _encoded(self, prompt: Prompt) -> list[Any]:
        answers: list[Any] = []
        pipeline: Any = self._architecture.pipeline()
        inner = pipeline.encode_prompt

        def written_down(*args: Any, **kwargs: Any) -> Any:
            answer = inner(*args, **kwargs)
            answers.append(_moved(answer, torch.device("cpu")))
            return answer

        def leave(*_: Any) -> None:
            raise _Encoded

        handle = self._architecture.components.denoiser.register_forward_pre_hook(leave, prepend=True)
        try:
            make_sample(self._told(pipeline, written_down), prompt, self._architecture)
        except _Encoded:
            return answers
        finally:
            handle.remove()
        raise RuntimeError("the pipeline did not call its denoiser")

    @contextmanager
    def pipeline(self) -> Iterator[Callable[[Prompt], Any]]:
        """Within the block a function that gives a pipeline for a prompt that is known; it has no text encoders."""
        components = self._architecture.components
        encoders = components.text_encoders
        components.text_encoders = dict.fromkeys(encoders)  # type: ignore[assignment]
        try:
            made: Any = self._architecture.pipeline()
        finally:
            components.text_encoders = encoders

        def for_prompt(prompt: Prompt) -> Any:
            answers = iter(self._answers[prompt])
            return self._told(made, lambda *_, **__: _moved(next(answers), self._device))

        yield for_prompt

    def _told(self, pipeline: Any, encode: Callable[..., Any]) -> Any:
        """The pipeline with this `encode_prompt`, which works on our device wherever its parts may wait."""
        usual = type(pipeline)
        usual = usual.__dict__.get("_usual", usual)
        place = property(lambda _: self._device)
        changes = {"device": place, "_execution_device": place, "encode_prompt": staticmethod(encode), "_usual": usual}
        pipeline.__class__ = type(usual.__name__, (usual,), changes)
        return pipeline


def _moved(answer: Any, device: torch.device) -> Any:
    """The same with every tensor on `device`."""
    if isinstance(answer, Tensor):
        return answer.to(device)
    if isinstance(answer, dict):
        return {name: _moved(each, device) for name, each in answer.items()}
    if isinstance(answer, tuple | list):
        return type(answer)(_moved(each, device) for each in answer)
    return answer
