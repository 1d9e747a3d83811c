"""Changes of pictures by the library albumentations (Buslaev et al. 2020), as the job lists them."""

from __future__ import annotations

import inspect
import os
import random
import threading
import warnings
from collections.abc import Iterator
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from loratory.config.dataset import AugmentationConfig
from loratory.config.train import TrainConfig
from loratory.data.buckets import Size
from loratory.errors import UserError
from loratory.planner import Plan
from loratory.training.randomness import stream
from loratory.training.tensor_cache import key_of

SEEDS_TRIED = 16
"""So often a step is tried before training: some change the size only now and then, by turning a picture."""


class Pipeline:
    """The steps of one dataset. What is random in them is a function of a seed; global generators are left alone."""

    def __init__(self, config: AugmentationConfig, where: str) -> None:
        """`where` is the field to blame. Raises UserError for a missing library, an unknown step or wrong arguments."""
        self._where = where
        self._library = _library(where)
        self._steps = [
            _step(self._library, step.name, dict(step.arguments), f"{where}.{number}")
            for number, step in enumerate(config.pipeline)
        ]
        # Masks are smooth on the grid of latents: their levels are mixed, not picked, where a picture is warped.
        linear = import_module("cv2").INTER_LINEAR
        self._all = self._library.Compose(self._steps, mask_interpolation=linear)
        self._busy = threading.Lock()  # a step keeps its generator in itself
        steps = [(step.name, sorted(step.arguments.items())) for step in config.pipeline]
        self.signature = key_of("pipeline", steps, self._library.__version__, import_module("cv2").__version__)
        """Stands for everything that the result depends on, besides the picture and the seed."""

    def __call__(self, pixels: Tensor, mask: Tensor | None, seed: int) -> tuple[Tensor, Tensor | None]:
        """uint8 (3, H, W), and its mask (1, H, W) if it has one, changed. Raises UserError where a step fails."""
        return self._run(self._all, self._where, pixels, mask, seed)

    def check(self, size: Size) -> None:
        """Try every step alone on a picture of this (width, height), whatever its probability. Raises UserError."""
        width, height = size
        pixels = torch.from_numpy(stream(0, "pipeline-check").integers(0, 256, (3, height, width), dtype=np.uint8))
        for number, step in enumerate(self._steps):
            where, usual, step.p = f"{self._where}.{number}", step.p, 1.0
            plain = [self._run(step, where, pixels, None, seed)[0] for seed in range(SEEDS_TRIED)]
            masked, _ = self._run(step, where, pixels, pixels[:1], 0)
            if not torch.equal(masked, plain[0]):
                raise UserError(f"{where}: what it does to a picture depends on a mask, or on more than its seed.")
            step.p = usual

    def _run(
        self, transform: Any, where: str, pixels: Tensor, mask: Tensor | None, seed: int
    ) -> tuple[Tensor, Tensor | None]:
        given = {"image": np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())}
        if mask is not None:
            given["mask"] = mask[0].contiguous().numpy()
        with self._busy:
            for number, step in enumerate(self._steps):
                numbers = stream(seed, "pipeline", number)
                # Each step has generators of its own, or all would draw alike.
                step.set_random_state(numbers, random.Random(int(numbers.integers(2**63))))
            try:
                made = transform(**given)
            except Exception as error:  # the library's steps raise all kinds
                raise UserError(f"{where}: {_sentence(error)}") from error
        for name, before in given.items():
            if made[name].shape != before.shape or made[name].dtype != np.uint8:
                raise UserError(
                    f"{where}: a picture of {_shape(before)} became {_shape(made[name])}; use only steps that keep the "
                    "size and the kind of levels."
                )
        changed = torch.from_numpy(np.ascontiguousarray(made["image"])).permute(2, 0, 1).contiguous()
        return changed, None if mask is None else torch.from_numpy(np.ascontiguousarray(made["mask"]))[None]


def make_pipelines(config: TrainConfig, plan: Plan) -> dict[int, Pipeline]:
    """The pipeline of each dataset that has one, tried on the sizes that it will meet. Raises UserError."""
    made = {}
    for number, dataset in enumerate(config.datasets):
        if dataset.augmentation.pipeline:
            made[number] = Pipeline(dataset.augmentation, f"datasets.{number}.augmentation.pipeline")
            for size in _unlike({sample.fit.bucket for sample in plan.samples if sample.dataset == number}):
                made[number].check(size)
    return made


def _unlike(sizes: set[Size]) -> Iterator[Size]:
    """The widest, the tallest and the smallest, each once."""
    if sizes:
        widest = max(sizes, key=lambda size: (size[0] / size[1], size))
        tallest = min(sizes, key=lambda size: (size[0] / size[1], size))
        smallest = min(sizes, key=lambda size: (size[0] * size[1], size))
        yield from dict.fromkeys((widest, tallest, smallest))


def _library(where: str) -> Any:
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # or importing it asks the network for a newer version
    try:
        return import_module("albumentations")
    except (ImportError, OSError) as error:
        raise UserError(
            f"{where} needs the library albumentations, which cannot be loaded ({error}); run pip install "
            "'loratory[augmentation]'."
        ) from error


def _step(library: Any, name: str, arguments: dict[str, Any], where: str) -> Any:
    """One step. Raises UserError for a name that the library does not have, and arguments that it does not take."""
    kind = getattr(library, name, None)
    if not (isinstance(kind, type) and issubclass(kind, library.BasicTransform)):
        known = [each for each in dir(library) if each[:1].isupper()]
        near = get_close_matches(name, known, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UserError(f"{where}.name: albumentations {library.__version__} has no {name!r}.{hint}")
    taken = list(inspect.signature(kind).parameters)
    if unknown := [each for each in arguments if each not in taken]:  # the library would only warn of them
        raise UserError(f"{where}.arguments: {name} does not take {', '.join(unknown)}, only {', '.join(taken)}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice for programmers, such as which class to use instead
            return kind(**arguments)
    except Exception as error:
        raise UserError(f"{where}.arguments: {_sentence(error)}") from error


def _sentence(error: Exception) -> str:
    """What a step has to say, on one line."""
    cause: Any = error.__cause__
    if hasattr(cause, "errors"):  # pydantic's: each argument with what is wrong about it
        found = {str(each["loc"][0]) if each["loc"] else "": str(each["msg"]) for each in cause.errors()}
        text = "; ".join(f"{name}: {message}" if name else message for name, message in found.items())
    elif isinstance(error, KeyError):
        text = f"it needs {error}, which a picture alone does not have"
    else:
        text = " ".join(str(error).split()) or type(error).__name__
    return text.rstrip(".") + "."


def _shape(pixels: Any) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]} {pixels.dtype}"
