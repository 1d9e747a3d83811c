"""Pictures made while training."""

from __future__ import annotations

from typing import Literal

from loratory.config.architectures import names_where
from loratory.config.base import StrictModel, param
from loratory.config.samplers import SamplerName


class SamplingConfig(StrictModel):
    """Pictures made while training, with the diffusers pipeline."""

    prompts: tuple[str, ...] = param(
        (),
        help="Prompts, one picture each. Options as in kohya's files: --n negative prompt, --w width, --h height, --d "
        "seed, --l guidance scale, --s steps, --ss sampler, --am strength of the LoRA. [trigger] becomes the trigger "
        "word.",
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
        help="A file of prompts: text with one in each line (# starts a comment), or kohya's or ai-toolkit's prompts "
        "as .toml, .json or .yaml. Read again before each sampling once it was changed.",
        tab="Saving",
        group="Samples",
        owner="job",
        on_resume="free",
        kohya=("sample_prompts",),
        aitoolkit=("sample.samples",),
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
    walk_seed: bool = param(
        False, tab="Saving", group="Samples", level="advanced", owner="job", on_resume="free",
        help="Prompts without --d get seeds that count up: the first seed, the second seed + 1, and so on.",
        aitoolkit=("sample.walk_seed",),
    )  # fmt: skip
    sampler: SamplerName | None = param(
        None, tab="Saving", group="Samples", level="advanced", owner="job", on_resume="free",
        help="How pictures are made of noise: a name of kohya's or ai-toolkit's trainer, or a scheduler class of "
        "diffusers. Left out, the model's own.",
        kohya=("sample_sampler",), aitoolkit=("sample.sampler",),
    )  # fmt: skip
    steps: int | None = param(
        None, ge=1, le=1000, tab="Saving", group="Samples", level="advanced", owner="job", on_resume="free",
        help="Steps of prompts without --s. Left out, what is usual for the model.",
        aitoolkit=("sample.sample_steps",),
    )  # fmt: skip
    scale: float | None = param(
        None, tab="Saving", group="Samples", level="advanced", owner="job", on_resume="free",
        help="Classifier-free guidance of prompts without --l. Left out, what is usual for the model.",
        aitoolkit=("sample.guidance_scale",),
    )  # fmt: skip
    guidance: float | None = param(
        None, tab="Saving", group="Samples", level="advanced", owner="job", on_resume="free",
        architectures=names_where(lambda spec: "guidance" in spec.pipeline_arguments),
        help="Guidance that the model itself is told, of prompts without --g. Left out, what is usual for the model.",
    )  # fmt: skip
    guidance_rescale: float | None = param(
        None, ge=0, le=1, tab="Saving", group="Samples", level="expert", owner="job", on_resume="free",
        architectures=names_where(lambda spec: "rescale" in spec.pipeline_arguments),
        aitoolkit=("sample.guidance_rescale",),
        help="How far contrast that guidance has raised is taken back (Lin et al. 2023), of prompts without --gr; 0.7 "
        "for models with zero terminal SNR.",
    )  # fmt: skip
    negative_prompt: str = param(
        "", tab="Saving", group="Samples", level="advanced", owner="job", on_resume="free",
        help="What shall not be seen, of prompts without --n.", aitoolkit=("sample.neg",),
    )  # fmt: skip
    width: int | None = param(
        None, ge=16, le=16384, unit="pixels", tab="Saving", group="Samples", level="advanced", owner="job",
        on_resume="free", help="Width of prompts without --w. Left out, the training size.",
        aitoolkit=("sample.width",),
    )  # fmt: skip
    height: int | None = param(
        None, ge=16, le=16384, unit="pixels", tab="Saving", group="Samples", level="advanced", owner="job",
        on_resume="free", help="Height of prompts without --h. Left out, the training size.",
        aitoolkit=("sample.height",),
    )  # fmt: skip
    strength: float = param(
        1.0, tab="Saving", group="Samples", level="advanced", owner="job", on_resume="free",
        help="Strength of the LoRA in prompts without --am; 0 shows the base model.",
        aitoolkit=("sample.network_multiplier",),
    )  # fmt: skip
    format: Literal["png", "jpg", "webp"] = param(
        "png", tab="Saving", group="Samples", level="advanced", owner="job", on_resume="free",
        help="Kind of the picture files. All of them say inside how they were made.", aitoolkit=("sample.format",),
    )  # fmt: skip
    quality: int = param(
        95, ge=1, le=100, tab="Saving", group="Samples", level="expert", owner="job", on_resume="free",
        help="Of jpg and webp; smaller files have a lower one.",
    )  # fmt: skip
