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
) -> torch.optim.Optimizer:
    """The optimizer over parameter groups by component; `initial_lr` of each group is its rate before the schedule.

    Parameters in `faster` have a group of their own where the config gives them another rate (LoRA+, Hayou et al. 2024,
    arXiv 2402.12354). Ready to step: those that average weights are in training mode. `at_start` of each group holds
    its other entries as they are now; what differs later is state, and a checkpoint keeps it. Raises UserError.
    """
    said = io.StringIO()
    with redirect_stdout(said):  # several libraries print
        optimizer = BUILDERS[type(config)](config, groups_of(config, parameters, text_encoders, faster))
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
) -> Groups:
    """Parameter groups with their names and rates; components without parameters have none."""
    ahead = set(faster)
    groups: Groups = []
    for component, members in parameters.items():
        rate, ratio = config.learning_rate, config.lora_plus_ratio
        if component in text_encoders:
            rate = config.text_encoder_learning_rates.get(component, config.text_encoder_learning_rate or rate)
            ratio = config.text_encoder_lora_plus_ratio or ratio
        parts = {component: list(members)}
        if ratio != 1:
            parts = {
                component: [each for each in members if each not in ahead],
                f"{component}_up": [each for each in members if each in ahead],
            }
        for name, part in parts.items():
            if part:
                its_rate = rate if name == component else rate * ratio
                groups.append({"params": part, "lr": its_rate, "initial_lr": its_rate, "name": name})
    return groups
