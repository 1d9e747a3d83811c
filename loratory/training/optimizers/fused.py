"""Steps during the backward pass: a part of the network moves as soon as its gradients are there, and they are freed.

The gradients of the whole network never exist at once. The result is that of one step with all of them, for optimizers
whose step looks at one parameter at a time (`separable` in their config).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from loratory.config.optimizer import OptimizerConfig
from loratory.training.clipping import clip
from loratory.training.optimizers.rounding import WorkCopies
from loratory.training.optimizers.stepping import step_if_finite
from loratory.training.signs import SignAgreement


def parts_of(config: OptimizerConfig, parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """What steps together, of parameters in the network's order: each alone, groups of about one size, or nothing.

    Neighbours stay together, because the backward pass gets to them one after the other.
    """
    if config.fused_backward_pass:
        return [[each] for each in parameters]
    count = config.fused_optimizer_groups
    if count is None:
        return []
    total, before = sum(each.numel() for each in parameters), 0
    parts: list[list[nn.Parameter]] = [[] for _ in range(count)]
    for each in parameters:
        parts[(2 * before + each.numel()) * count // (2 * total)].append(each)  # by where its middle lies
        before += each.numel()
    return [part for part in parts if part]


class FusedSteps:
    """Steps one part after the other while gradients come; does nothing where the config does not want that."""

    def __init__(
        self,
        config: OptimizerConfig,
        optimizer: torch.optim.Optimizer,
        parameters: Sequence[nn.Parameter],
        signs: SignAgreement,
        work: WorkCopies,
    ) -> None:
        self._config, self._optimizer, self._signs, self._work = config, optimizer, signs, work
        self._parts = parts_of(config, parameters)
        self._part_of = {each: number for number, part in enumerate(self._parts) for each in part}
        self._order = [each for group in optimizer.param_groups for each in group["params"]]
        self._group_of = {
            each: number for number, group in enumerate(optimizer.param_groups) for each in group["params"]
        }
        self._lengths: dict[nn.Parameter, Tensor] = {}
        self._missing: list[int] = []
        self._changed: dict[int, dict[str, Any]] = {}
        self._finite = torch.tensor(True)
        self._step = 0
        for parameter in self._part_of:
            parameter.register_post_accumulate_grad_hook(self._came)

    @property
    def active(self) -> bool:
        return bool(self._parts)

    def begin(self, loss: Tensor, step: int) -> None:
        """Before the backward pass of a step. With a loss that is not a number no part will move."""
        self._finite, self._step = torch.isfinite(loss.detach()), step
        self._lengths, self._changed = {}, {}
        self._missing = [len(part) for part in self._parts]

    def finish(self) -> Tensor:
        """Behind the backward pass: step what still waits for gradients that did not come. The length of them all."""
        for number, missing in enumerate(self._missing):
            if missing:
                self._move(number)
        for number, entries in self._changed.items():
            self._optimizer.param_groups[number].update(entries)
        return self._length(self._order)

    def _came(self, parameter: nn.Parameter) -> None:
        """A gradient is complete."""
        assert parameter.grad is not None
        if parameter in self._lengths:
            raise RuntimeError("a gradient came twice in one step, after its parameter had moved already")
        self._lengths[parameter] = torch.linalg.vector_norm(parameter.grad.float())
        self._signs.see(parameter)
        number = self._part_of[parameter]
        self._missing[number] -= 1
        if not self._missing[number]:
            self._move(number)

    @torch.no_grad()
    def _move(self, number: int) -> None:
        members = [each for each in self._parts[number] if each.grad is not None]
        if not members:
            return
        length = self._length(members)
        with self._work.in_full(members, self._step):
            if self._config.max_grad_norm:
                clip(members, self._config.max_grad_norm, self._config.clip_by, length)
            with self._only(members):
                step_if_finite(self._optimizer, torch.isfinite(length) & self._finite)
        for each in members:
            each.grad = None

    def _length(self, members: Sequence[nn.Parameter]) -> Tensor:
        found = [self._lengths[each] for each in members if each in self._lengths]
        return torch.linalg.vector_norm(torch.stack(found)) if found else torch.tensor(0.0)

    @contextmanager
    def _only(self, members: Sequence[nn.Parameter]) -> Iterator[None]:
        """Within the block the optimizer has only these parameters.

        Every part finds a group's entries (counters, sums over steps) as they were before the step, and what a part
        makes of them is what all make of them; `finish` puts it into the groups.
        """
        groups = self._optimizer.param_groups
        mine: dict[int, list[nn.Parameter]] = {}
        for each in members:
            mine.setdefault(self._group_of[each], []).append(each)
        views = {number: {**groups[number], "params": part} for number, part in mine.items()}
        self._optimizer.param_groups = list(views.values())
        try:
            yield
        finally:
            self._optimizer.param_groups = groups
        for number, view in views.items():
            entries = {name: value for name, value in view.items() if name != "params"}
            if any(name not in groups[number] or entries[name] is not groups[number][name] for name in entries):
                self._changed[number] = entries
