"""What the behaviour matrix of the optimizers runs: settings of each class, and a small problem."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from loratory.config.fields import section_types
from loratory.config.optimizer import OptimizerConfig
from loratory.training import checkpoint, loop
from loratory.training.devices import DTYPES
from loratory.training.optimizers import FusedSteps, WorkCopies, make_optimizer
from loratory.training.signs import SignAgreement
from tests.unit.training.helpers import job

KINDS = {str(each.model_fields["type"].default): each for each in section_types(OptimizerConfig)}

# Rates that get somewhere in a few dozen steps; the small 8-bit limit lets these small weights have 8 bits.
SMALL: dict[str, Any] = {"min_8bit_size": 16}
SETTINGS: dict[str, dict[str, Any]] = {
    "adamw": {"learning_rate": 0.02},
    "adamw8bit": {"learning_rate": 0.02, **SMALL},
    "paged_adamw8bit": {"learning_rate": 0.02, **SMALL},
    "paged_adamw32bit": {"learning_rate": 0.02},
    "lion": {"learning_rate": 0.01},
    "lion8bit": {"learning_rate": 0.01, **SMALL},
    "paged_lion8bit": {"learning_rate": 0.01, **SMALL},
    "sgd": {"learning_rate": 0.1},
    "sgd8bit": {"learning_rate": 0.1, **SMALL},
    "adafactor": {"learning_rate": 0.02},
    "came": {"learning_rate": 0.02},
    "adan": {"learning_rate": 0.02},
    "ademamix": {"learning_rate": 0.01, "alpha": 1.0},
    "ademamix8bit": {"learning_rate": 0.01, "alpha": 1.0, **SMALL},
    "muon": {"learning_rate": 0.02},
    "automagic": {"learning_rate": 5e-3, "max_learning_rate": 0.1, "rate_bump": 1e-3},
    "custom": {"implementation": "torch.optim:NAdam", "learning_rate": 0.02},
    "adamw_schedule_free": {"learning_rate": 0.05},
    "radam_schedule_free": {"learning_rate": 0.1},
    "prodigy": {"d0": 1e-3},
    "prodigy_plus_schedule_free": {"d0": 1e-3},
    "dadaptation": {"d0": 1e-3, "growth_rate": 1.05},
    "dadapt_adam": {"d0": 1e-3, "growth_rate": 1.05},
    "dadapt_adagrad": {"d0": 1e-2},
    "dadapt_adan": {"d0": 1e-3},
    "dadapt_adan_ip": {"d0": 1e-3},
    "dadapt_sgd": {"d0": 0.1, "growth_rate": 1.02},
    "dadapt_lion": {"d0": 3e-2},
}
VARIANTS: dict[str, dict[str, Any]] = {
    **{name: {"type": name, **options} for name, options in SETTINGS.items()},
    "sgd, plain": {"type": "sgd", "learning_rate": 0.5, "momentum": 0.0, "max_grad_norm": 0.0},
    "adafactor, relative": {"type": "adafactor", "relative_step": True, "warmup_init": False},
    "ademamix, rising": {"type": "ademamix", "learning_rate": 0.01, "alpha_warmup_steps": 5},
    "prodigy plus, with a schedule": {"type": "prodigy_plus_schedule_free", "d0": 1e-3, "use_schedulefree": False},
    "prodigy plus, speed": {"type": "prodigy_plus_schedule_free", "d0": 1e-3, "use_speed": True},
    "prodigy plus, one estimate": {"type": "prodigy_plus_schedule_free", "d0": 1e-3, "split_groups": False},
    "custom, with arguments": {"type": "custom", "implementation": "torch.optim:RMSprop", "learning_rate": 0.02,
                               "arguments": {"momentum": 0.5, "centered": True}},
}  # fmt: skip


class Weights(nn.Module):
    """Two factors of a matrix, the second of which begins at zero, and a vector: what LoRA trains."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.down = nn.Parameter(torch.randn(4, 36, generator=generator) / 6)
        self.up = nn.Parameter(torch.zeros(36, 4))
        self.vector = nn.Parameter(torch.zeros(36))
        self.text = nn.Parameter(torch.randn(5, 7, generator=generator))

    def components(self) -> dict[str, list[nn.Parameter]]:
        return {"unet": [self.down, self.up, self.vector], "text_encoder": [self.text]}

    def loss(self, step: int) -> Tensor:
        """How far the product is from a fixed matrix of rank 4, seen through different inputs in each step."""
        generator = torch.Generator().manual_seed(7)
        target = torch.randn(36, 4, generator=generator) @ torch.randn(4, 36, generator=generator) / 4
        inputs = torch.randn(36, 64, generator=torch.Generator().manual_seed(100 + step % 4))
        found = self.up.float() @ (self.down.float() @ inputs) + self.vector.float()[:, None]
        return (found - target @ inputs - 0.5).square().mean() / 4 + (self.text.float() - 0.3).square().mean()


