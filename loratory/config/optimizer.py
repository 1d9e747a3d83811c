"""Every optimizer; `type` chooses one."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from loratory.config.optimizers.adaptive import (
    AdamWScheduleFreeConfig,
    DAdaptAdaGradConfig,
    DAdaptAdamConfig,
    DAdaptAdanConfig,
    DAdaptAdanIPConfig,
    DAdaptationConfig,
    DAdaptLionConfig,
    DAdaptSGDConfig,
    ProdigyConfig,
    ProdigyPlusScheduleFreeConfig,
    RAdamScheduleFreeConfig,
)
from loratory.config.optimizers.usual import (
    AdafactorConfig,
    AdamW8bitConfig,
    AdamWConfig,
    AdanConfig,
    AdEMAMix8bitConfig,
    AdEMAMixConfig,
    AutomagicConfig,
    CAMEConfig,
    CustomConfig,
    Lion8bitConfig,
    LionConfig,
    MuonConfig,
    PagedAdamW8bitConfig,
    PagedAdamW32bitConfig,
    PagedLion8bitConfig,
    SGD8bitConfig,
    SGDConfig,
)

OptimizerConfig = Annotated[
    AdamWConfig
    | AdamW8bitConfig
    | PagedAdamW8bitConfig
    | PagedAdamW32bitConfig
    | LionConfig
    | Lion8bitConfig
    | PagedLion8bitConfig
    | SGDConfig
    | SGD8bitConfig
    | AdafactorConfig
    | CAMEConfig
    | AdanConfig
    | AdEMAMixConfig
    | AdEMAMix8bitConfig
    | MuonConfig
    | ProdigyConfig
    | ProdigyPlusScheduleFreeConfig
    | AdamWScheduleFreeConfig
    | RAdamScheduleFreeConfig
    | DAdaptationConfig
    | DAdaptAdamConfig
    | DAdaptAdaGradConfig
    | DAdaptAdanConfig
    | DAdaptAdanIPConfig
    | DAdaptSGDConfig
    | DAdaptLionConfig
    | AutomagicConfig
    | CustomConfig,
    Field(discriminator="type"),
]

__all__ = [
    "AdEMAMix8bitConfig",
    "AdEMAMixConfig",
    "AdafactorConfig",
    "AdamW8bitConfig",
    "AdamWConfig",
    "AdamWScheduleFreeConfig",
    "AdanConfig",
    "AutomagicConfig",
    "CAMEConfig",
    "CustomConfig",
    "DAdaptAdaGradConfig",
    "DAdaptAdamConfig",
    "DAdaptAdanConfig",
    "DAdaptAdanIPConfig",
    "DAdaptLionConfig",
    "DAdaptSGDConfig",
    "DAdaptationConfig",
    "Lion8bitConfig",
    "LionConfig",
    "MuonConfig",
    "OptimizerConfig",
    "PagedAdamW8bitConfig",
    "PagedAdamW32bitConfig",
    "PagedLion8bitConfig",
    "ProdigyConfig",
    "ProdigyPlusScheduleFreeConfig",
    "RAdamScheduleFreeConfig",
    "SGD8bitConfig",
    "SGDConfig",
]
