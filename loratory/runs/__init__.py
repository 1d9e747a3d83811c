"""The run folder and everything in it: written by engines, read by the server; no torch."""

from loratory.runs.control import KINDS, BrokenRequest, Kind, Request, request
from loratory.runs.events import Event, read_events
from loratory.runs.folder import Export, NameTaken, RunBusy, RunFolder
from loratory.runs.heartbeat import SILENT_SECONDS, last_beat, silent_seconds
from loratory.runs.home import HOME_VARIABLE, HomeFolder, home, home_folder, known_runs, register_run
from loratory.runs.lock import LockHeld, LockHolder, exclusive, is_held, read_holder
from loratory.runs.metrics import MetricsLog, iterate_metrics, read_metrics
from loratory.runs.names import check_name, is_ulid, new_ulid, ulid_time, utc_now
from loratory.runs.processes import ProcessId, boot_id, identify, is_alive, is_stopped, this_process, work_done
from loratory.runs.retention import Checkpoint, is_whole_checkpoint, keep_last
from loratory.runs.status import ACTIVE_STATES, DIED, STATES, State, Status, read_status

__all__ = [
    "ACTIVE_STATES",
    "DIED",
    "HOME_VARIABLE",
    "KINDS",
    "SILENT_SECONDS",
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
    "NameTaken",
    "ProcessId",
    "Request",
    "RunBusy",
    "RunFolder",
    "State",
    "Status",
    "boot_id",
    "check_name",
    "exclusive",
    "home",
    "home_folder",
    "identify",
    "is_alive",
    "is_held",
    "is_stopped",
    "is_ulid",
    "is_whole_checkpoint",
    "iterate_metrics",
    "keep_last",
    "known_runs",
    "last_beat",
    "new_ulid",
    "read_events",
    "read_holder",
    "read_metrics",
    "read_status",
    "register_run",
    "request",
    "silent_seconds",
    "this_process",
    "ulid_time",
    "utc_now",
    "work_done",
]
