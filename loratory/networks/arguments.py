"""A network in kohya's words: the module and its arguments, as files name them in their header."""

from __future__ import annotations

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.network import AlphaConfig, LoraConfig, NetworkConfig, RankedConfig
from loratory.networks.state import State

_ALGORITHMS = {"lora": "locon", "diag_oft": "diag-oft"}
_ARGUMENTS = {
    "conv_rank": "conv_dim",
    "tucker": "use_tucker",
    "rank_stabilized": "rs_lora",
    "decompose": "dora_wd",
    "factor": "factor",
    "full_matrix": "full_matrix",
    "decompose_both": "decompose_both",
    "unbalanced": "unbalanced_factorization",
    "unit": "unit",
    "constraint": "constraint",
    "rescaled": "rescaled",
    "rank_dropout": "rank_dropout",
    "module_dropout": "module_dropout",
}


def network_module(spec: ArchitectureSpec, config: NetworkConfig) -> str:
    """kohya's own module for plain LoRA and DyLoRA, LyCORIS for what only that has."""
    if config.type == "dylora" and spec.kohya_names == "diffusers":
        return "networks.dylora"
    special = config.targets.norms or (
        isinstance(config, LoraConfig) and (config.decompose or config.rank_stabilized or config.tucker)
    )
    return spec.kohya_network_module if config.type == "lora" and not special else "lycoris.kohya"


def network_arguments(spec: ArchitectureSpec, config: NetworkConfig) -> dict[str, object]:
    """kohya's network_args: what differs from the defaults, and for LyCORIS the algorithm."""
    arguments: dict[str, object] = {}
    if network_module(spec, config) == "lycoris.kohya":
        arguments["algo"] = _ALGORITHMS.get(config.type, config.type)
    for ours, theirs in _ARGUMENTS.items():
        field = type(config).model_fields.get(ours)
        if field is not None and getattr(config, ours) != field.default:
            arguments[theirs] = getattr(config, ours)
    if isinstance(config, RankedConfig) and config.conv_rank is not None:
        arguments["conv_alpha"] = config.resolved_conv_alpha()
    if config.targets.norms:
        arguments["train_norm"] = True
    return arguments


def rank_and_alpha(config: NetworkConfig) -> tuple[int | None, float | None]:
    """What `ss_network_dim` and `ss_network_alpha` say; None where the type has none."""
    rank: int | None = getattr(config, "rank", None)
    return rank, config.resolved_alpha() if isinstance(config, AlphaConfig) else None


def rank_and_alpha_of(state: State) -> tuple[int | None, float | None]:
    """The same of LoRA layers that were made from a file; None where they differ, or are none."""
    pairs = {(len(layer["down"]), float(layer["alpha"])) for layer in state.values() if "down" in layer}
    return pairs.pop() if len(pairs) == 1 else (None, None)
