"""What a plan is over HTTP. Sizes in bytes, times in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field

from loratory.server.drafts_in import Body, ChangeOut, DraftIn, changes_out

if TYPE_CHECKING:
    from loratory.planner.fitting import Fit


class TypedPictures(Body):
    """Pictures that are only spoken of."""

    pictures: Annotated[int, Field(ge=1, le=10_000_000)]
    size: Annotated[str | None, Field(max_length=40)] = None
    """Pixels, such as 1024x768; left out, that of the training."""


class PlanIn(DraftIn):
    """What to plan."""

    typed: TypedPictures | None = None
    """In the place of the datasets' own pictures."""
    gpu_memory_gib: Annotated[float | None, Field(gt=0, le=10_000)] = None
    """Of another card than the one that is here."""
    wanted_steps: Annotated[int | None, Field(ge=1, le=1_000_000_000)] = None
    """Also tell how many epochs make so many steps."""


class DatasetPlan(BaseModel):
    """Pictures of one dataset."""

    path: str
    pictures: int
    samples: int
    """At their training sizes, without repeats."""
    seen_per_epoch: int
    dropped: int
    cropped: int
    cut_share: float
    enlarged: int


class BucketPlan(BaseModel):
    """Pictures of one training size, in pixels."""

    width: int
    height: int
    pictures: int
    """Seen in an epoch."""
    batch_group: str | None = None


class CalculationOut(BaseModel):
    """The arithmetic that people do in their heads, and why the true number may be another one."""

    text: str
    plain_steps: int | None
    plain_epochs: float | None
    true_steps: int
    true_epochs: float
    differs: bool
    reasons: list[str]


class OptionOut(BaseModel):
    """A change of the config that saves memory."""

    changes: list[ChangeOut]
    saves_bytes: int
    phase: str
    time: str
    """What it costs, in words."""


class FitOut(BaseModel):
    """Does it fit on the card, and what would help?"""

    fits: bool
    limit_bytes: int
    peak_bytes: int
    options: list[OptionOut]
    enough: list[OptionOut]
    """The cheapest that make it fit together."""
    peak_with_enough_bytes: int | None


class MachineOut(BaseModel):
    """What it is planned for."""

    name: str
    memory_bytes: int | None


class EpochsOut(BaseModel):
    """How many epochs make so many steps."""

    wanted_steps: int
    epochs: int
    steps: int
    """Of those epochs."""


class Plan(BaseModel):
    """Everything about a job that can be known before it starts."""

    datasets: list[DatasetPlan]
    buckets: list[BucketPlan]
    pictures: int
    seen_per_epoch: int
    batch_size: int
    batches_per_epoch: int
    steps_per_epoch: int
    total_steps: int
    epochs: float
    empty_places_in_batches: int
    calculation: CalculationOut
    trained_layers: int
    trained_numbers: int
    disk_bytes: dict[str, int]
    memory_bytes: dict[str, dict[str, int]]
    """By phase of a run, part by part, with `total`."""
    peak_bytes: int
    """Corrected by what was measured on this machine."""
    peak_phase: str
    flops_per_step: float
    seconds_per_step: float | None
    seconds: float | None
    """None where nothing was measured on this machine."""
    machine: MachineOut
    measured_runs: int
    memory_factor: float
    fit: FitOut | None
    notes: list[str]


class PlanOut(BaseModel):
    """A plan, as far as there can be one."""

    plan: Plan | None
    reason: str | None
    """Why there is none."""
    whole: bool
    """Is the draft without mistakes? Otherwise the plan is of what could be understood."""
    epochs_for_steps: EpochsOut | None


def fit_out(found: Fit) -> FitOut:
    def options(chosen: Any) -> list[OptionOut]:
        return [OptionOut(changes=changes_out(each.changes), saves_bytes=each.saves_bytes, phase=each.phase,
                          time=each.time) for each in chosen]  # fmt: skip

    return FitOut(
        fits=found.fits, limit_bytes=found.limit_bytes, peak_bytes=found.peak_bytes, options=options(found.options),
        enough=options(found.enough), peak_with_enough_bytes=found.peak_with_enough_bytes,
    )  # fmt: skip
