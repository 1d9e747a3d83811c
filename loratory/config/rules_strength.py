"""Rules about a strength or a rate at which next to nothing is learned, or that breaks the training.

These are not about taste: each names a value that is left over from another program's default, or that no recipe has.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.network import AlphaConfig, LokrConfig, LoraConfig
from loratory.config.optimizer import AdafactorConfig, AutomagicConfig
from loratory.config.optimizers.adaptive import AdaptiveSettings
from loratory.config.problems import Problem, rule
from loratory.config.train import TrainConfig

LEFT_OVER_ALPHA, FROM_RANK = 1, 16
"""kohya's network_alpha where none is given; from this rank on the rate is divided by 16 and more."""
STRONGEST = 2.0
LEFT_OVER_RATE = 2e-6
"""kohya's learning_rate where none is given."""


@rule
def alpha_suits_the_rank(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    network: Any = config.network
    without = not isinstance(network, AlphaConfig) or (isinstance(network, LokrConfig) and network.full_matrix)
    rooted = isinstance(network, LoraConfig) and network.rank_stabilized
    if without or rooted or network.shape_from_start or config.alpha_schedule.phases():
        return
    for alpha_name, rank in (("alpha", network.rank), ("conv_alpha", getattr(network, "conv_rank", None))):
        alpha: Any = getattr(network, alpha_name, "auto")
        if alpha == "auto" or rank is None or alpha <= 0:
            continue
        field = f"network.{alpha_name}"
        adapts = isinstance(config.optimizer, AdaptiveSettings)
        if alpha <= LEFT_OVER_ALPHA and rank >= FROM_RANK and not adapts:
            message = f"{alpha:g} at rank {rank} makes what is learned {rank / alpha:g} times weaker"
            yield Problem("warning", (field,), message, {field: "auto"})
        elif alpha > STRONGEST * rank:
            message = f"{alpha:g} at rank {rank} makes what is learned {alpha / rank:g} times stronger, which breaks it"
            yield Problem("warning", (field,), message, {field: "auto"})


@rule
def rate_is_no_left_over(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    optimizer = config.optimizer
    relative = isinstance(optimizer, AdafactorConfig) and optimizer.relative_step
    if isinstance(optimizer, AdaptiveSettings | AutomagicConfig) or relative:
        return
    field = "optimizer.learning_rate"
    if optimizer.learning_rate <= LEFT_OVER_RATE:
        message = f"at {optimizer.learning_rate:g} next to nothing is learned; 1e-4 is usual for adapters"
        yield Problem("warning", (field,), message, {field: 1e-4})
