"""Rules about networks: what is trained, and how strongly. `rules` runs them with the others."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.network import (
    AlphaConfig,
    DiagOftConfig,
    DyloraConfig,
    LokrConfig,
    LoraConfig,
    OftConfig,
    RankedConfig,
)
from loratory.config.problems import Problem, rule
from loratory.config.train import TrainConfig


@rule
def convolution_options_need_convolutions(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    network = config.network
    if not isinstance(network, RankedConfig) or not spec.convolution_groups or _trains_convolutions(network, spec):
        return
    defaults = {"conv_alpha": "auto", "conv_dropout": None, "tucker": False}
    for name, default in defaults.items():
        if getattr(network, name) != default:
            yield Problem(
                "warning",
                (f"network.{name}",),
                "has no effect without network.conv_rank: no convolutions are trained",
                {f"network.{name}": default},
            )


@rule
def full_factors_have_no_rank(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    network = config.network
    if not isinstance(network, LokrConfig) or not network.full_matrix:
        return
    for name, default in {"alpha": "auto", "decompose_both": False}.items():
        if getattr(network, name) != default:
            yield Problem(
                "warning",
                (f"network.{name}",),
                "has no effect, because network.full_matrix trains both factors in full",
                {f"network.{name}": default},
            )


@rule
def ranks_of_blocks_need_a_rank(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    network = config.network
    if not isinstance(network, AlphaConfig) and network.targets.block_alphas:
        fields = ("network.targets.block_alphas",)
        yield Problem("warning", fields, f"has no effect, because {network.type} has no alpha", {fields[0]: {}})
    if isinstance(network, AlphaConfig | OftConfig):
        return
    for name in ("block_ranks", "layer_ranks"):
        if any(getattr(network.targets, name).values()):
            yield Problem(
                "warning",
                (f"network.targets.{name}",),
                f"ranks above 0 have no effect, because {network.type} has no rank",
                {f"network.targets.{name}": {}},
            )


@rule
def a_shape_needs_a_file(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    network = config.network
    if not network.shape_from_start:
        return
    field = "network.shape_from_start"
    if network.start_from is None:
        yield Problem("error", (field,), "needs network.start_from, a LoRA file to take them from", {field: False})
    elif network.targets != type(network)().targets:
        yield Problem(
            "warning", ("network.targets",), "has no effect: network.shape_from_start takes the layers from the file"
        )


@rule
def lora_plus_needs_up_matrices(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    if config.network.type in ("lora", "dylora"):
        return
    for name, default in {"lora_plus_ratio": 1.0, "text_encoder_lora_plus_ratio": None}.items():
        if getattr(config.optimizer, name) != default:
            yield Problem(
                "warning",
                (f"optimizer.{name}",),
                f"has no effect, because {config.network.type} has no up matrices",
                {f"optimizer.{name}": default},
            )


@rule
def rescaling_is_not_read_everywhere(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    network = config.network
    if isinstance(network, DiagOftConfig) and network.rescaled:
        yield Problem(
            "warning",
            ("network.rescaled",),
            "ComfyUI leaves these factors of Diag-OFT out, so that pictures made there differ",
            {"network.rescaled": False},
        )


@rule
def phases_of_alpha_can_act(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    schedule, network = config.alpha_schedule, config.network
    phases, off = schedule.phases(), {"alpha_schedule.preset": "off"}
    if schedule.preset == "off":
        if schedule.linear or schedule.conv:
            fields = ("alpha_schedule.linear", "alpha_schedule.conv")
            yield Problem("warning", fields, "have no effect while alpha_schedule.preset is off",
                          {"alpha_schedule.preset": "custom"})  # fmt: skip
        return
    if not phases:
        yield Problem("error", ("alpha_schedule.preset",), "is custom, and there are no phases in linear or conv", off)
        return
    if not isinstance(network, AlphaConfig) or (isinstance(network, LokrConfig) and network.full_matrix):
        what = "full_matrix" if isinstance(network, LokrConfig) else network.type
        yield Problem("error", ("alpha_schedule.preset",), f"needs a network with an alpha, which {what} has not", off)
    if network.shape_from_start:
        yield Problem(
            "error",
            ("network.shape_from_start", "alpha_schedule.preset"),
            "both say the alphas; keep one",
            {"network.shape_from_start": False},
        )
    if schedule.transition == "rescale" and config.optimizer.type not in ("adamw", "sgd"):
        yield Problem(
            "error",
            ("alpha_schedule.transition",),
            f"rescale is not known for the optimizer {config.optimizer.type}; use ramp",
            {"alpha_schedule.transition": "ramp"},
        )
    if schedule.conv and isinstance(network, AlphaConfig) and not _trains_convolutions(network, spec):
        yield Problem(
            "warning",
            ("alpha_schedule.conv",),
            f"changes nothing: no larger convolutions of {spec.title} are trained here; the phases can move the linear "
            "layers instead",
            {"alpha_schedule.linear": [phase.model_dump() for phase in schedule.conv], "alpha_schedule.conv": []},
        )


def _trains_convolutions(network: AlphaConfig, spec: ArchitectureSpec) -> bool:
    if not spec.convolution_groups or not isinstance(network, RankedConfig):
        return False
    targets = network.targets
    chosen = targets.preset in ("full", "unet-convblock-only") or bool(targets.also_if_contains)
    return network.conv_rank is not None or chosen


@rule
def lengths_can_be_limited(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    network = config.network
    if not isinstance(network, LoraConfig) or network.max_weight_norm is None:
        return
    for name, default in {"shared_down": False, "initialization": "default"}.items():
        if getattr(network, name) != default:
            yield Problem(
                "error",
                ("network.max_weight_norm", f"network.{name}"),
                "cannot be had together: both matrices of a layer are shortened, and one of them is not its own",
                {"network.max_weight_norm": None},
            )


@rule
def format_holds_the_network(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    network, form = config.network, config.saving.format
    if form == "aitoolkit" and spec.denoiser != "unet" and network.type in ("lora", "dylora"):
        # its layout for transformers is that of diffusers
        form = "diffusers"
    if form != "diffusers":
        return
    lacking = []
    if network.type not in ("lora", "dylora"):
        lacking.append(f"a {network.type}")
    if isinstance(network, LoraConfig) and network.tucker and _trains_convolutions(network, spec):
        lacking.append("Tucker")
    if network.targets.norms and config.saving.format == "diffusers":
        lacking.append("normalisations")
    if network.targets.full_if_contains and config.saving.format == "diffusers":
        lacking.append("layers trained in full")
    if lacking:
        yield Problem(
            "error",
            ("saving.format",),
            f"{config.saving.format} cannot hold {' and '.join(lacking)}; kohya's can",
            {"saving.format": "kohya"},
        )


@rule
def units_divide_the_rank(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    network = config.network
    if isinstance(network, DyloraConfig) and network.rank % network.unit:
        yield Problem(
            "error",
            ("network.unit", "network.rank"),
            f"the rank {network.rank} is not a multiple of the unit {network.unit}",
            {"network.unit": math.gcd(network.rank, network.unit)},
        )


@rule
def alphas_are_usable(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    for name in ("alpha", "conv_alpha"):
        value: Any = getattr(config.network, name, "auto")
        if value != "auto" and value <= 0:
            yield Problem(
                "error",
                (f"network.{name}",),
                "must be above 0; `auto` means equal to the rank",
                {f"network.{name}": "auto"},
            )
