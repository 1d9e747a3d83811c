"""The adapter that is trained: one class per network type, and what all of them have."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from loratory.config.architectures import names_where
from loratory.config.base import StrictModel, param

Alpha = float | Literal["auto"]

WITH_CONVOLUTIONS = names_where(lambda spec: spec.convolution_groups)
WITH_FUSED_LAYERS = names_where(lambda spec: spec.fuses_layers)
WITH_LARGE_TEXT_ENCODERS = names_where(lambda spec: spec.large_text_encoders)

TargetSet = Literal[
    "default", "attn-only", "attn-mlp", "full-lin", "full", "unet-transformer-only", "unet-convblock-only", "ia3"
]


def _field(default: Any = ..., **facts: Any) -> Any:
    return param(default, tab="LoRA", **{"on_resume": "forbid", **facts})


class TargetsConfig(StrictModel):
    """Which layers of the model get an adapter."""

    preset: TargetSet = _field(
        "default", group="Layers", level="advanced",
        help="A set of layers: `default` is what kohya's trainer takes (attention, MLP and what lies between, and the "
        "convolutions once conv_rank is set); the others are LyCORIS' presets.",
        kohya=("network_args.preset",),
    )  # fmt: skip
    only_if_contains: tuple[str, ...] = _field(
        (), group="Layers", level="advanced",
        help="Only layers whose path contains one of these; a text between slashes is a regular expression.",
        aitoolkit=("network.network_kwargs.only_if_contains",), kohya=("network_args.include_patterns",),
    )  # fmt: skip
    ignore_if_contains: tuple[str, ...] = _field(
        (), group="Layers", level="advanced",
        help="No layers whose path contains one of these, whatever else says so; /…/ is a regular expression.",
        aitoolkit=("network.network_kwargs.ignore_if_contains",), kohya=("network_args.exclude_patterns",),
    )  # fmt: skip
    also_if_contains: tuple[str, ...] = _field(
        (), group="Layers", level="expert",
        help="Further layers, outside of the set, whose path contains one of these; /…/ is a regular expression.",
        kohya=("network_args.in_dims",),
    )  # fmt: skip
    full_if_contains: tuple[str, ...] = _field(
        (), group="Layers", level="expert",
        help="Layers whose path contains one of these are trained in full, as a difference; /…/ is a regular "
        "expression.",
        aitoolkit=("network.network_kwargs.full_if_contains",),
    )  # fmt: skip
    blocks: str = _field(
        "all", group="Blocks", level="advanced",
        help="Blocks of the denoiser that are trained: all, or names and ranges such as `double_blocks.0-9, "
        "single_blocks.20`; `loratory network preview` lists the names.",
        kohya=("network_args.train_double_block_indices", "network_args.train_single_block_indices"),
    )  # fmt: skip
    block_ranks: dict[str, int] = _field(
        {}, group="Blocks", level="expert",
        help="Another rank for blocks, by name or range; 0 leaves them out.", kohya=("network_args.block_dims",),
    )  # fmt: skip
    block_alphas: dict[str, float] = _field(
        {}, group="Blocks", level="expert",
        help="Another alpha for blocks, by name or range.", kohya=("network_args.block_alphas",),
    )  # fmt: skip
    layer_ranks: dict[str, int] = _field(
        {}, group="Layers", level="expert",
        help="Another rank for layers whose path contains the key; the first that fits counts, 0 leaves them out; "
        "/…/ is a regular expression.",
        kohya=("network_args.network_reg_dims",),
    )  # fmt: skip
    norms: bool = _field(
        False, group="Layers", level="expert", help="Also train the scales and shifts of normalisation layers.",
        kohya=("network_args.train_norm",),
    )  # fmt: skip


class NetworkBase(StrictModel):
    """What every network type has."""

    dropout: float = param(
        0.0, ge=0, lt=1, tab="LoRA", group="Network", level="advanced",
        help="Share of the inner activations set to zero in each step, against overfitting.",
        kohya=("network_dropout",), aitoolkit=("network.dropout",),
    )  # fmt: skip
    rank_dropout: float = param(
        0.0, ge=0, lt=1, tab="LoRA", group="Network", level="expert",
        help="Share of the ranks switched off for each picture in each step.", kohya=("network_args.rank_dropout",),
        aitoolkit=("network.network_kwargs.rank_dropout",),
    )  # fmt: skip
    module_dropout: float = param(
        0.0, ge=0, lt=1, tab="LoRA", group="Network", level="expert",
        help="Share of the adapters left out in each step.", kohya=("network_args.module_dropout",),
        aitoolkit=("network.network_kwargs.module_dropout",),
    )  # fmt: skip
    targets: TargetsConfig = param(TargetsConfig(), tab="LoRA", group="Layers", help="Which layers are trained.")
    train_denoiser: bool = _field(
        True, group="What is trained", help="Train the UNet or transformer.",
        kohya=("network_train_text_encoder_only",),
    )  # fmt: skip
    train_text_encoders: bool = _field(
        False, group="What is trained",
        help="Also train the CLIP text encoders. Captions are then encoded in every step instead of once.",
        kohya=("network_train_unet_only",), aitoolkit=("train.train_text_encoder",),
    )  # fmt: skip
    train_large_text_encoders: bool = _field(
        False, group="What is trained", level="expert", architectures=WITH_LARGE_TEXT_ENCODERS,
        help="Also train the T5 text encoder: much memory, and captions are encoded in every step.",
        kohya=("network_args.train_t5xxl",),
    )  # fmt: skip
    start_from: str | None = param(
        None, path=True, tab="LoRA", group="Network", level="advanced", owner="job",
        help="A LoRA file whose weights training starts from. Another rank is padded or cut, and said. Other than a "
        ".safetensors file it needs model.allow_pickle.",
        kohya=("network_weights",), aitoolkit=("network.pretrained_lora_path",),
    )  # fmt: skip
    shape_from_start: bool = _field(
        False, group="Network", level="expert",
        help="Take the layers, ranks and alphas from start_from, too, instead of from the settings here.",
        kohya=("dim_from_weights",),
        owner="subject",
    )  # fmt: skip

    def has_dropout(self) -> bool:
        return bool(self.dropout or self.rank_dropout or self.module_dropout)


class AlphaConfig(NetworkBase):
    """What types whose strength is alpha divided by rank have."""

    rank: int = _field(
        16, ge=1, le=1024, group="Network",
        help="Rank of the small matrices: how much the adapter can hold. 8 to 32 is usual.",
        kohya=("network_dim",), aitoolkit=("network.linear",),
    )  # fmt: skip
    alpha: Alpha = _field(
        "auto", group="Network",
        help="Strength is alpha divided by rank. `auto` means alpha = rank, that is strength 1.",
        kohya=("network_alpha",), aitoolkit=("network.linear_alpha",),
    )  # fmt: skip

    def resolved_alpha(self) -> float:
        return float(self.rank) if self.alpha == "auto" else self.alpha


class RankedConfig(AlphaConfig):
    """What types have that can adapt larger convolutions with a rank of their own."""

    conv_rank: int | None = _field(
        None, ge=1, le=1024, group="Network", level="advanced", architectures=WITH_CONVOLUTIONS,
        help="Rank for the 3×3 convolutions. Left out, convolutions are not trained.",
        kohya=("network_args.conv_dim",), aitoolkit=("network.conv",),
    )  # fmt: skip
    conv_alpha: Alpha = _field(
        "auto", group="Network", level="advanced", architectures=WITH_CONVOLUTIONS,
        help="Like alpha, for the convolutions.", kohya=("network_args.conv_alpha",), aitoolkit=("network.conv_alpha",),
    )  # fmt: skip
    conv_dropout: float | None = param(
        None, ge=0, lt=1, tab="LoRA", group="Network", level="expert", architectures=WITH_CONVOLUTIONS,
        help="Like dropout, for the convolutions. Left out, the same.",
    )  # fmt: skip
    tucker: bool = _field(
        False, group="Network", level="expert", architectures=WITH_CONVOLUTIONS,
        help="Tucker decomposition of the 3×3 convolutions: a small core between two matrices, fewer numbers.",
        kohya=("network_args.use_tucker",),
    )  # fmt: skip

    def resolved_conv_alpha(self) -> float:
        return float(self.conv_rank or 0) if self.conv_alpha == "auto" else self.conv_alpha


def _decompose() -> Any:
    return _field(
        False, group="Network", level="advanced",
        help="DoRA: learn each output's length apart from its direction. Slower, often closer to full training.",
        kohya=("network_args.dora_wd",),
    )  # fmt: skip


def _max_weight_norm() -> Any:
    return param(
        None, gt=0, le=1000, tab="LoRA", group="Network", level="expert",
        help="After each step every layer's change of its weight is shortened to at most this length; 1 is usual. "
        "Against a LoRA that burns pictures.",
        kohya=("scale_weight_norms",),
    )  # fmt: skip


def _type(name: str) -> Any:
    return _field(
        name, group="Network", help="The network type.", kohya=("network_module",), aitoolkit=("network.type",)
    )


class LoraConfig(RankedConfig):
    """Low-rank adaptation of Linear and, if asked, Conv2d layers."""

    type: Literal["lora"] = _type("lora")
    decompose: bool = _decompose()
    rank_stabilized: bool = _field(
        False, group="Network", level="expert",
        help="Divide alpha by the root of the rank (rs-LoRA), so that high ranks keep learning.",
        kohya=("network_args.rs_lora",),
    )  # fmt: skip
    shared_down: bool = _field(
        False, group="Network", level="expert", architectures=WITH_FUSED_LAYERS,
        help="One down matrix for layers that the original model has in one (q, k and v of Flux), as in kohya's "
        "trainer; smaller files, and less room.",
        kohya=("network_args.split_qkv",),
    )  # fmt: skip
    max_weight_norm: float | None = _max_weight_norm()
    initialization: Literal["default", "pissa"] = _field(
        "default", group="Network", level="expert",
        help="What training starts from: `default` is random and nothing, `pissa` the base model's main directions.",
    )  # fmt: skip


class DyloraConfig(AlphaConfig):
    """A LoRA that also works when it is cut to a smaller rank."""

    type: Literal["dylora"] = _type("dylora")
    rank: int = _field(
        16, ge=1, le=1024, group="Network", help="The largest rank.", kohya=("network_dim",),
        aitoolkit=("network.linear",),
    )  # fmt: skip
    max_weight_norm: float | None = _max_weight_norm()
    unit: int = _field(
        4, ge=1, le=1024, group="Network", help="Ranks that are trained together; it divides the rank.",
        kohya=("network_args.unit",),
    )  # fmt: skip


class LohaConfig(RankedConfig):
    """LoHa: the elementwise product of two low-rank changes."""

    type: Literal["loha"] = _type("loha")
    rank: int = _field(
        4, ge=1, le=1024, group="Network", help="Rank of each of the two changes; their product's can be its square.",
        kohya=("network_dim",), aitoolkit=("network.linear",),
    )  # fmt: skip
    decompose: bool = _decompose()


class LokrConfig(RankedConfig):
    """LoKr: a Kronecker product of a small and a larger matrix; very small files."""

    type: Literal["lokr"] = _type("lokr")
    decompose: bool = _decompose()
    factor: int = _field(
        -1, ge=-1, le=1024, group="Network",
        help="Size of the small matrix; -1 makes the two as even as possible. 4 to 16 gives more room.",
        kohya=("network_args.factor",), aitoolkit=("network.lokr_factor",),
    )  # fmt: skip
    full_matrix: bool = _field(
        False, group="Network", help="Train both matrices in full; rank and alpha then have no effect.",
        kohya=("network_args.full_matrix",), aitoolkit=("network.lokr_full_rank",),
    )  # fmt: skip
    decompose_both: bool = _field(
        False, group="Network", level="expert", help="A low-rank product for the small matrix, too.",
        kohya=("network_args.decompose_both",),
    )  # fmt: skip
    unbalanced: bool = _field(
        False, group="Network", level="expert", help="Let the small matrix have the larger half of the outputs.",
        kohya=("network_args.unbalanced_factorization",),
    )  # fmt: skip


class GloraConfig(RankedConfig):
    """GLoRA: a low-rank change, and a low-rank map of the frozen weight's inputs."""

    type: Literal["glora"] = _type("glora")
    rank: int = _field(
        8, ge=1, le=1024, group="Network", help="Rank of both parts.", kohya=("network_dim",),
        aitoolkit=("network.linear",),
    )  # fmt: skip


