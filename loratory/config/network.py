"""The adapter that is trained."""

from __future__ import annotations

from typing import Literal

from loratory.config.base import StrictModel, param


class LoraConfig(StrictModel):
    """Low-rank adaptation of Linear and, if asked, Conv2d layers."""

    type: Literal["lora"] = param(
        "lora", help="The network type.", tab="LoRA", group="Network", kohya=("network_module",),
        aitoolkit=("network.type",), on_resume="forbid",
    )  # fmt: skip
    rank: int = param(
        16,
        ge=1,
        le=1024,
        help="Rank of the two small matrices: how much the adapter can hold. 8 to 32 is usual.",
        tab="LoRA",
        group="Network",
        kohya=("network_dim",),
        aitoolkit=("network.linear",),
        on_resume="forbid",
    )
    alpha: float | Literal["auto"] = param(
        "auto",
        help="Strength is alpha divided by rank. `auto` means alpha = rank, that is strength 1.",
        tab="LoRA",
        group="Network",
        kohya=("network_alpha",),
        aitoolkit=("network.linear_alpha",),
        on_resume="forbid",
    )
    conv_rank: int | None = param(
        None,
        ge=1,
        le=1024,
        help="Rank for the 3×3 convolutions. Left out, convolutions are not trained.",
        tab="LoRA",
        group="Network",
        level="advanced",
        architectures=("sd15", "sdxl"),
        kohya=("network_args.conv_dim",),
        aitoolkit=("network.conv",),
        on_resume="forbid",
    )
    conv_alpha: float | Literal["auto"] = param(
        "auto",
        help="Like alpha, for the convolutions.",
        tab="LoRA",
        group="Network",
        level="advanced",
        architectures=("sd15", "sdxl"),
        kohya=("network_args.conv_alpha",),
        aitoolkit=("network.conv_alpha",),
        on_resume="forbid",
    )
    dropout: float = param(
        0.0,
        ge=0,
        lt=1,
        help="Share of the rank activations set to zero in each step, against overfitting.",
        tab="LoRA",
        group="Network",
        level="advanced",
        kohya=("network_dropout",),
        aitoolkit=("network.dropout",),
    )
    train_denoiser: bool = param(
        True,
        help="Train the UNet or transformer.",
        tab="LoRA",
        group="What is trained",
        kohya=("network_train_text_encoder_only",),
        on_resume="forbid",
    )
    train_text_encoders: bool = param(
        False,
        help="Also train the CLIP text encoders. Captions are then encoded in every step instead of once.",
        tab="LoRA",
        group="What is trained",
        kohya=("network_train_unet_only",),
        aitoolkit=("train.train_text_encoder",),
        on_resume="forbid",
    )
    start_from: str | None = param(
        None,
        path=True,
        help="A LoRA file (.safetensors) whose weights training starts from. Ranks must be the same.",
        tab="LoRA",
        group="Network",
        level="advanced",
        owner="job",
        kohya=("network_weights",),
        aitoolkit=("network.pretrained_lora_path",),
    )

    def resolved_alpha(self) -> float:
        return float(self.rank) if self.alpha == "auto" else self.alpha

    def resolved_conv_alpha(self) -> float:
        return float(self.conv_rank or 0) if self.conv_alpha == "auto" else self.conv_alpha
