"""Gradient stability: the share of the gradients' signs that are what they were a step before, whatever the optimizer.

Near 0.5 gradients point anywhere, near 1 always the same way. It is measured on a sample of the network, on the device.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

MOST_TENSORS, MOST_NUMBERS = 64, 65_536
"""Of the sample: spread evenly over the network, so that the measurement costs next to nothing."""


class SignAgreement:
    """Remembers the signs of a sample of gradients from step to step."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        every = max(1, -(-len(parameters) // MOST_TENSORS))
        self._sample = list(parameters[::every])
        share = max(1, MOST_NUMBERS // max(1, len(self._sample)))
        self._strides = [max(1, -(-parameter.numel() // share)) for parameter in self._sample]
        self._places = {parameter: place for place, parameter in enumerate(self._sample)}
        self._seen: dict[int, Tensor] = {}
        self._last: Tensor | None = None

    @torch.no_grad()
    def see(self, parameter: nn.Parameter) -> None:
        """Take in a gradient that will be gone before `look`."""
        place = self._places.get(parameter)
        if place is not None and parameter.grad is not None:
            self._seen[place] = parameter.grad.reshape(-1)[:: self._strides[place]] > 0

    @torch.no_grad()
    def look(self) -> Tensor:
        """The share, 0-d on the device; NaN in the first step. To be called once a step, with the gradients there."""
        pieces = [
            self._seen.pop(place)
            if place in self._seen
            else (torch.zeros_like(parameter) if parameter.grad is None else parameter.grad).reshape(-1)[::stride]
            for place, (parameter, stride) in enumerate(zip(self._sample, self._strides, strict=True))
        ]
        signs = torch.cat(pieces) > 0
        before, self._last = self._last, signs
        if before is None:
            return torch.full((), float("nan"), device=signs.device)
        return (signs == before).float().mean()

    def state(self) -> str | None:
        """The signs as text, for a checkpoint."""
        if self._last is None:
            return None
        return base64.b64encode(np.packbits(self._last.cpu().numpy()).tobytes()).decode()

    def load(self, state: str | None) -> None:
        """Go on from a checkpoint's signs."""
        if state is None:
            return
        bits = np.unpackbits(np.frombuffer(base64.b64decode(state), dtype=np.uint8))
        sizes = [parameter.numel() for parameter in self._sample]
        count = sum(-(-size // stride) for size, stride in zip(sizes, self._strides, strict=True))
        self._last = torch.from_numpy(bits[:count].astype(bool)).to(self._sample[0].device)
