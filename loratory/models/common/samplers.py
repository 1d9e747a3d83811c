"""Schedulers of diffusers for preview pictures, with the settings of the model's own: the one place that makes them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from typing import Any

import diffusers
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler

from loratory.config.architectures.base import Objective
from loratory.config.samplers import SAMPLERS, Scheduler

_SCHEDULE = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "prediction_type",
             "rescale_betas_zero_snr")  # fmt: skip
"""What belongs to the model, whatever the class: classes have different defaults for it."""
_ALMOST_NO_SIGNAL = 2.0**-24
"""Instead of a terminal signal of 0, by which many solvers divide; the number that diffusers takes, too."""


def scheduler_for(name: str | None, own: Any, objective: Objective, flow_shift: float | None = None) -> Any:
    """A fresh scheduler of a sampler's name (None: the model's own) for a model whose pipeline has the scheduler `own`.

    `flow_shift` replaces the time shift of a flow model. The name must fit the model (`config.samplers.why_not`).
    """
    if name is None:
        named = "flow_shift" if "flow_shift" in own.config else "shift"
        changes = {} if flow_shift is None else {named: flow_shift, "use_dynamic_shifting": False}
        return type(own).from_config(own.config, **changes)
    wanted = SAMPLERS[objective][name]
    return _flow(wanted, own, flow_shift) if objective == "flow" else _ddpm(wanted, own)


def _ddpm(wanted: Scheduler, own: Any) -> Any:
    scheduler_class = getattr(diffusers, wanted.class_name)
    settings = {name: own.config[name] for name in _SCHEDULE if name in own.config}
    settings |= {"clip_sample": False}  # a default of some classes that is for pixels, not for latents
    zero_terminal = "rescale_betas_zero_snr"
    if own.config.get(zero_terminal) and zero_terminal not in inspect.signature(scheduler_class).parameters:
        settings["trained_betas"] = _betas_without_terminal_signal(own)
    if "skip_prk_steps" not in own.config:
        settings["skip_prk_steps"] = True  # as Stable Diffusion has it: else fewer than four steps are impossible
    scheduler = _made(scheduler_class, own, settings | dict(wanted.settings))
    _begin_at_the_start(scheduler)
    return scheduler


def _made(scheduler_class: Any, own: Any, settings: dict[str, Any]) -> Any:
    """A scheduler with the settings of `own` and these, as far as the class knows them.

    The others stay in its config, where pipelines look for them, without a warning for each.
    """
    known = inspect.signature(scheduler_class).parameters
    taken = {name: value for name, value in own.config.items() if name in known or name.startswith("_")}
    scheduler = scheduler_class.from_config(taken, **{name: each for name, each in settings.items() if name in known})
    scheduler.register_to_config(**{name: value for name, value in own.config.items() if name not in taken})
    return scheduler


def _begin_at_the_start(scheduler: Any) -> None:
    """Do not look the first step up by its time: where two steps round to one time, the second would be found."""
    if not hasattr(scheduler, "set_begin_index"):
        return
    original = scheduler.set_timesteps

    @functools.wraps(original)
    def set_timesteps(*arguments: Any, **named: Any) -> None:
        original(*arguments, **named)
        scheduler.set_begin_index(0)

    scheduler.set_timesteps = set_timesteps


def _betas_without_terminal_signal(own: Any) -> list[float]:
    """The betas of a schedule with zero terminal SNR, for classes that cannot work them out themselves."""
    facts = {name: own.config[name] for name in _SCHEDULE if name in own.config}
    signal = DDIMScheduler(**facts).alphas_cumprod.double()
    signal[-1] = _ALMOST_NO_SIGNAL
    alphas = torch.cat([signal[:1], signal[1:] / signal[:-1]])
    betas: list[float] = (1 - alphas).tolist()
    return betas


def _flow(wanted: Scheduler, own: Any, flow_shift: float | None) -> Any:
    scheduler_class = getattr(diffusers, wanted.class_name)
    dynamic = bool(own.config.get("use_dynamic_shifting", False)) and flow_shift is None
    own_shift = own.config.get("shift", own.config.get("flow_shift", 1.0))
    shift = own_shift if flow_shift is None else flow_shift
    if scheduler_class is FlowMatchHeunDiscreteScheduler:
        heun: HeunAtOwnTimes = _made(HeunAtOwnTimes, own, {})
        heun.own = scheduler_for(None, own, "flow", flow_shift)
        return heun
    if wanted.class_name.startswith("FlowMatch"):
        return _made(scheduler_class, own, {"shift": shift, "use_dynamic_shifting": dynamic})
    settings = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": shift}
    scheduler = _made(scheduler_class, own, {**settings, "use_dynamic_shifting": dynamic, **wanted.settings})
    if not dynamic:
        _ignore_mu(scheduler)
    return scheduler


def _ignore_mu(scheduler: Any) -> None:
    """Flux's pipeline always gives a shift for the picture's size; these classes insist on using what they get."""
    original = scheduler.set_timesteps

    def set_timesteps(
        num_inference_steps: int | None = None, device: str | torch.device | None = None, mu: float | None = None
    ) -> None:
        original(num_inference_steps, device=device)

    scheduler.set_timesteps = set_timesteps


class HeunAtOwnTimes(FlowMatchHeunDiscreteScheduler):
    """Heun's method at the times that the model's own scheduler, `own`, would take; diffusers' class takes none."""

    own: FlowMatchEulerDiscreteScheduler

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        sigmas: Sequence[float] | None = None,
        mu: float | None = None,
    ) -> None:
        """As FlowMatchEulerDiscreteScheduler: each time but the first twice, for the step there and its correction."""
        self.own.set_timesteps(num_inference_steps, device=device, sigmas=sigmas, mu=mu)
        times = self.own.sigmas[:-1]
        super().set_timesteps(len(times), device)
        last = torch.zeros(1, device=times.device)
        self.timesteps = torch.cat([times[:1], times[1:].repeat_interleave(2)]) * self.config.num_train_timesteps
        self.sigmas = torch.cat([times[:1], times[1:].repeat_interleave(2), last])
