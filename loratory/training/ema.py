"""A running mean of the trained weights (EMA): calmer than the weights themselves, and what is sampled and exported.

shadow ← shadow + (1 - decay) · (weights - shadow) after every optimizer step. With warm-up the decay is
min(decay, (1 + n) / (10 + n)) in step n (as in TensorFlow's ExponentialMovingAverage), so that the random start is
forgotten soon.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from loratory.config.ema import EmaConfig
from loratory.errors import UserError
from loratory.training.optimizers.rounding import full_copy


def decay_at(config: EmaConfig, step: int) -> float:
    """The decay after `step` optimizer steps, the first of which is 1."""
    assert config.decay is not None
    return min(config.decay, (1 + step) / (10 + step)) if config.warm_up else config.decay


class Ema:
    """The mean of a network's parameters, on their device and at least in fp32: it moves by less than bf16 can show.

    Without a decay in the config it does nothing.
    """

    def __init__(self, config: EmaConfig, parameters: Mapping[str, nn.Parameter]) -> None:
        self._config = config
        self._parameters = dict(parameters) if config.decay is not None else {}
        self.shadow = {name: full_copy(parameter) for name, parameter in self._parameters.items()}

    @property
    def active(self) -> bool:
        return bool(self._parameters)

    @torch.no_grad()
    def begin(self) -> None:
        """Begin at the weights as they are now; after they were loaded."""
        for name, parameter in self._parameters.items():
            self.shadow[name].copy_(parameter)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after `step` optimizer steps."""
        if self.active and step % self._config.every_n_steps == 0:
            weight = 1 - decay_at(self._config, step // self._config.every_n_steps)
            shadow = list(self.shadow.values())
            weights = [
                each.detach().to(mine.dtype) for each, mine in zip(self._parameters.values(), shadow, strict=True)
            ]
            torch._foreach_lerp_(shadow, weights, weight)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Within the block the network has the mean's weights; afterwards its own, bit for bit."""
        if not self.active:
            yield
            return
        kept = {name: parameter.data for name, parameter in self._parameters.items()}
        self._put(self.shadow)
        try:
            yield
        finally:
            self._put(kept)

    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self._parameters.items():
            parameter.data = values[name]

    @torch.no_grad()
    def multiply(self, parameter: nn.Parameter, factor: float) -> None:
        """Multiply the mean of one parameter, because the parameter itself was: a new scale, not a step."""
        for name, mine in self._parameters.items():
            if mine is parameter:
                self.shadow[name].mul_(factor)

    @torch.no_grad()
    def load(self, shadow: Mapping[str, Tensor]) -> None:
        """Go on from a checkpoint's mean. Raises UserError when it is another network's."""
        if shadow.keys() != self.shadow.keys():
            raise UserError(
                "The checkpoint's mean of the weights belongs to another network; start with --weights-only."
            )
        for name, mine in self.shadow.items():
            mine.copy_(shadow[name])
