"""The adapter: its module, its arguments, and which layers it is on."""

from __future__ import annotations

from loratory.config.network import (
    AlphaConfig,
    DyloraConfig,
    Ia3Config,
    LoraConfig,
    NetworkConfig,
    OftConfig,
    RankedConfig,
)
from loratory.config.targets import trained_text_encoders
from loratory.interop.kohya.writing.sheet import Sheet

LYCORIS = "lycoris.kohya"
_ALGORITHMS = {"lora": "locon", "diag_oft": "diag-oft"}
_LYCORIS_PRESETS = ("attn-only", "attn-mlp", "full-lin", "full", "unet-transformer-only", "unet-convblock-only", "ia3")


def _module(sheet: Sheet) -> str:
    """Their module for plain LoRA and DyLoRA; LyCORIS for what only that has."""
    network = sheet.config.network
    if isinstance(network, DyloraConfig) and sheet.has("dylora"):
        return "networks.dylora"
    if not isinstance(network, LoraConfig):
        return LYCORIS
    special = network.decompose or network.rank_stabilized or network.tucker or network.targets.norms
    return LYCORIS if special or network.targets.preset != "default" else sheet.spec.kohya_network_module


def write_network(sheet: Sheet) -> None:
    network, module = sheet.config.network, _module(sheet)
    given = sheet.network_arguments
    sheet.say("network.type", network_module=module)
    if module == LYCORIS:
        given["algo"] = _ALGORITHMS.get(network.type, network.type)
        _write_preset(sheet)
    if isinstance(network, AlphaConfig | OftConfig):
        sheet.say("network.rank", network_dim=network.rank)
    if isinstance(network, AlphaConfig):
        sheet.say("network.alpha", network_alpha=network.resolved_alpha())
    sheet.say("network.dropout", network_dropout=network.dropout or None)
    for name in ("rank_dropout", "module_dropout"):
        if value := getattr(network, name):
            if module == "networks.dylora":
                sheet.cannot(f"network.{name}", "networks.dylora of sd-scripts has none.")
            else:
                given[name] = value
                sheet.done(f"network.{name}")
    _write_parts(sheet)
    _write_kind(sheet, network, module)
    if isinstance(network, RankedConfig):
        _write_convolutions(sheet, network)
    _write_targets(sheet, module)
    if isinstance(network, LoraConfig | DyloraConfig) and network.max_weight_norm is not None:
        if module == "networks.dylora":
            sheet.cannot("network.max_weight_norm", "networks.dylora of sd-scripts has none.")
        else:
            sheet.say("network.max_weight_norm", scale_weight_norms=network.max_weight_norm)


def _write_preset(sheet: Sheet) -> None:
    """LyCORIS takes all layers, convolutions too, unless it is told otherwise."""
    network, given = sheet.config.network, sheet.network_arguments
    preset = network.targets.preset
    sheet.done("network.targets.preset")
    if preset in _LYCORIS_PRESETS:
        given["preset"] = preset
        return
    convolutions = isinstance(network, RankedConfig) and network.conv_rank is not None
    given["preset"] = "full" if convolutions else "attn-mlp"
    if convolutions or sheet.spec.objective == "flow":
        sheet.remark(
            "network.targets.preset",
            f"the layers of LyCORIS' preset {given['preset']} are not quite those of `default` here; compare the lists "
            "that both print.",
        )


def _write_parts(sheet: Sheet) -> None:
    network, trained = sheet.config.network, trained_text_encoders(sheet.spec, sheet.config.network)
    large = [name for name in trained if name in sheet.spec.large_text_encoders]
    sheet.say(
        ("network.train_denoiser", "network.train_text_encoders"),
        network_train_unet_only=True if not trained else None,
        network_train_text_encoder_only=True if not network.train_denoiser else None,
    )
    sheet.done("network.train_large_text_encoders")
    if network.train_text_encoders and not sheet.spec.trainable_text_encoders:
        sheet.cannot("network.train_text_encoders", f"{sheet.spec.title} has no such text encoder.")
    if large and sheet.has("train_t5xxl"):
        sheet.network_arguments["train_t5xxl"] = True
        if len(trained) == len(large) and sheet.spec.trainable_text_encoders:
            sheet.cannot("network.train_large_text_encoders", "sd-scripts then trains the CLIP text encoders, too.")
    sheet.say("network.start_from", network_weights=network.start_from)
    sheet.say("network.shape_from_start", dim_from_weights=network.shape_from_start or None)


