"""The loss on pictures that are not trained on."""

from __future__ import annotations

from typing import Any

from loratory.config.base import StrictModel, param


def _field(default: Any, **facts: Any) -> Any:
    usual = {"tab": "Advanced", "group": "Validation", "level": "advanced", "on_resume": "free"}
    return param(default, **usual | facts)


class ValidationConfig(StrictModel):
    """Pictures are kept back, and the loss on them is measured in the same way every time."""

    split: float = _field(
        0.0, ge=0, lt=1, on_resume="forbid", kohya=("validation_split",),
        help="The share of the pictures that is kept back. What a file holds decides on which side it is, so that "
        "copies are together, and new pictures move no old one. 0.05 to 0.2 is usual; 0: none.",
    )  # fmt: skip
    path: str | None = _field(
        None, path=True, owner="job", on_resume="warn",
        help="A folder of pictures with captions for this alone, in place of a split. They are read as those of the "
        "first dataset are (captions, trigger word, size).",
    )  # fmt: skip
    every_n_steps: int | None = _field(
        250, ge=1, kohya=("validate_every_n_steps",),
        help="Measure every so many steps, and at the end; null for no such interval.",
    )  # fmt: skip
    every_n_epochs: int | None = _field(
        None, ge=1, kohya=("validate_every_n_epochs",), help="Measure every so many epochs.",
    )  # fmt: skip
    before_first_step: bool = _field(
        True, help="Also measure before the first step, to see what the model can do without the LoRA.",
    )  # fmt: skip
    timesteps: int = _field(
        4, ge=1, le=100, on_resume="warn",
        help="At how many times each picture is measured, spread evenly over those that are trained. 4 is one for each "
        "band of the metrics.",
    )  # fmt: skip
    max_pictures: int | None = _field(
        50, ge=1, on_resume="warn", kohya=("max_validation_steps",),
        help="Measure no more pictures than this. Others that were kept back stay unused; null for all of them.",
    )  # fmt: skip
    seed: int = _field(
        42, ge=0, lt=2**63, level="expert", on_resume="forbid", kohya=("validation_seed",),
        help="The split and the noise follow from it and not from the job's seed, so that runs can be compared.",
    )  # fmt: skip
    early_stop_after: int | None = _field(
        None, ge=1,
        help="End the run when so many measurements one after the other have brought nothing better; null: never.",
    )  # fmt: skip
    min_improvement: float = _field(
        0.0, ge=0, le=100, level="expert",
        help="For early_stop_after the loss must be lower than before by more than this to count as better.",
    )  # fmt: skip
    keep_best: bool = _field(
        True, owner="job", help="Keep the LoRA with the lowest loss of all measurements as `<name>_best.safetensors`.",
    )  # fmt: skip

    @property
    def is_on(self) -> bool:
        return self.split > 0 or self.path is not None
