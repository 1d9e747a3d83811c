"""The machine: how busy it is, and what `loratory doctor` says of it."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from loratory.server import machine
from loratory.server.context import Here
from loratory.server.machine import Disk, Gpu, Memory, Report, ReportState

router = APIRouter(prefix="/api/system", tags=["system"])


class System(BaseModel):
    """The machine as it is now."""

    cores: int
    """That the server and its jobs may use."""
    cpu_percent: float
    """Of all cores together, 0 to 100."""
    memory: Memory
    disks: list[Disk]
    gpus: list[Gpu]
    """NVIDIA's; empty where there are none."""
    versions: dict[str, str]


class Check(BaseModel):
    """One finding of `loratory doctor`."""

    name: str
    status: Literal["ok", "warning", "problem"]
    found: str
    advice: str


class HardwareReport(BaseModel):
    """What `loratory doctor` said. While a new one is made, `checks` are those of the one before."""

    state: ReportState
    time: str | None
    """When it was begun or, of a finished one, made (UTC)."""
    checks: list[Check]
    error: str | None


def _answer(report: Report) -> HardwareReport:
    checks = [Check.model_validate(each) for each in report.checks]
    return HardwareReport(state=report.state, time=report.time, checks=checks, error=report.error)


@router.get("")
def system(here: Here) -> System:
    """Say how busy processor, memory, disks and graphics cards are."""
    return System(
        cores=machine.cores(),
        cpu_percent=here.machine.cpu_percent(),
        memory=machine.memory(),
        disks=machine.disks(),
        gpus=list(here.machine.gpus()),
        versions=machine.versions(),
    )


@router.get("/hardware")
def hardware_report(here: Here) -> HardwareReport:
    """Say what `loratory doctor` found when it last looked."""
    return _answer(here.machine.doctor.report())


@router.post("/hardware", status_code=202)
def look_at_hardware(here: Here) -> HardwareReport:
    """Let `loratory doctor` look at the machine; it takes some seconds."""
    return _answer(here.machine.doctor.start())
