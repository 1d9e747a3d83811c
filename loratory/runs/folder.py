"""The run folder: one folder that holds everything about a run and is enough to resume, inspect or move it.

The engine that holds the lock is the only writer; others ask by `request()` and read at any time.
"""

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from loratory.errors import UserError
from loratory.files import LogFile, declare_points, new_folder, remove_tree, sweep_temporaries, write_text
from loratory.runs.control import CONTROL_FOLDER, BrokenRequest, Request, read_request, request_files
from loratory.runs.events import EventLog
from loratory.runs.heartbeat import beating
from loratory.runs.home import register_run
from loratory.runs.lock import LockHeld, LockHolder, describe_holder, exclusive
from loratory.runs.metrics import MetricsLog
from loratory.runs.names import check_name, new_ulid, utc_now
from loratory.runs.retention import Checkpoint, is_whole_checkpoint, write_manifest
from loratory.runs.status import (
    ACTIVE_STATES,
    LOCK_FILE,
    PROGRESS_FIELDS,
    STATES,
    STATUS_FILE,
    Progress,
    State,
    Status,
    read_status_file,
    write_status_file,
)
from loratory.secrets import RedactingFormatter, redact

declare_points("run", "config", "export", "sample", "checkpoint")
declare_points("checkpoint", steps=("replacing",))

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
CONFIG_FILE = "config.yaml"
_FOREIGN_TEMPORARY_SECONDS = 3600.0
_STEP_FOLDER = re.compile(r"[0-9]{9}")
_EXPORTS = "safetensors|ckpt|pt"
_SAMPLE = re.compile(r"(?P<step>[0-9]{9})_[0-9]{2,}_[0-9a-f]{8}\.(png|jpg|webp)")


class NameTaken(UserError):
    """There is something under the name of a new run."""

    code = "name_taken"

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"{path} exists already; choose another name, or resume that run by giving its folder.")


class RunBusy(UserError):
    """Another process works on the run. `holder` says which, where its note could be read."""

    code = "busy"

    def __init__(self, name: str, holder: LockHolder | None) -> None:
        self.holder = holder
        super().__init__(
            f"The run {name!r} is being worked on by {describe_holder(holder)}; "
            "stop it or wait for its end, or give the new run another name."
        )


def frozen(run_id: str, text: str) -> str:
    """A config with a first line that says whose it is."""
    return f"# The config of run {run_id}, as it was when it was last started.\n{text}"


@dataclass(frozen=True, slots=True)
class Export:
    """A file for other tools. `step` is None for the final one and for `<name>_best...`."""

    path: Path
    step: int | None


