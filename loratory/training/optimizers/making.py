"""An optimizer from its config class: which parameters get which rate, and what is remembered of the beginning."""

from __future__ import annotations

import inspect
import io
import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import redirect_stdout
from copy import deepcopy

import torch
from torch import nn

from loratory.config.optimizer import CustomConfig, OptimizerConfig
from loratory.errors import UserError
from loratory.training.optimizers.builders import BUILDERS, CLASSES, Groups
from loratory.training.optimizers.libraries import custom_class, load_class

log = logging.getLogger(__name__)

NOT_STATE = ("params", "name", "lr", "initial_lr")
"""Entries of a group that follow from the network and the config."""


def check_available(config: OptimizerConfig) -> None:
    """Import what the optimizer needs. Raises UserError for a library or class that is missing; costs no memory."""
    if isinstance(config, CustomConfig):
        _check_arguments(config)
    elif (place := CLASSES.get(type(config))) is not None:
        load_class(place, config.type)


def _check_arguments(config: CustomConfig) -> None:
    kind = custom_class(config)
    decay = {"weight_decay": config.weight_decay} if config.weight_decay else {}
    try:
        inspect.signature(kind).bind([], **(decay | dict(config.arguments)))
    except TypeError as error:
        raise UserError(f"optimizer.arguments: {config.implementation} does not take them: {error}.") from error


def make_optimizer(
    config: OptimizerConfig,
    parameters: Mapping[str, Sequence[nn.Parameter]],
    text_encoders: Collection[str],
    faster: Collection[nn.Parameter] = (),
    factors: Mapping[nn.Parameter, float] | None = None,
) -> torch.optim.Optimizer:
    """The optimizer over parameter groups by component; `initial_lr` of each group is its rate before the schedule.

    Parameters in `faster` have a group of their own where the config gives them another rate (LoRA+, Hayou et al. 2024,
    arXiv 2402.12354), and so have those of each number in `factors`, which multiplies their rate. Ready to step: those
    that average weights are in training mode. `at_start` of each group holds its other entries as they are now; what
    differs later is state, and a checkpoint keeps it. Raises UserError.
    """
    said = io.StringIO()
    with redirect_stdout(said):  # several libraries print
        optimizer = BUILDERS[type(config)](config, groups_of(config, parameters, text_encoders, faster, factors or {}))
    for line in said.getvalue().splitlines():
        log.debug("%s", line)
    if hasattr(optimizer, "train"):
        optimizer.train()
    for group in optimizer.param_groups:
        group["at_start"] = {name: deepcopy(value) for name, value in group.items() if name not in NOT_STATE}
    return optimizer


def groups_of(
    config: OptimizerConfig,
    parameters: Mapping[str, Sequence[nn.Parameter]],
    text_encoders: Collection[str],
    faster: Collection[nn.Parameter],
    factors: Mapping[nn.Parameter, float],
) -> Groups:
    """Parameter groups with their names and rates; what has the same rate for the same reason is one group."""
    ahead = set(faster)
    groups: Groups = []
    for component, members in parameters.items():
        rate, ratio = config.learning_rate, config.lora_plus_ratio
        if component in text_encoders:
            rate = config.text_encoder_learning_rates.get(component, config.text_encoder_learning_rate or rate)
            ratio = config.text_encoder_lora_plus_ratio or ratio
        parts: dict[tuple[float, bool], list[nn.Parameter]] = {}
        for each in members:
            parts.setdefault((factors.get(each, 1.0), ratio != 1 and each in ahead), []).append(each)
        # The usual rate first, whichever block comes first in the model.
        for (factor, is_up), part in sorted(parts.items(), key=lambda item: (item[0][0] != 1, *item[0])):
            name = component + "_up" * is_up + (f"_x{factor}" if factor != 1 else "")
            its_rate = rate * (ratio if is_up else 1) * factor
            groups.append({"params": part, "lr": its_rate, "initial_lr": its_rate, "name": name})
    return groups
