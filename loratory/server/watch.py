"""Tell those who follow the server's news which runs have changed; where nobody does, nobody looks."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict

from loratory.jobs.index import Changes, Index
from loratory.server.bus import Bus

log = logging.getLogger(__name__)

SECONDS = 2.0


def publish(bus: Bus, changes: Changes) -> None:
    """The events `run` (what the list of runs shows of it) and `run_gone`."""
    for facts in changes.changed:
        bus.publish("run", asdict(facts))
    for run_id in changes.gone:
        bus.publish("run_gone", {"id": run_id})


async def watch(index: Index, bus: Bus) -> None:
    """Look for changes while somebody follows, until cancelled."""
    while True:
        await asyncio.sleep(SECONDS)
        if not bus.readers:
            continue
        try:
            await asyncio.to_thread(index.refresh)
        except Exception:
            log.exception("The index of runs could not be refreshed; it is tried again.")
