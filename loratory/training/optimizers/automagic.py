"""Automagic: a learning rate for every number, which grows while its steps keep their sign (after ai-toolkit's)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Automagic(torch.optim.Optimizer):
    """Adafactor's direction without momentum, and signs that vote on rates.

    For a gradient g: squares by rows and columns are averaged with beta2 (all of them where there is one dimension),
    u = g / √square, shortened to a root mean square of `clip_threshold`. A number whose u has the sign it had in the
    step before gains `rate_bump`, others lose it, within [min_rate, max_rate]; the weight moves by −rate · u. Rates
    are kept in full precision: in the 8 bits of the original, bumps vanish beside large rates. The first step has no
    sign before it and leaves the rates alone. A schedule's factor, lr / initial_lr, multiplies the movement.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        *,
        min_rate: float,
        max_rate: float,
        rate_bump: float,
        beta2: float,
        eps: float,
        clip_threshold: float,
        weight_decay: float,
    ) -> None:
        defaults = dict(min_rate=min_rate, max_rate=max_rate, rate_bump=rate_bump, beta2=beta2, eps=eps,
                        clip_threshold=clip_threshold, weight_decay=weight_decay)  # fmt: skip
        super().__init__(params, defaults)
        self._agreed: dict[Tensor, Tensor] = {}  # of the last step: by parameter, because these may step one by one

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step; gradients are those of the parameters."""
        assert closure is None, "gradients are there already"
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group)

    def _move(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        update = self._direction(parameter, group)
        signs = update > 0
        if "rate" not in state:
            start = min(max(group["initial_lr"], group["min_rate"]), group["max_rate"])
            state["rate"] = torch.full_like(parameter, start, dtype=torch.float32)
        else:
            same = signs == state["signs"]
            bump = torch.where(same, group["rate_bump"], -group["rate_bump"])
            state["rate"].add_(bump).clamp_(group["min_rate"], group["max_rate"])
            self._agreed[parameter] = same.sum()
        state["signs"] = signs
        rate = state["rate"] * (group["lr"] / group["initial_lr"])
        if group["weight_decay"]:
            parameter.sub_(group["weight_decay"] * parameter * rate)
        parameter.sub_(update * rate)

    def _direction(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        """The gradient over the root of its running square, shortened where it is long."""
        assert parameter.grad is not None
        state, beta2 = self.state[parameter], group["beta2"]
        gradient = parameter.grad.float()
        square = gradient**2 + group["eps"]
        if parameter.dim() >= 2:
            if "row" not in state:
                state["row"] = torch.zeros_like(square.mean(-1))
                state["column"] = torch.zeros_like(square.mean(-2))
            row = state["row"].lerp_(square.mean(-1), 1 - beta2)
            column = state["column"].lerp_(square.mean(-2), 1 - beta2)
            share = row / row.mean(-1, keepdim=True)
            update = gradient * share.rsqrt().unsqueeze(-1) * column.rsqrt().unsqueeze(-2)
        else:
            if "square" not in state:
                state["square"] = torch.zeros_like(square)
            update = gradient * state["square"].lerp_(square, 1 - beta2).rsqrt()
        length = update.square().mean().sqrt()
        return update / (length / group["clip_threshold"]).clamp(min=1.0)

    def mean_rate(self, group: dict[str, Any]) -> float | Tensor:
        """The mean rate of a group's numbers, with the schedule's factor."""
        rates = [self.state[each]["rate"] for each in group["params"] if "rate" in self.state[each]]
        if not rates:
            return float(group["lr"])
        total = torch.stack([rate.sum() for rate in rates]).sum() / sum(rate.numel() for rate in rates)
        return total * (group["lr"] / group["initial_lr"])

    def take_sign_agreement(self) -> Tensor | None:
        """The share of all numbers whose sign stayed in the last step. Handed out once: a skipped step has none."""
        agreed, self._agreed = self._agreed, {}
        if not agreed:
            return None
        return torch.stack(list(agreed.values())).sum() / sum(parameter.numel() for parameter in agreed)