_SAME = {
    "decompose": "dora_wd",
    "rank_stabilized": "rs_lora",
    "factor": "factor",
    "full_matrix": "full_matrix",
    "decompose_both": "decompose_both",
    "unbalanced": "unbalanced_factorization",
    "constraint": "constraint",
    "rescaled": "rescaled",
}
"""Options of LyCORIS by ours."""


def _write_kind(sheet: Sheet, network: NetworkConfig, module: str) -> None:
    """What single network types have."""
    given = sheet.network_arguments
    for ours, theirs in _SAME.items():
        field = type(network).model_fields.get(ours)
        if field is not None:
            sheet.done(f"network.{ours}")
            if (value := getattr(network, ours)) != field.default:
                given[theirs] = value
    if isinstance(network, DyloraConfig):
        given["unit" if module == "networks.dylora" else "block_size"] = network.unit
        sheet.done("network.unit")
    if isinstance(network, LoraConfig) and module != LYCORIS and sheet.spec.fuses_layers:
        # Theirs is one adapter for what the original model has in one layer, unless it is split.
        sheet.done("network.shared_down")
        if not network.shared_down:
            given["split_qkv"] = True
    if isinstance(network, Ia3Config):
        sheet.cannot("network.type", "LyCORIS 3.2 has lost its ia3 and stops with a KeyError.")


def _write_convolutions(sheet: Sheet, network: RankedConfig) -> None:
    given = sheet.network_arguments
    sheet.done("network.conv_alpha")
    if network.conv_rank is not None:
        if sheet.has("conv_dim"):
            given["conv_dim"], given["conv_alpha"] = network.conv_rank, network.resolved_conv_alpha()
            sheet.done("network.conv_rank")
        else:
            sheet.cannot("network.conv_rank", f"{sheet.spec.title} has no larger convolutions.")
    if network.conv_dropout is not None and network.conv_dropout != network.dropout:
        sheet.cannot("network.conv_dropout", "sd-scripts has one dropout for all layers.")
    sheet.done("network.conv_dropout")
    if network.tucker:
        given["use_tucker"] = True
    sheet.done("network.tucker")


def _write_targets(sheet: Sheet, module: str) -> None:
    targets, given = sheet.config.network.targets, sheet.network_arguments
    if targets.norms:
        given["train_norm"] = True
        sheet.done("network.targets.norms")
    if targets.blocks.strip() != "all" and module == "networks.lora_flux":
        _write_flux_blocks(sheet)
    elif targets.blocks.strip() != "all" and module == "networks.lora_sd3":
        chosen = [part.strip() for part in targets.blocks.split(",") if part.strip()]
        numbers = [part.removeprefix("joint_blocks").removeprefix(".") for part in chosen]
        if all(part.startswith("joint_blocks") for part in chosen):
            given["train_block_indices"] = ",".join(numbers) if all(numbers) else "all"
            sheet.done("network.targets.blocks")


def _write_flux_blocks(sheet: Sheet) -> None:
    """`double_blocks.0-9, single_blocks.20` as two lists of numbers."""
    chosen = [part.strip() for part in sheet.config.network.targets.blocks.split(",") if part.strip()]
    lists: dict[str, list[str]] = {"double_blocks": [], "single_blocks": []}
    for part in chosen:
        name, _, numbers = part.partition(".")
        if name not in lists:
            return
        lists[name].append(numbers or "all")
    for name, argument in (
        ("double_blocks", "train_double_block_indices"),
        ("single_blocks", "train_single_block_indices"),
    ):
        found = lists[name]
        sheet.network_arguments[argument] = "all" if "all" in found else ",".join(found) or "none"
    sheet.done("network.targets.blocks")