def training_of(settings: dict[str, Any], weights: Any = None, **job_sections: Any) -> Any:
    """As much of a training as steps need."""
    config = job(optimizer=settings, **job_sections)
    weights = (weights or Weights()).to(DTYPES[config.memory.adapter_precision])
    if isinstance(weights, Weights):
        components, faster = weights.components(), [weights.up]
    else:
        components, faster = {"unet": list(weights.parameters())}, []
    optimizer = make_optimizer(config.optimizer, components, ("text_encoder",), faster)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    parameters, signs = list(weights.parameters()), SignAgreement(list(weights.parameters()))
    work = WorkCopies(parameters, config.seed, stochastic=config.optimizer.stochastic_rounding)
    fused = FusedSteps(config.optimizer, optimizer, parameters, signs, work)
    return SimpleNamespace(
        config=config, weights=weights, optimizer=optimizer, scaler=scaler, signs=signs, work=work, fused=fused,
        steps_done=0,
    )  # fmt: skip


def step(training: Any, number: int, spoiled: str = "") -> float:
    """One optimizer step; `spoiled` makes the gradient or the loss not a number. The loss before it."""
    loss = training.weights.loss(number)
    said = loss.detach() * (float("nan") if spoiled == "loss" else 1.0)
    if training.fused.active:
        training.fused.begin(said, training.steps_done)
    hook = training.weights.up.register_hook(spoil) if spoiled == "gradient" else None
    loss.backward()
    if hook is not None:
        hook.remove()
    training.stability = training.signs.look()
    training.norm = loop.optimizer_step(training, said)
    training.steps_done += 1
    return float(loss.detach())


def spoil(gradient: Tensor) -> Tensor:
    """One of its numbers is none."""
    gradient = gradient.clone()
    gradient[0, 0] = float("nan")
    return gradient


def everything(training: Any) -> dict[str, Any]:
    """Weights, memory and changed entries: all that a next step depends on."""
    snapshot = checkpoint.take(0, training.weights, training.optimizer, {}, {})
    return {**snapshot.network, **snapshot.optimizer, **snapshot.optimizer_memory["values"]}


def same(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Names of what differs, also in type."""
    names = [*one, *(name for name in other if name not in one)]
    return [name for name in names if name not in one or name not in other or not equal(one[name], other[name])]


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    return type(one) is type(other) and bool(one == other)


def resumed(training: Any, settings: dict[str, Any], folder: Path, **job_sections: Any) -> Any:
    """The training as another process would find it, from a checkpoint on the disk."""
    folder.mkdir()
    checkpoint.write(checkpoint.take(1, training.weights, training.optimizer, {}, {}), folder)
    again = training_of(settings, **job_sections)
    checkpoint.load_network(folder, again.weights)
    checkpoint.load_optimizer(folder, again.optimizer, checkpoint.read_facts(folder))
    return again
