"""What finished runs took on this machine: a small table in the user's home by which estimates are corrected."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

from loratory.config.train import TrainConfig
from loratory.files import declare_points, write_atomic
from loratory.runs import home_folder
from loratory.runs.lock import exclusive
from loratory.runs.names import utc_now

declare_points("measured")

MOST = 300
"""Lines that are kept, the newest ones."""
CONSIDERED = 9
"""The newest runs of a kind whose median counts."""
LIMITS = (0.5, 2.0)
"""A correction beyond this is no correction of an estimate, but another program on the card."""
_WAIT_SECONDS = 10.0


@dataclass(frozen=True)
class Measurement:
    """One finished run."""

    hardware: str
    architecture: str
    kind: str
    """What else matters to memory and speed, in one word: `kind_of`."""
    estimated_bytes: int
    """Of the highest phase, without the driver's part."""
    peak_bytes: int | None
    """Held by PyTorch at the most; None where the device does not tell."""
    flops_per_step: float
    seconds_per_step: float
    time: str = ""


@dataclass(frozen=True)
class Correction:
    """What the runs of this machine say of a job."""

    memory_factor: float = 1.0
    memory_runs: int = 0
    """How many runs it is from; 0: the estimate stands as it is."""
    flops_per_second: float | None = None
    speed_runs: int = 0
    alike: str = ""
    """What those runs have in common with the job."""


def kind_of(config: TrainConfig) -> str:
    """Everything but the sizes, which the estimate knows."""
    memory = config.memory
    parts = (
        memory.precision, memory.denoiser_weights, memory.gradient_checkpointing, memory.checkpoint_every,
        memory.attention, memory.compile, memory.channels_last, bool(memory.blocks_to_swap), config.network.type,
    )  # fmt: skip
    return "/".join(str(part).lower() for part in parts)


def table_path() -> Path:
    return home_folder("state") / "measured.jsonl"


def read(path: Path) -> list[Measurement]:
    """What is known, oldest first. A line that is none is passed over: another version may have written it."""
    if not path.is_file():
        return []
    names = {each.name for each in fields(Measurement)}
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            data: Any = json.loads(line)
            if isinstance(data, dict) and data.keys() <= names and data.get("seconds_per_step", 0) > 0:
                found.append(Measurement(**data))
        except (ValueError, TypeError):
            continue
    return found


def add(measurement: Measurement, path: Path) -> None:
    """Enter a run. Raises DiskFull, or UserError when another process keeps the table locked."""
    with exclusive(path.with_suffix(".lock"), wait_seconds=_WAIT_SECONDS):
        known = [*read(path), measurement if measurement.time else _now(measurement)][-MOST:]
        text = "".join(json.dumps(asdict(each)) + "\n" for each in known)
        write_atomic(path, text.encode(), point="measured")


def _now(measurement: Measurement) -> Measurement:
    return Measurement(**{**asdict(measurement), "time": utc_now()})


def correction(known: Iterable[Measurement], hardware: str, architecture: str, kind: str) -> Correction:
    """The median of the newest runs that are most alike: on this hardware, if there are any, of this kind."""
    here = [each for each in known if each.hardware == hardware]
    levels = [
        ("this kind of job", [each for each in here if (each.architecture, each.kind) == (architecture, kind)]),
        ("this architecture", [each for each in here if each.architecture == architecture]),
        ("this machine", here),
    ]
    memory, speed, alike = 1.0, None, ""
    memory_runs = speed_runs = 0
    for name, runs in levels:
        peaks = _ratios([(each.peak_bytes, each.estimated_bytes) for each in runs])
        if peaks and not memory_runs:
            memory, memory_runs = min(max(median(peaks), LIMITS[0]), LIMITS[1]), len(peaks)
        speeds = _ratios([(each.flops_per_step, each.seconds_per_step) for each in runs])
        if speeds and not speed_runs:
            speed, speed_runs, alike = median(speeds), len(speeds), name
    return Correction(memory, memory_runs, speed, speed_runs, alike)


def _ratios(pairs: Sequence[tuple[float | None, float]]) -> list[float]:
    return [one / other for one, other in pairs if one is not None and one > 0 and other > 0][-CONSIDERED:]