class Ia3Config(NetworkBase):
    """(IA)³: one factor per output or input; the smallest files of all."""

    type: Literal["ia3"] = _type("ia3")
    targets: TargetsConfig = param(
        TargetsConfig(preset="ia3"), tab="LoRA", group="Layers",
        help="Which layers are trained; `ia3` means keys, values and the second layer of each MLP.",
    )  # fmt: skip
    train_on_input: tuple[str, ...] = _field(
        (r"ff\.net\.2$", r"ff_context\.net\.2$", r"mlp\.fc2$", r"feed_forward\.linear_2$"),
        group="Network", level="expert",
        help="Layers whose path matches one of these regular expressions get factors for their inputs.",
    )  # fmt: skip


class OftConfig(NetworkBase):
    """What the two types that turn a layer's outputs have."""

    rank: int = _field(
        8, ge=2, le=1024, group="Network", help="Size of the blocks of outputs that are turned together.",
        kohya=("network_dim",), aitoolkit=("network.linear",),
    )  # fmt: skip
    constraint: float = _field(
        0.0, ge=0, le=1, group="Network", level="advanced",
        help="Limit of the turn, times the number of outputs; 0 means none.", kohya=("network_args.constraint",),
    )  # fmt: skip
    rescaled: bool = _field(
        False, group="Network", level="expert", help="Also learn a factor for each output.",
        kohya=("network_args.rescaled",),
    )  # fmt: skip


class DiagOftConfig(OftConfig):
    """Diag-OFT: outputs are turned in blocks; lengths and angles inside a block stay."""

    type: Literal["diag_oft"] = _type("diag_oft")


class BoftConfig(OftConfig):
    """BOFT: outputs are turned in several rounds of small blocks."""

    type: Literal["boft"] = _type("boft")


class FullConfig(NetworkBase):
    """Every number of the layers, stored as a difference: much memory, large files."""

    type: Literal["full"] = _type("full")


NetworkConfig = Annotated[
    LoraConfig | DyloraConfig | LohaConfig | LokrConfig | GloraConfig | Ia3Config | DiagOftConfig | BoftConfig
    | FullConfig,
    Field(discriminator="type"),
]  # fmt: skip
