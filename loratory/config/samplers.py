"""Samplers of preview pictures by name: kohya's and ai-toolkit's short names, and the classes of diffusers.

A name stands for one scheduler class of diffusers in each family of models that it fits; some fit both.
`models/common/samplers.py` makes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from loratory.config.architectures.base import ArchitectureSpec, Objective

SamplerName = Literal[
    "ddim", "ddpm", "pndm", "lms", "k_lms", "euler", "k_euler", "euler_a", "k_euler_a", "heun", "dpm_2", "k_dpm_2",
    "dpm_2_a", "k_dpm_2_a", "dpmsolver", "dpmsolver++", "k_dpmsolver", "k_dpmsolver++", "dpmsingle", "deis", "unipc",
    "sa_solver", "lcm", "tcd", "flowmatch",
    "DDIMScheduler", "DDPMScheduler", "PNDMScheduler", "LMSDiscreteScheduler", "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler", "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler", "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler",
    "DEISMultistepScheduler", "UniPCMultistepScheduler", "SASolverScheduler", "LCMScheduler", "TCDScheduler",
    "FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler", "FlowMatchLCMScheduler",
]  # fmt: skip
NAMES: tuple[SamplerName, ...] = get_args(SamplerName)


@dataclass(frozen=True)
class Scheduler:
    """A scheduler class of diffusers, and what is set beside the model's own settings."""

    class_name: str
    settings: Mapping[str, Any] = field(default_factory=dict)


_KARRAS = {"use_karras_sigmas": True}
# diffusers refuses the first kind of solver with a last step to no noise at all.
_FIRST_KIND = {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}
_SECOND_KIND = {"algorithm_type": "dpmsolver++"}

# DEIS is not among those for flow models: on them it is wrong by far with few steps (measured on a Gaussian).
_SHORT: dict[Objective, dict[str, Scheduler]] = {
    "ddpm": {
        "ddim": Scheduler("DDIMScheduler"),
        "ddpm": Scheduler("DDPMScheduler"),
        "pndm": Scheduler("PNDMScheduler"),
        "lms": Scheduler("LMSDiscreteScheduler"),
        "euler": Scheduler("EulerDiscreteScheduler"),
        "euler_a": Scheduler("EulerAncestralDiscreteScheduler"),
        "heun": Scheduler("HeunDiscreteScheduler"),
        "dpm_2": Scheduler("KDPM2DiscreteScheduler"),
        "dpm_2_a": Scheduler("KDPM2AncestralDiscreteScheduler"),
        "dpmsolver": Scheduler("DPMSolverMultistepScheduler", _FIRST_KIND),
        "dpmsolver++": Scheduler("DPMSolverMultistepScheduler", _SECOND_KIND),
        "k_dpmsolver": Scheduler("DPMSolverMultistepScheduler", _FIRST_KIND | _KARRAS),
        "k_dpmsolver++": Scheduler("DPMSolverMultistepScheduler", _SECOND_KIND | _KARRAS),
        "dpmsingle": Scheduler("DPMSolverSinglestepScheduler"),
        "deis": Scheduler("DEISMultistepScheduler"),
        "unipc": Scheduler("UniPCMultistepScheduler"),
        "sa_solver": Scheduler("SASolverScheduler"),
        "lcm": Scheduler("LCMScheduler"),
        "tcd": Scheduler("TCDScheduler"),
    },
    "flow": {
        "flowmatch": Scheduler("FlowMatchEulerDiscreteScheduler"),
        "euler": Scheduler("FlowMatchEulerDiscreteScheduler"),
        "heun": Scheduler("FlowMatchHeunDiscreteScheduler"),
        "lcm": Scheduler("FlowMatchLCMScheduler"),
        "dpmsolver++": Scheduler("DPMSolverMultistepScheduler", _SECOND_KIND),
        "dpmsingle": Scheduler("DPMSolverSinglestepScheduler"),
        "unipc": Scheduler("UniPCMultistepScheduler"),
    },
}
# Other names of the same, as kohya has them after k-diffusion.
_SAME = {"k_lms": "lms", "k_euler": "euler", "k_euler_a": "euler_a", "k_dpm_2": "dpm_2", "k_dpm_2_a": "dpm_2_a"}


def _complete(short: Mapping[str, Scheduler]) -> dict[str, Scheduler]:
    """With the other names, and with every class under its own name."""
    found = dict(short) | {name: short[same] for name, same in _SAME.items() if same in short}
    classes = {scheduler.class_name: Scheduler(scheduler.class_name) for scheduler in short.values()}
    return {name: each for name, each in (found | classes).items() if name in NAMES}


SAMPLERS: dict[Objective, dict[str, Scheduler]] = {family: _complete(short) for family, short in _SHORT.items()}
"""By family of models, then by name."""


def why_not(name: str, spec: ArchitectureSpec) -> str:
    """Why a model of this kind cannot be sampled so, and what fits instead; empty: it can."""
    fitting = SAMPLERS[spec.objective]
    if name in fitting:
        return ""
    kind = "is meant for models of another kind" if name in NAMES else "is no sampler that is known"
    return f"{name} {kind}; {spec.title} takes {', '.join(fitting)}"
