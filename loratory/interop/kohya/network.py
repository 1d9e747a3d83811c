"""The adapter: network_module and network_args, and which parts of the model it is trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from loratory.config.architectures import get_spec
from loratory.config.load import parse
from loratory.config.network_preview import model_layers
from loratory.config.targets import blocks_of, select
from loratory.errors import UserError
from loratory.interop.imported import NoteLevel
from loratory.interop.kohya.arguments import Decision
from loratory.interop.kohya.blocks import read_block_ranks, read_block_rates, read_layer_ranks
from loratory.interop.kohya.model import caches_texts
from loratory.interop.kohya.names import number, pairs
from loratory.interop.kohya.reading import DDPM, DIT, Reading

# Module -> our type. The seven for single architectures differ in what they take, not in what they are.
MODULES: Mapping[str, str] = {
    "networks.lora": "lora", "networks.lora_fa": "lora", "networks.lora_flux": "lora", "networks.lora_sd3": "lora",
    "networks.lora_lumina": "lora", "networks.dylora": "dylora", "networks.loha": "loha", "networks.lokr": "lokr",
    "networks.oft": "diag_oft", "networks.oft_flux": "diag_oft",
}  # fmt: skip
ALGORITHMS: Mapping[str, str] = {
    "lora": "lora", "locon": "lora", "loha": "loha", "lokr": "lokr", "ia3": "ia3", "dylora": "dylora", "glora": "glora",
    "full": "full", "diag-oft": "diag_oft", "boft": "boft",
}  # fmt: skip
LYCORIS = ("lycoris.kohya", "locon.locon_kohya")

_LARGEST = 1024
"""Ranks above this are none."""
_WITH_ALPHA = ("lora", "dylora", "loha", "lokr", "glora")
_RANKED = ("lora", "loha", "lokr", "glora")

_NAMES = "layers are called otherwise here; see network.targets.layer_ranks"

NETWORK_DECISIONS: Mapping[str, Decision] = {
    **{
        name: Decision("composed", "network")
        for name in (
            "conv_dim conv_alpha rank_dropout module_dropout dropout loraplus_lr_ratio loraplus_unet_lr_ratio "
            "loraplus_text_encoder_lr_ratio block_dims block_alphas conv_block_dims conv_block_alphas down_lr_weight "
            "mid_lr_weight up_lr_weight block_lr_zero_threshold img_attn_dim txt_attn_dim img_mlp_dim txt_mlp_dim "
            "img_mod_dim txt_mod_dim single_dim single_mod_dim in_dims train_double_block_indices "
            "train_single_block_indices train_blocks split_qkv train_t5xxl context_attn_dim context_mlp_dim "
            "context_mod_dim x_attn_dim x_mlp_dim x_mod_dim emb_dims train_block_indices attn_dim mlp_dim mod_dim "
            "refiner_dim embedder_dims unit algo preset factor decompose_both use_tucker use_cp train_norm dora_wd "
            "block_size constraint rescaled rs_lora full_matrix unbalanced_factorization"
        ).split()
    },
    "ggpo_sigma": Decision("unsupported", "noise on the weights (GGPO) cannot be added here"),
    "ggpo_beta": Decision("unsupported", "noise on the weights (GGPO) cannot be added here"),
    "network_reg_dims": Decision("unsupported", _NAMES),
    "network_reg_lrs": Decision("unsupported", "layers have no rate of their own by pattern; blocks have: "
                                "optimizer.block_rate_factors"),
    "verbose": Decision("ignored", "`loratory network preview` lists the layers"),
    "train_llm_adapter": Decision("unsupported", "belongs to Anima, which cannot be trained here"),
    "exclude_patterns": Decision("unsupported", "layers are called otherwise here; see targets.ignore_if_contains"),
    "include_patterns": Decision("unsupported", "layers are called otherwise here; see targets.only_if_contains"),
    "enable_all_linear": Decision("unsupported", "see network.targets.preset for what is turned"),
    "enable_conv": Decision("unsupported", "see network.targets.preset for what is turned"),
    "use_scalar": Decision("unsupported", "adapters start at nothing by a zero matrix here, not by a factor"),
    "bypass_mode": Decision("ignored", "changes how a step is computed, not what is learned"),
    "rank_dropout_scale": Decision("dead", "is not read by LyCORIS"),
    "train_on_input": Decision("dead", "only a preset's file can say it in LyCORIS"),
    "wd_on_output": Decision("unsupported", "DoRA's lengths are those of outputs here",
                             nothing=("True", "true", "1", "")),
}  # fmt: skip
_DEFAULT_TEXTS = ("", "0", "0.0", "False", "false", "None", "none")


def read_network(reading: Reading) -> None:
    reading.network_args = _arguments(reading)
    kind = _kind(reading)
    reading.set("network.type", kind)
    rank = reading.take("network_dim") or 4
    _sizes(reading, kind, rank)
    _dropouts(reading)
    _parts(reading)
    if kind == "lora" and reading.architecture in DIT and _module(reading) not in LYCORIS:
        reading.set("network.shared_down", not reading.take_network("split_qkv", bool, False))
    read_block_ranks(reading, rank)
    read_layer_ranks(reading)
    start = reading.take("network_weights")
    if start:
        reading.set("network.start_from", reading.path(str(start)))
    if reading.take("dim_from_weights", False):
        reading.set("network.shape_from_start", True)
    limit = reading.take("scale_weight_norms", 0.0)
    if limit and kind in ("lora", "dylora") and _module(reading) != "networks.dylora":
        reading.set("network.max_weight_norm", limit)
    elif limit:
        reading.note("dead", "scale_weight_norms", f"has no effect on {_module(reading)} in sd-scripts")


def read_block_weights(reading: Reading) -> None:
    """Rates of blocks; after the optimizer, whose section they are in."""
    if reading.architecture in DDPM:
        read_block_rates(reading, lambda: _trained_blocks(reading))
    report_network_rest(reading)


def _trained_blocks(reading: Reading) -> set[str]:
    """The blocks of the usual model in which the job, as far as it is read, trains something."""
    spec = get_spec(reading.architecture or "sd15")
    config = parse({"name": "x", "model": {"path": "x"}, "datasets": [{"path": "x"}],
                    "network": reading.data["network"]}, reading.given.source)  # fmt: skip
    layers = model_layers(spec, None)
    blocks = blocks_of(spec, layers)
    return {blocks[target.layer.path] for target in select(spec, layers, config.network) if target.layer.path in blocks}


def _arguments(reading: Reading) -> dict[str, str]:
    """network_args as texts by name. Raises UserError for one that is not key=value."""
    given = reading.take("network_args", [])
    if isinstance(given, Mapping):
        return {str(name): _text(value) for name, value in given.items()}
    found: dict[str, str] = {}
    for part in pairs(given):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise UserError(f"{reading.where('network_args')}: {part!r} must be written as name=value.")
        found[name.strip()] = value.strip().strip("\"'")
    return found


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _module(reading: Reading) -> str:
    return str(reading.peek("network_module") or "networks.lora")


def _kind(reading: Reading) -> str:
    """Our type of network. Raises UserError for a module or an algorithm that is not here."""
    module = reading.take("network_module")
    if not module:
        reading.note("mapped", "network_module", "is not given, which sd-scripts would not survive; LoRA is trained")
        module = "networks.lora"
    if module in LYCORIS:
        algorithm = reading.take_network("algo", str, "lora").lower()
        if algorithm not in ALGORITHMS:
            raise UserError(
                f"{reading.where('network_args')}: algo {algorithm!r} is not here; there are {', '.join(ALGORITHMS)}."
            )
        return ALGORITHMS[algorithm]
    if module not in MODULES:
        known = ", ".join((*MODULES, "lycoris.kohya"))
        raise UserError(f"{reading.where('network_module')} {module!r} is not here; there are {known}.")
    if module == "networks.lora_fa":
        reading.note("unsupported", "network_module", "the down matrix is trained, too, and not frozen as in LoRA-FA")
    return MODULES[module]


def _sizes(reading: Reading, kind: str, rank: int) -> None:
    alpha, lycoris = reading.take("network_alpha", 1.0), _module(reading) in LYCORIS
    if _module(reading) in ("networks.oft", "networks.oft_flux"):
        reading.note("unsupported", "network_dim", "is a number of blocks there and the size of a block here, which "
                     "has its usual value; set network.rank")  # fmt: skip
        reading.set("network.constraint", min(alpha, 1.0))
        return
    if kind == "lokr" and rank > _LARGEST:
        # People give such a number so that nothing is decomposed; without that there is neither rank nor alpha.
        reading.set("network.full_matrix", True)
        reading.note("mapped", "network_dim", f"{rank} means that no matrix is decomposed: network.full_matrix")
        _lycoris(reading, kind)
        reading.set("network.factor", reading.take_network("factor", int, -1))
        if reading.architecture in DDPM and reading.take_network("conv_dim", int, rank):
            reading.set("network.conv_rank", 16)
        return
    if kind not in ("ia3", "full"):
        reading.set("network.rank", rank)
    if kind in _WITH_ALPHA:
        reading.set("network.alpha", alpha or "auto")
    elif reading.has("network_alpha"):
        reading.note("dead", "network_alpha", f"has no effect on {kind}")
    _convolutions(reading, kind, rank, alpha)
    if lycoris:
        _lycoris(reading, kind)
    if kind == "dylora":
        name, usual = ("block_size", 4) if lycoris else ("unit", 1)
        reading.set("network.unit", reading.take_network(name, int, usual))
    if kind == "lokr":
        reading.set("network.factor", reading.take_network("factor", int, -1))
    if kind in _RANKED and (
        reading.take_network("use_tucker", bool, False) | reading.take_network("use_cp", bool, False)
    ):
        reading.set("network.tucker", True)


def _convolutions(reading: Reading, kind: str, rank: int, alpha: float) -> None:
    """LyCORIS trains the 3x3 convolutions unless it is told not to, sd-scripts' own modules only if they are."""
    lycoris, has_any = _module(reading) in LYCORIS, reading.architecture in DDPM
    dim = reading.take_network("conv_dim", int, rank if lycoris else None)
    conv_alpha = reading.take_network("conv_alpha", float, alpha if lycoris else 1.0)
    if kind not in _RANKED:
        if "conv_dim" in reading.network_args and dim:
            reading.note("dead" if kind in ("ia3", "full") else "unsupported", "network_args.conv_dim",
                         f"convolutions have no rank of their own with {kind}")  # fmt: skip
        return
    if not has_any:
        if "conv_dim" in reading.network_args and dim:
            reading.note("dead", "network_args.conv_dim", f"{reading.trainer} has no 3x3 convolutions")
        return
    if dim:
        reading.set("network.conv_rank", dim)
        reading.set("network.conv_alpha", conv_alpha or "auto")


