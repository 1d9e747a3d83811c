"""What may be wrong with a dataset: counts of findings, and each of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from loratory.datasets.checks import FROM_CONTENT, KINDS, Kind, Thresholds, count, findings
from loratory.server.context import Here
from loratory.server.dataset_parts import Limit, Offset, ThisDataset
from loratory.server.tasks import Task, TaskReport

router = APIRouter(prefix="/api/datasets/{dataset_id}/checks", tags=["checks"])


class CheckOut(BaseModel):
    """How many findings of a kind there are, how many files they name, and whether all pictures were looked at."""

    kind: Kind
    findings: int
    files: int
    complete: bool


class CheckReport(BaseModel):
    """All kinds of findings. `examined` of `pictures` have been read as a whole; POST reads the others."""

    pictures: int
    examined: int
    task: TaskReport | None
    """The reading of pictures, where one is under way or was done lately."""
    checks: list[CheckOut]


class FindingOut(BaseModel):
    """Files that share something: one that is wrong, or several that are alike."""

    items: list[str]
    reason: str


class FindingList(BaseModel):
    """Some of the findings of a kind."""

    total: int
    findings: list[FindingOut]


def _thresholds(
    smallest_side: Annotated[int, Query(ge=1, le=16_384, description="Pixels.")] = 512,
    bits: Annotated[int, Query(ge=0, le=12, description="Of 64, that look-alikes may differ in.")] = 5,
    sharpness: Annotated[float, Query(ge=0, le=100_000, description="Below it a picture is blurred.")] = 40.0,
) -> Thresholds:
    return Thresholds(smallest_side, bits, sharpness)


Limits = Annotated[Thresholds, Depends(_thresholds)]


@router.get("")
def get_checks(dataset: ThisDataset, limits: Limits, here: Here) -> CheckReport:
    """Count what may be wrong with a dataset, as far as it is known."""
    catalogue, examined = dataset.catalogue, here.datasets.examined(dataset)
    missing = len(examined.missing(catalogue))
    checks = []
    for kind in KINDS:
        found = findings(kind, catalogue, examined, limits)
        complete = kind not in FROM_CONTENT or not missing
        checks.append(CheckOut(kind=kind, findings=len(found), files=count(found), complete=complete))
    running = next((task for task in here.tasks.all(dataset.dataset.id) if task.kind == "examine"), None)
    return CheckReport(
        pictures=len(catalogue), examined=len(catalogue) - missing, task=running.report() if running else None,
        checks=checks,
    )  # fmt: skip


@router.post("", status_code=202)
def start_checks(dataset: ThisDataset, here: Here) -> TaskReport:
    """Read every picture that was not read yet, in the background."""
    examined = here.datasets.examined(dataset)

    def work(task: Task) -> None:
        examined.examine(dataset.catalogue, task.progress)
        here.tell_dataset(dataset.dataset.id)

    task = here.tasks.start("examine", work, dataset=dataset.dataset.id, once=True)
    task.outcome(1.0)
    return task.report()


@router.get("/{kind}")
def list_findings(dataset: ThisDataset, kind: Kind, limits: Limits, here: Here, offset: Offset = 0,
                  limit: Limit = 100) -> FindingList:  # fmt: skip
    """List what was found of one kind."""
    found = findings(kind, dataset.catalogue, here.datasets.examined(dataset), limits)
    page = found[offset : offset + limit]
    return FindingList(
        total=len(found), findings=[FindingOut(items=list(each.items), reason=each.reason) for each in page]
    )
