"""What depends on the machine and the moment: memory, caches, devices, saving, samples, logs."""

from __future__ import annotations

from typing import Literal

from loratory.config.base import StrictModel, param
from loratory.config.model import Precision

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
        owner="job",
        on_resume="free",
        kohya=("vae_batch_size", "text_encoder_batch_size"),
    )


class MemoryConfig(StrictModel):
    precision: Precision = param(
        "bf16",
        help="Number format of the frozen model and of the arithmetic. The adapter is always fp32. fp16 needs a GPU.",
        tab="Advanced",
        group="Precision",
        kohya=("mixed_precision",),
        aitoolkit=("train.dtype",),
        affects_cache=True,
    )
    gradient_checkpointing: bool = param(
        False,
        help="Compute parts of the forward pass twice to save much memory, for about a third more time.",
        tab="Advanced",
        group="Memory",
        kohya=("gradient_checkpointing",),
        aitoolkit=("train.gradient_checkpointing",),
        on_resume="free",
    )


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


class SavingConfig(StrictModel):
    output_dir: str | None = param(
        None,
        path=True,
        help="The run's folder is made in here. Left out, the output folder of LORATORY_HOME.",
        tab="Saving",
        group="Where",
        owner="job",
        on_resume="free",
        kohya=("output_dir",),
        aitoolkit=("training_folder",),
    )
    export_every_n_steps: int | None = param(
        250,
        ge=1,
        help="Write a LoRA file every so many steps; null for none.",
        tab="Saving",
        group="Files",
        owner="job",
        on_resume="free",
        kohya=("save_every_n_steps",),
        aitoolkit=("save.save_every",),
    )
    export_every_n_epochs: int | None = param(
        None,
        ge=1,
        help="Write a LoRA file every so many epochs.",
        tab="Saving",
        group="Files",
        owner="job",
        on_resume="free",
        kohya=("save_every_n_epochs",),
    )
    export_every_n_minutes: float | None = param(
        None, gt=0, help="Write a LoRA file every so many minutes.", unit="minutes", tab="Saving", group="Files",
        level="advanced", owner="job", on_resume="free",
    )  # fmt: skip
    keep_every_n_steps: int | None = param(
        None, ge=1, help="Files of every so many steps are never deleted, whatever keep_last_exports says.",
        tab="Saving", group="Files", level="advanced", owner="job", on_resume="free",
    )  # fmt: skip
    keep_last_exports: int | None = param(
        5,
        ge=1,
        help="Older files from between are deleted; null keeps all. The final file always stays.",
        tab="Saving",
        group="Files",
        owner="job",
        on_resume="free",
        kohya=("save_last_n_steps", "save_last_n_epochs"),
        aitoolkit=("save.max_step_saves_to_keep",),
    )
    format: Literal["kohya", "diffusers", "comfyui", "aitoolkit"] = param(
        "kohya",
        help="Names of the tensors. kohya's load in ComfyUI, Forge, A1111 and diffusers; diffusers' hold only LoRA and "
        "DoRA.",
        tab="Saving",
        group="Files",
        level="advanced",
        owner="job",
        on_resume="free",
        kohya=("save_model_as",),
    )
    precision: Precision = param(
        "bf16",
        help="Number format in the LoRA files.",
        tab="Saving",
        group="Files",
        level="advanced",
        owner="job",
        on_resume="free",
        kohya=("save_precision",),
        aitoolkit=("save.dtype",),
    )
    checkpoint_every_n_minutes: float | None = param(
        10.0,
        gt=0,
        help="Save everything a resume needs every so many minutes; always done at a stop and at the end.",
        unit="minutes",
        tab="Saving",
        group="Checkpoints",
        owner="job",
        on_resume="free",
        kohya=("save_state",),
    )
    checkpoint_every_n_steps: int | None = param(
        None,
        ge=1,
        help="The same, counted in steps.",
        tab="Saving",
        group="Checkpoints",
        level="advanced",
        owner="job",
        on_resume="free",
        kohya=("save_state",),
    )
    keep_last_checkpoints: int = param(
        2,
        ge=1,
        help="Older checkpoints are deleted.",
        tab="Saving",
        group="Checkpoints",
        level="advanced",
        owner="job",
        on_resume="free",
        kohya=("save_last_n_steps_state",),
    )
    metadata: Literal["full", "minimum", "none"] = param(
        "full", tab="Saving", group="Metadata", level="advanced", owner="job", on_resume="free",
        help="What the header of a file tells: everything, what programs need to know the network, or nothing. Hashes "
        "are always there.",
        kohya=("no_metadata",),
    )  # fmt: skip
    title: str | None = param(
        None, help="Title in the file's metadata; left out, the run's name.", tab="Saving", group="Metadata",
        level="advanced", owner="job", on_resume="free", kohya=("metadata_title",),
    )  # fmt: skip
    author: str | None = param(
        None, help="Author in the file's metadata.", tab="Saving", group="Metadata", level="advanced", owner="job",
        on_resume="free", kohya=("metadata_author",),
    )  # fmt: skip
    description: str | None = param(
        None, help="Description in the file's metadata.", tab="Saving", group="Metadata", level="advanced",
        owner="job", on_resume="free", kohya=("metadata_description",),
    )  # fmt: skip
    license: str | None = param(
        None, help="Licence in the file's metadata.", tab="Saving", group="Metadata", level="advanced", owner="job",
        on_resume="free", kohya=("metadata_license",),
    )  # fmt: skip
    tags: tuple[str, ...] = param(
        (), help="Tags in the file's metadata.", tab="Saving", group="Metadata", level="advanced", owner="job",
        on_resume="free", kohya=("metadata_tags",),
    )  # fmt: skip
    comment: str | None = param(
        None, help="A free remark in the file's metadata.", tab="Saving", group="Metadata", level="advanced",
        owner="job", on_resume="free", kohya=("training_comment",),
    )  # fmt: skip


class LoggingConfig(StrictModel):
    every_n_steps: int = param(
        1,
        ge=1,
        help="Write loss and learning rate to the metrics file every so many steps.",
        tab="Logging",
        group="Metrics",
        level="advanced",
        owner="job",
        on_resume="free",
        aitoolkit=("logging.log_every",),
    )
    level: Literal["debug", "info", "warning"] = param(
        "info",
        help="How much is printed. The log file always holds everything.",
        tab="Logging",
        group="Console",
        owner="job",
        on_resume="free",
        kohya=("console_log_level",),
    )


class RuntimeConfig(StrictModel):
    device: str = param(
        "auto",
        help="auto takes the first of CUDA (also ROCm), XPU, MPS, CPU. Or say it: cpu, cuda, cuda:1, mps, xpu.",
        tab="Advanced",
        group="Device",
        level="advanced",
        owner="job",
        aitoolkit=("device",),
    )
    deterministic: bool = param(
        False,
        help="Use only repeatable kernels on a GPU: a resumed run then equals an unbroken one bit for bit. Slower. "
        "On the CPU this is always so.",
        tab="Advanced",
        group="Device",
        level="expert",
        owner="job",
    )
    prefetch: int = param(
        2,
        ge=0,
        le=64,
        help="Batches prepared ahead by a background thread; 0 prepares each when it is needed.",
        tab="Advanced",
        group="Device",
        level="expert",
        owner="job",
        on_resume="free",
        kohya=("max_data_loader_n_workers",),
    )
    max_nonfinite_steps: int = param(
        10,
        ge=1,
        help="Steps with a loss that is not a number are skipped; so many in a row stop the run.",
        tab="Advanced",
        group="Safety",
        level="expert",
    )