def _lycoris(reading: Reading, kind: str) -> None:
    preset = reading.take_network("preset", str, "full") or "full"
    without_convolutions = reading.take_network("conv_dim", int) == 0
    if preset.endswith(".toml"):
        reading.note("unsupported", "network_args.preset", "a preset's file is not read; see network.targets")
        preset = "full"
    if preset == "full" and without_convolutions:
        preset = "full-lin"
    if kind != "ia3" or preset != "full":
        reading.set("network.targets.preset", preset)
    if kind == "ia3":
        reading.note(
            "mapped", "network_args.algo", "ia3 is missing in LyCORIS 3.2, which would stop; here it is trained"
        )
    if reading.take_network("train_norm", bool, False):
        reading.set("network.targets.norms", True)
    flags = {
        "lora": {"dora_wd": "decompose", "rs_lora": "rank_stabilized"},
        "loha": {"dora_wd": "decompose"},
        "lokr": {"dora_wd": "decompose", "decompose_both": "decompose_both", "full_matrix": "full_matrix",
                 "unbalanced_factorization": "unbalanced"},
        "diag_oft": {"rescaled": "rescaled"},
        "boft": {"rescaled": "rescaled"},
    }  # fmt: skip
    for name, field in flags.get(kind, {}).items():
        if reading.take_network(name, bool, False):
            reading.set(f"network.{field}", True)
    if kind in ("diag_oft", "boft"):
        reading.set("network.constraint", min(reading.take_network("constraint", float, 0.0), 1.0))


