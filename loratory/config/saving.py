"""Files that are written."""

from __future__ import annotations

from typing import Literal

from loratory.config.base import StrictModel, param
from loratory.config.model import Precision


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
        None, ge=1, help="LoRA files and samples of every so many steps are never deleted, whatever keep_last_exports "
        "and keep_last_samples say.",
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
        aitoolkit=("save.save_format",),
    )
    file_type: Literal["safetensors", "ckpt", "pt"] = param(
        "safetensors", tab="Saving", group="Files", level="advanced", owner="job", on_resume="free",
        help="Kind of the LoRA files. ckpt and pt are pickles of PyTorch for old programs; they have no place for "
        "metadata.",
        kohya=("save_model_as",),
    )  # fmt: skip
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
    keep_last_samples: int | None = param(
        None, ge=1, tab="Saving", group="Samples", level="advanced", owner="job", on_resume="free",
        help="Pictures of so many samplings are kept, and those before the first step; null keeps all.",
    )  # fmt: skip
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
