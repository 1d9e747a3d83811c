"""A job as other programs' files."""

from __future__ import annotations

from pathlib import Path

from loratory.config.identify import spec_of
from loratory.config.train import TrainConfig
from loratory.drafts.splitting import kept_back
from loratory.drafts.ways import Ways
from loratory.interop.exported import Exported, Facts, writer
from loratory.planner import plan, rules_of


def export(config: TrainConfig, program: str, ways: Ways) -> Exported:
    """The files, and notes on what they cannot say. Raises UserError, also for a program that is not known.

    Pictures are counted where all of them are on this machine.
    """
    write = writer(program)
    spec = spec_of(config.model, ways.resolve)
    scans = [ways.pictures(dataset) if Path(dataset.path).is_dir() else None for dataset in config.datasets]
    here = [each for each in scans if each is not None]
    total = None
    if len(here) == len(scans):
        apart = kept_back(config, here, ways) if ways.reads_pictures else None
        total = plan(config, spec, here if apart is None else apart.training).total_steps
    return write(config, spec, Facts(rules_of(config, spec), tuple(scans), total))