def _dropouts(reading: Reading) -> None:
    own = reading.take_network("dropout", float, 0.0)
    if own and not reading.has("network_dropout"):
        reading.set("network.dropout", own)
    for name in ("rank_dropout", "module_dropout"):
        value = reading.take_network(name, float, 0.0)
        if value:
            reading.set(f"network.{name}", value)


def _parts(reading: Reading) -> None:
    """What is trained: everything with a rate, unless one of two switches leaves a part out."""
    only_denoiser = reading.take("network_train_unet_only", False)
    only_texts = reading.take("network_train_text_encoder_only", False)
    learning_rate = reading.peek("learning_rate", 2e-6)
    denoiser_rate = reading.peek("unet_lr", learning_rate)
    # The trainers of Stable Diffusion look at the first number alone, those of Flux and SD3 at CLIP's, then T5's.
    clips = 2 if reading.architecture == "sd3" else 1
    rates = text_rates(reading)
    large_rate = rates[min(clips, len(rates) - 1)]
    rates = rates[:clips]
    reading.set("network.train_denoiser", not only_texts and denoiser_rate != 0)
    texts = not only_denoiser and any(rates)
    if reading.architecture in DDPM or reading.architecture in ("flux1", "sd3"):
        if caches_texts(reading) and texts and reading.architecture in DDPM:
            reading.note("unsupported", "cache_text_encoder_outputs",
                         "captions are encoded anew in every step, since their encoders are trained; sd-scripts would "
                         "refuse this")  # fmt: skip
        reading.set("network.train_text_encoders", texts)
    large = reading.take_network("train_t5xxl", bool, False) and not only_denoiser and large_rate != 0
    if reading.architecture == "lumina2":  # Gemma is always trained there, unless its outputs are cached
        large = texts and not caches_texts(reading)
    if large and reading.architecture in DIT:
        reading.set("network.train_large_text_encoders", True)
    if only_denoiser and reading.has("text_encoder_lr") and any(rates):
        reading.note("dead", "text_encoder_lr", "has no effect, since network_train_unet_only is on")


def text_rates(reading: Reading) -> list[float]:
    """The text encoders' rates, in the trainer's order; one for all of them where only one is given."""
    given = reading.peek("text_encoder_lr")
    if given is None or given == []:
        return [reading.peek("learning_rate", 2e-6)]
    return [number(each, reading.where("text_encoder_lr")) for each in given]


def report_network_rest(reading: Reading) -> None:
    """A note for every entry of network_args."""
    for name, text in reading.network_args.items():
        key = f"network_args.{name}"
        if any(note.key == reading.key(key) for note in reading.notes):
            continue
        decision = NETWORK_DECISIONS.get(name)
        if key in reading.taken:
            reading.note("mapped", key)
        elif text in _DEFAULT_TEXTS or (decision is not None and text in decision.nothing):
            reading.note("default", key)
        elif decision is None:
            reading.note("unknown", key, "no network of sd-scripts or LyCORIS that is known here takes it")
        elif decision.how == "composed":
            reading.note("dead", key, f"has no effect on {_module(reading)} and {reading.trainer}")
        else:
            reading.note(cast(NoteLevel, decision.how), key, decision.say)