class RunFolder:
    """One run's folder. Make it with `create` or `open`; both leave no file open."""

    def __init__(self, path: Path, status: Status) -> None:
        self.path = path
        self.id = status.id
        self.name = status.name
        self._status = status
        self._status_lock = threading.Lock()
        self._events = EventLog(self.events_path)
        self._locked = False

    @classmethod
    def create(cls, output_dir: Path, name: str, config: str | None = None) -> "RunFolder":
        """Make `<output_dir>/<name>` appear whole, in the state "queued"; `config` is a YAML text to be frozen in it.

        Raises UserError for a name that some system refuses, one that is taken (NameTaken), or a place that cannot be
        written; DiskFull.
        """
        name = check_name(name)
        path = output_dir.expanduser().absolute() / name
        now = utc_now()
        status = Status(id=new_ulid(), name=name, state="queued", created=now, updated=now)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            register_run(path, status.id)
            with new_folder(path, point="run") as temporary:
                for part in ("checkpoints", "samples", CONTROL_FOLDER):
                    (temporary / part).mkdir()
                if config is not None:
                    write_text(temporary / CONFIG_FILE, frozen(status.id, config), point="config")
                write_status_file(temporary, status)
        except OSError as error:
            if path.exists():
                raise NameTaken(path) from error
            raise UserError(
                f"The run folder {path} cannot be made ({error.strerror}); choose an output folder you may write to."
            ) from error
        return cls(path, status)

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """The run in an existing folder, which may have been moved or renamed. Raises UserError when it is none."""
        path = path.expanduser().absolute()
        return cls(path, read_status_file(path))

    # Paths

    @property
    def config_path(self) -> Path:
        """The resolved config, frozen at the start."""
        return self.path / CONFIG_FILE

    @property
    def status_path(self) -> Path:
        """The state of the run; read it with `read_status`."""
        return self.path / STATUS_FILE

    @property
    def events_path(self) -> Path:
        """The event log; read it with `read_events`."""
        return self.path / "events.jsonl"

    @property
    def metrics_path(self) -> Path:
        """The numbers; read them with `read_metrics`."""
        return self.path / f"metrics_{self.name}.jsonl"

    @property
    def log_path(self) -> Path:
        """The log for people."""
        return self.path / "log.txt"

    @property
    def lock_path(self) -> Path:
        """The file whose operating-system lock the engine holds."""
        return self.path / LOCK_FILE

    @property
    def control_path(self) -> Path:
        """Where requests arrive."""
        return self.path / CONTROL_FOLDER

    @property
    def shape_path(self) -> Path:
        """Layers and weights that the run's network was made from, where that was a LoRA file."""
        return self.path / "start" / "network.safetensors"

    @property
    def checkpoints_path(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def samples_path(self) -> Path:
        """The folder of the preview pictures."""
        return self.path / "samples"

    @property
    def final_export_path(self) -> Path:
        """The export of the finished run, where it is a .safetensors file."""
        return self.export_path(None)

    @property
    def best_export_path(self) -> Path:
        """The export with the lowest validation loss, where it is a .safetensors file."""
        return self.path / f"{self.name}_best.safetensors"

    def export_path(self, step: int | None, suffix: str = ".safetensors") -> Path:
        """The export made after `step` steps (None: at the end); write it with `write_atomic(..., point="export")`."""
        return self.path / (f"{self.name}{suffix}" if step is None else f"{self.name}_{step:09d}{suffix}")

    def checkpoint_path(self, step: int) -> Path:
        """The folder of the checkpoint made after `step` steps."""
        return self.checkpoints_path / f"{step:09d}"

    def sample_path(self, step: int, index: int, digest: str, suffix: str = ".png") -> Path:
        """A preview: the step, the prompt's place in the list, a hash of its settings; `point="sample"` to write it."""
        return self.samples_path / f"{step:09d}_{index:02d}_{digest}{suffix}"

    # Lock and state

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only process that works on this run, until the block ends or the process dies.

        Cleans up what a killed process left half-written, enters the run in the registry, and gives signs of life
        (`heartbeat`). Raises RunBusy, which names the holder.
        """
        if self._locked:
            raise RuntimeError("this RunFolder holds its lock already")
        with ExitStack() as stack:
            try:
                stack.enter_context(exclusive(self.lock_path))
                stack.enter_context(beating(self.lock_path))
            except LockHeld as error:
                raise RunBusy(self.name, error.holder) from error
            self._locked = True
            try:
                self._status = read_status_file(self.path)
                self._clean_up()
                register_run(self.path, self.id)
                yield
            finally:
                self._locked = False

    def _clean_up(self) -> None:
        for folder in (self.path, self.checkpoints_path, self.samples_path):
            if folder.is_dir():
                sweep_temporaries(folder, older_than_seconds=0)
        if self.control_path.is_dir():
            sweep_temporaries(self.control_path, older_than_seconds=_FOREIGN_TEMPORARY_SECONDS)

    def write_status(self, state: State, **fields: Unpack[Progress]) -> Status:
        """Replace status.json, flushed to the disk: fine once a second, not at every step.

        Fields of Progress that are not given keep their values, except message and error, which speak of one moment.
        Raises RuntimeError for an active state without the lock: readers would take the run for dead. Raises DiskFull.
        """
        if state not in STATES:
            raise ValueError(f"{state!r} is no state; states are {', '.join(STATES)}")
        if unknown := fields.keys() - PROGRESS_FIELDS:
            raise TypeError(f"a status has no {sorted(unknown)}; it has {sorted(PROGRESS_FIELDS)}")
        if state in ACTIVE_STATES and not self._locked:
            raise RuntimeError(f"the state {state!r} needs the run's lock")
        values: dict[str, Any] = {"message": None, "error": None, **fields}
        if values["message"] is not None:
            values["message"] = redact(values["message"])
        if values["error"] is not None:
            values["error"] = {key: redact(str(value)) for key, value in values["error"].items()}
        now = utc_now()
        if state == "starting":
            values |= {"started": now}
        if state not in ACTIVE_STATES:
            values |= {"eta_seconds": None}
        with self._status_lock:
            status = replace(self._status, state=state, updated=now, **values)
            write_status_file(self.path, status)
            self._status = status
        return status

    def write_config(self, text: str) -> None:
        """Freeze the resolved config, a YAML text, as the run's own. Raises DiskFull."""
        write_text(self.config_path, text, point="config")

    # Logs

    def emit(self, kind: str, **data: Any) -> None:
        """Append an event, with secrets masked. Raises DiskFull; ValueError for data that is not JSON."""
        self._events.emit(kind, data)

    def metrics(self) -> MetricsLog:
        """The writing end of the run's metrics; to be closed by the caller."""
        return MetricsLog(self.metrics_path)

    def log_handler(self) -> logging.Handler:
        """A handler that appends to log.txt with secrets masked; to be closed by the caller."""
        handler = LogFile(self.log_path)
        handler.setFormatter(RedactingFormatter(LOG_FORMAT))
        return handler

    # Exports and checkpoints

    def exports(self) -> list[Export]:
        """The exports: numbered ones by step, then `<name>_best...`, then the final one."""
        pattern = re.compile(rf"{re.escape(self.name)}(?:_(?P<step>[0-9]{{9}})|_best[^/\\]*)?\.({_EXPORTS})")
        found = []
        for path in self.path.iterdir():
            if (match := pattern.fullmatch(path.name)) and path.is_file():
                found.append(Export(path, int(match["step"]) if match["step"] else None))
        return sorted(found, key=lambda export: (export.step is None, export.path.stem == self.name, export.path))

    def checkpoints(self) -> list[Checkpoint]:
        """The whole checkpoints, by step. What a killed process or a torn copy left is not among them."""
        if not self.checkpoints_path.is_dir():
            return []
        folders = [path for path in self.checkpoints_path.iterdir() if _STEP_FOLDER.fullmatch(path.name)]
        return [Checkpoint(int(path.name), path) for path in sorted(folders) if is_whole_checkpoint(path)]

    def newest_checkpoint(self) -> Checkpoint | None:
        """The whole checkpoint with the most steps, if there is one."""
        checkpoints = self.checkpoints()
        return checkpoints[-1] if checkpoints else None

    @contextmanager
    def new_checkpoint(self, step: int) -> Iterator[Path]:
        """Give a temporary folder to fill; it appears whole as the checkpoint of `step` when the block ends.

        It replaces an older one of that step. When the block raises, nothing is left and the older one stays; a full
        disk becomes DiskFull.
        """
        self.checkpoints_path.mkdir(exist_ok=True)
        with new_folder(self.checkpoint_path(step), replace=True, point="checkpoint") as temporary:
            yield temporary
            write_manifest(temporary)

    # Samples

    def samples(self) -> dict[int, list[Path]]:
        """The preview pictures by step, oldest first."""
        found: dict[int, list[Path]] = {}
        for path in sorted(self.samples_path.iterdir()) if self.samples_path.is_dir() else []:
            if match := _SAMPLE.fullmatch(path.name):
                found.setdefault(int(match["step"]), []).append(path)
        return found

    # Requests

    def pending_requests(self) -> list[Request]:
        """What others asked for, oldest first; looks into one folder, so it may be called between any two steps.

        A file that is no request is answered with an event that says so, and removed.
        """
        requests = []
        for path in request_files(self.control_path):
            try:
                requests.append(read_request(path))
            except BrokenRequest as error:
                self.emit("request_answered", request=path.name, ok=False, message=str(error))
                remove_tree(path)
        return requests

    def answer(self, request: Request, **result: Any) -> None:
        """Say in an event what became of a request (`ok` is True unless given), and remove its file."""
        self.emit("request_answered", request=request.id, request_kind=request.kind, **{"ok": True, **result})
        remove_tree(request.path)
