"""How pictures are grouped into batches, and how long training goes on."""

from __future__ import annotations

from typing import Literal

from loratory.config.base import StrictModel, param


class BucketsConfig(StrictModel):
    """Pictures of like shape share a bucket, so that none is squeezed and little is cut off."""

    resolution: int | tuple[int, int] | None = param(
        None,
        help="Training size in pixels: the side of a square, or [width, height]; its area is kept for all shapes. Left "
        "out, the architecture's own size.",
        tab="Dataset",
        group="Buckets",
        kohya=("resolution",),
        aitoolkit=("datasets.resolution",),
        on_resume="forbid",
        affects_cache=True,
    )
    mode: Literal["upscale", "no_upscale", "aitoolkit", "off"] = param(
        "upscale",
        help="upscale: kohya's buckets, small pictures are enlarged. no_upscale: kohya's bucket_no_upscale. aitoolkit: "
        "ai-toolkit's rule, which never enlarges. off: everything is cut to the resolution.",
        tab="Dataset",
        group="Buckets",
        kohya=("enable_bucket", "bucket_no_upscale"),
        aitoolkit=("datasets.buckets",),
        on_resume="forbid",
        affects_cache=True,
    )
    minimum: int = param(
        256,
        ge=16,
        le=8192,
        help="Smallest side of a bucket. Lowered by itself, to half the resolution, for a resolution not above it.",
        unit="pixels",
        tab="Dataset",
        group="Buckets",
        level="advanced",
        kohya=("min_bucket_reso",),
        on_resume="forbid",
        affects_cache=True,
    )
    adapt_minimum: bool = param(
        True,
        help="Lower the minimum as said there. Off: it counts as it is given, as in kohya's trainer, and a resolution "
        "below it is refused.",
        tab="Dataset",
        group="Buckets",
        level="expert",
        on_resume="forbid",
        affects_cache=True,
    )
    maximum: int | None = param(
        None,
        ge=16,
        le=16384,
        help="Largest side of a bucket. Left out, twice the resolution.",
        unit="pixels",
        tab="Dataset",
        group="Buckets",
        level="advanced",
        kohya=("max_bucket_reso",),
        on_resume="forbid",
        affects_cache=True,
    )
    step: int = param(
        64,
        ge=8,
        le=512,
        help="Sides of buckets are multiples of this.",
        unit="pixels",
        tab="Dataset",
        group="Buckets",
        level="advanced",
        kohya=("bucket_reso_steps",),
        aitoolkit=("datasets.bucket_tolerance",),
        on_resume="forbid",
        affects_cache=True,
    )


class BatchingConfig(StrictModel):
    size: int = param(
        1,
        ge=1,
        le=4096,
        help="Pictures that go through the model together.",
        tab="Dataset",
        group="Batches",
        kohya=("train_batch_size",),
        aitoolkit=("train.batch_size",),
        on_resume="forbid",
    )
    gradient_accumulation_steps: int = param(
        1,
        ge=1,
        le=4096,
        help="Batches that are summed up before the weights change: a larger batch without more memory.",
        tab="Dataset",
        group="Batches",
        level="advanced",
        kohya=("gradient_accumulation_steps",),
        aitoolkit=("train.gradient_accumulation",),
        on_resume="forbid",
    )
    accumulate: Literal["mean", "sum"] = param(
        "mean",
        help="What becomes of the gradients of these batches: `mean` counts every picture of the step alike, whatever "
        "their number. `sum` adds up the batches' means, as ai-toolkit does: the gradient grows with their number, so "
        "that max_grad_norm shortens it sooner.",
        tab="Dataset",
        group="Batches",
        level="expert",
        on_resume="forbid",
    )
    balance_regularisation: bool = param(
        False,
        help="Use as many regularisation pictures in an epoch as others, as kohya's trainer does: they are repeated in "
        "turn, or those behind are left out. Off: each is used as often as it is to be repeated.",
        tab="Dataset",
        group="Batches",
        level="expert",
        on_resume="forbid",
    )
    buckets: BucketsConfig = param(
        BucketsConfig(), help="Sizes at which pictures are trained.", tab="Dataset", group="Buckets"
    )


class DurationConfig(StrictModel):
    """How long. Both given: the first to be reached. None: about 100 passes, 500 to 3000 steps, and it is said."""

    steps: int | None = param(
        None,
        ge=1,
        help="Number of optimizer steps.",
        tab="Dataset",
        group="Duration",
        kohya=("max_train_steps",),
        aitoolkit=("train.steps",),
    )
    epochs: int | None = param(
        None,
        ge=1,
        help="Number of passes over all pictures and their repeats.",
        tab="Dataset",
        group="Duration",
        kohya=("max_train_epochs",),
    )
