"""Pictures made while training."""

from __future__ import annotations

from loratory.config.base import StrictModel, param


class SamplingConfig(StrictModel):
    """Pictures made while training, with the diffusers pipeline."""

    prompts: tuple[str, ...] = param(
        (),
        help="Prompts, one picture each. Options as in kohya's files: --n negative prompt, --w width, --h height, --d "
        "seed, --l guidance scale, --s steps. [trigger] becomes the trigger word.",
        tab="Saving",
        group="Samples",
        owner="job",
        on_resume="free",
        kohya=("sample_prompts",),
        aitoolkit=("sample.prompts",),
    )
    prompts_file: str | None = param(
        None,
        path=True,
        help="A text file with one prompt in each line; # starts a comment.",
        tab="Saving",
        group="Samples",
        owner="job",
        on_resume="free",
        kohya=("sample_prompts",),
    )
    every_n_steps: int | None = param(
        None,
        ge=1,
        help="Make samples every so many steps.",
        tab="Saving",
        group="Samples",
        owner="job",
        on_resume="free",
        kohya=("sample_every_n_steps",),
        aitoolkit=("sample.sample_every",),
    )
    every_n_epochs: int | None = param(
        None,
        ge=1,
        help="Make samples every so many epochs.",
        tab="Saving",
        group="Samples",
        owner="job",
        on_resume="free",
        kohya=("sample_every_n_epochs",),
    )
    before_first_step: bool = param(
        True,
        help="Also make them before the first step, to see what the model draws without the LoRA.",
        tab="Saving",
        group="Samples",
        owner="job",
        on_resume="free",
        kohya=("sample_at_first",),
        aitoolkit=("train.skip_first_sample",),
    )
    seed: int = param(
        42,
        ge=0,
        lt=2**63,
        help="Seed of prompts without --d. Every sample of a prompt uses the same, so that pictures can be compared.",
        tab="Saving",
        group="Samples",
        level="advanced",
        owner="job",
        on_resume="free",
        aitoolkit=("sample.seed",),
    )
