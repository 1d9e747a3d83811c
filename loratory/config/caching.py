"""Keeping encoded pictures and captions."""

from __future__ import annotations

from typing import Literal

from loratory.config.base import StrictModel, param

CacheMode = Literal["off", "memory", "disk"]


class CachingConfig(StrictModel):
    """Pictures and captions are encoded once. A cache is addressed by its content, so a stale one cannot be used."""

    latents: CacheMode = param(
        "disk",
        help="Where encoded pictures are kept: disk (also for the next run), memory, or off (encode in every step).",
        tab="Dataset",
        group="Caching",
        level="advanced",
        kohya=("cache_latents", "cache_latents_to_disk"),
        aitoolkit=("datasets.cache_latents_to_disk",),
    )
    text_embeddings: CacheMode = param(
        "disk",
        help="Where encoded captions are kept. Not used when text encoders are trained.",
        tab="Dataset",
        group="Caching",
        level="advanced",
        kohya=("cache_text_encoder_outputs", "cache_text_encoder_outputs_to_disk"),
        aitoolkit=("datasets.cache_text_embeddings",),
    )
    posterior: Literal["sample", "mean"] = param(
        "sample",
        help="A picture's latents are a small cloud: draw from it anew each time, or always use its centre.",
        tab="Dataset",
        group="Caching",
        level="expert",
    )
    folder: str | None = param(
        None,
        path=True,
        help="Where disk caches go. Left out, the cache folder of LORATORY_HOME.",
        tab="Dataset",
        group="Caching",
        level="expert",
        owner="job",
        on_resume="free",
    )
    batch_size: int = param(
        4,
        ge=1,
        le=256,
        help="Pictures or captions encoded together.",
        tab="Dataset",
        group="Caching",
        level="expert",
        owner="machine",
        on_resume="free",
        kohya=("vae_batch_size", "text_encoder_batch_size"),
    )
