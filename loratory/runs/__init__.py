"""The run folder and everything in it: written by engines, read by the server; no torch."""

from loratory.runs.control import KINDS, BrokenRequest, Kind, Request, request
from loratory.runs.events import Event, read_events
from loratory.runs.folder import Export, RunBusy, RunFolder
from loratory.runs.home import HOME_VARIABLE, HomeFolder, home, home_folder, known_runs, register_run
from loratory.runs.lock import LockHeld, LockHolder
from loratory.runs.metrics import MetricsLog, iterate_metrics, read_metrics
from loratory.runs.names import check_name, is_ulid, new_ulid, ulid_time, utc_now
from loratory.runs.retention import Checkpoint, is_whole_checkpoint, keep_last
from loratory.runs.status import ACTIVE_STATES, DIED, STATES, State, Status, read_status

__all__ = [
    "ACTIVE_STATES",
    "DIED",
    "HOME_VARIABLE",
    "KINDS",
    "STATES",
    "BrokenRequest",
    "Checkpoint",
    "Event",
    "Export",
    "HomeFolder",
    "Kind",
    "LockHeld",
    "LockHolder",
    "MetricsLog",
    "Request",
    "RunBusy",
    "RunFolder",
    "State",
    "Status",
    "check_name",
    "home",
    "home_folder",
    "is_ulid",
    "is_whole_checkpoint",
    "iterate_metrics",
    "keep_last",
    "known_runs",
    "new_ulid",
    "read_events",
    "read_metrics",
    "read_status",
    "register_run",
    "request",
    "ulid_time",
    "utc_now",
]
