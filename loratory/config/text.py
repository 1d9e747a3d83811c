"""How texts are encoded, the same for captions and for the prompts of samples."""

from __future__ import annotations

from typing import Literal

from loratory.config.architectures import names_where
from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.base import StrictModel, param


def _where(setting: str) -> tuple[str, ...]:
    return names_where(lambda spec: setting in spec.text_settings)


class TextConfig(StrictModel):
    clip_skip: int | None = param(
        None,
        ge=1,
        le=12,
        help="Which layer of the text encoder is used, counted from the last: 1 is the last, 2 the one before it, as "
        "many anime models want. Left out, the last.",
        tab="Advanced",
        group="Text",
        level="advanced",
        architectures=_where("clip_skip"),
        kohya=("clip_skip",),
        affects_cache=True,
    )
    max_token_length: Literal[75, 150, 225] = param(
        75,
        help="How many tokens of a text are read; what is longer is cut off. Above 75 the text is encoded in pieces "
        "of 75.",
        unit="tokens",
        tab="Advanced",
        group="Text",
        level="advanced",
        architectures=_where("max_token_length"),
        kohya=("max_token_length",),
        affects_cache=True,
    )
    max_tokens: int | None = param(
        None,
        ge=32,
        le=1024,
        help="How many tokens of a text the model is told at most; what is longer is cut off. Left out, as many as its "
        "own program takes, which is the most for nearly all models. Fewer save memory and time.",
        unit="tokens",
        tab="Advanced",
        group="Text",
        level="expert",
        architectures=_where("max_tokens"),
        kohya=("t5xxl_max_token_length", "gemma2_max_token_length"),
        affects_cache=True,
    )
    weighted: bool = param(
        False,
        help="Read brackets as weights: (word) counts 1.1 times, [word] 1/1.1, (word:1.3) 1.3 times. A bracket itself "
        "is written with a backslash.",
        tab="Advanced",
        group="Text",
        level="advanced",
        architectures=_where("weighted"),
        kohya=("weighted_captions",),
        affects_cache=True,
    )


def in_effect(text: TextConfig, spec: ArchitectureSpec) -> TextConfig:
    """The same with its defaults where a setting has no effect on the architecture."""
    return TextConfig(**{name: getattr(text, name) for name in spec.text_settings})
