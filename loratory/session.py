"""Jobs of one command, in turn: logging, Ctrl+C, and how each ended in one sentence."""

from __future__ import annotations

import logging
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

from loratory.console import Show, captured_output, log_to
from loratory.errors import UserError
from loratory.files import LogFile
from loratory.secrets import RedactingFormatter, redact
from loratory.tokens import keep_new_tokens, load_tokens

if TYPE_CHECKING:
    from loratory.config.architectures import ArchitectureSpec
    from loratory.config.network_preview import Preview
    from loratory.config.targets import Layer
    from loratory.config.train import TrainConfig
    from loratory.data.scan import Scan
    from loratory.data.split import Apart

log = logging.getLogger("loratory")

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
INTERRUPTED = 130
"""Exit code of a command that was left by Ctrl+C, as shells have it."""


@dataclass(frozen=True)
class Job:
    """One training: its config, the run's folder if that was given, and what there is to say about a foreign file."""

    config: TrainConfig
    folder: Path | None = None
    remarks: tuple[str, ...] = ()
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    """That the foreign file held; a training keeps them in the settings."""


def read_jobs(path: Path, overrides: Sequence[str], dataset: Path | None = None) -> list[Job]:
    """The trainings of a job file (of ours, or of another program) or of a run's folder. `dataset` goes with kohya's
    files. Raises UserError."""
    from loratory.config.load import load
    from loratory.interop.foreign import parsed, read_foreign
    from loratory.interop.imported import summary

    if path.is_dir():
        frozen = path / "config.yaml"
        if not frozen.exists():
            raise UserError(
                f"{path} is a folder without config.yaml, so it is no run; give a job file or a run's folder."
            )
        return [Job(load(frozen, overrides, frozen=True), path.absolute())]
    imported = read_foreign(path, dataset) if path.exists() else None
    if imported is None:
        return [Job(load(path, overrides))]
    return [Job(parsed(each, overrides), None, tuple(summary(each.notes)), each.tokens) for each in imported]


def read_job(path: Path, overrides: Sequence[str]) -> tuple[TrainConfig, Path | None]:
    """The config of a job file, or of a run's folder together with that folder. Of several trainings in a file of
    another program, the first. Raises UserError."""
    job = read_jobs(path, overrides)[0]
    return job.config, job.folder


def check_job(path: Path, overrides: Sequence[str], say: Callable[[str], None]) -> int:
    """Everything that can be checked without loading a model. Returns the exit code. Raises UserError."""
    return max(_check(path, job, say) for job in read_jobs(path, overrides))


def _check(path: Path, job: Job, say: Callable[[str], None]) -> int:
    from loratory.config.architectures import get_spec
    from loratory.config.identify import identify
    from loratory.config.rules import check
    from loratory.data.metadata_files import CaptionTable
    from loratory.data.scan import scan
    from loratory.hub.download import resolve_model
    from loratory.planner import plan
    from loratory.training.prompts import Prompts

    config = job.config
    for remark in job.remarks:
        say(remark)
    spec = get_spec(identify(config.model, resolve_model))
    problems = check(config, spec)
    for problem in problems:
        say(f"{problem.level.capitalize()}: {problem}")
    if any(problem.level == "error" for problem in problems):
        return 1
    Prompts(config, spec)
    scans = [scan(Path(dataset.path), dataset.captions.extensions) for dataset in config.datasets]
    for dataset in config.datasets:
        if dataset.captions.metadata_file is not None:
            CaptionTable(Path(dataset.captions.metadata_file))
    for found in scans:
        for trouble in found.problems:
            say(f"Warning: {trouble.message}")
    apart = kept_back(config, scans)
    planned = plan(config, spec, scans if apart is None else apart.training)
    for note in (*(apart.notes + apart.warnings if apart else ()), *planned.notes):
        say(f"Note: {note}")
    trained = _trained(config, spec)
    pictures = len({sample.key for sample in planned.samples})
    say(
        f"{path}: {spec.title}, {pictures} pictures in {len(planned.buckets)} buckets, {planned.steps_per_epoch} steps "
        f"per epoch, {planned.total_steps} steps ({planned.epochs} epochs). It trains {trained}. Start it with: "
        f"loratory train {path}"
    )
    return 0


def kept_back(config: TrainConfig, scans: Sequence[Scan]) -> Apart | None:
    """What a training would keep back for validation; every picture is read for it. Raises UserError."""
    from loratory.data.scan import ContentHashes, scan
    from loratory.data.split import own_folder, set_apart

    if not config.validation.is_on:
        return None
    own = own_folder(config)
    folder = None if own is None else (scan(*own), ContentHashes(None, own[0]))
    return set_apart(config, scans, [ContentHashes(None, found.root) for found in scans], folder)


def show_network(path: Path, overrides: Sequence[str], every_layer: bool, say: Callable[[str], None]) -> int:
    """What a job would train, counted from tables or headers, without torch. Returns the exit code.

    With the architecture's name in the job nothing of a model on the Hub is needed. Raises UserError.
    """
    from loratory.config.architectures import get_spec
    from loratory.config.identify import identify
    from loratory.config.network_preview import preview
    from loratory.hub.download import resolve_model

    config, _ = read_job(path, overrides)
    known = config.model.architecture
    spec = get_spec(known if known is not None else identify(config.model, resolve_model))
    if config.network.shape_from_start:
        say(f"{path}: {config.network.type} on {spec.title}, with {_trained(config, spec)}")
        return 0
    shown = preview(spec, _layers(config, spec), config.network)
    groups: dict[tuple[str, str, str], list[int]] = {}
    for layer in shown.layers:
        component = layer.layer.path.partition(".")[0]
        groups.setdefault((component, layer.group, layer.type), []).append(layer.parameters)
        if every_layer:
            sizes = ", ".join(f"{name} {'×'.join(map(str, size))}" for name, size in layer.shapes.items())
            say(f"{layer.layer.path}  {'×'.join(map(str, layer.layer.shape))}  {layer.type}: {sizes}")
    say(f"{path}: {config.network.type} on {spec.title}")
    for (component, group, kind), counts in groups.items():
        say(f"  {component:16} {group:12} {kind:10} {len(counts):5} layers {sum(counts):14,} numbers")
    say(f"  together {_trained(config, spec, shown)}")
    say(f"Blocks for network.targets.blocks: {shown.blocks}")
    return 0


def export_job(path: Path, overrides: Sequence[str], program: str, folder: Path, say: Callable[[str], None]) -> int:
    """Write a job as another program's files into a folder, and say what they cannot. Returns the exit code.

    Raises UserError, also where a file would be overwritten.
    """
    from loratory.config.architectures import get_spec
    from loratory.config.identify import identify
    from loratory.data.scan import scan
    from loratory.files import write_atomic
    from loratory.hub.download import resolve_model
    from loratory.interop.exported import Facts, summary, writer
    from loratory.planner import plan, rules_of

    write = writer(program)
    config, _ = read_job(path, overrides)
    known = config.model.architecture
    spec = get_spec(known if known is not None else identify(config.model, resolve_model))
    folders = [(Path(dataset.path), dataset.captions.extensions) for dataset in config.datasets]
    scans = [scan(*each) if each[0].is_dir() else None for each in folders]
    here = [each for each in scans if each is not None]
    total = None
    if len(here) == len(scans):
        apart = kept_back(config, here)
        total = plan(config, spec, here if apart is None else apart.training).total_steps
    exported = write(config, spec, Facts(rules_of(config, spec), tuple(scans), total))
    there = [name for name in exported.files if (folder / name).exists()]
    if there:
        raise UserError(f"{folder} holds {', '.join(there)} already, which are not overwritten; give another --out.")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in exported.files.items():
        write_atomic(folder / name, text.encode())
    for line in summary(program, exported.notes):
        say(line)
    say(f"Wrote {', '.join(exported.files)} into {folder}.")
    return 0


def _layers(config: TrainConfig, spec: ArchitectureSpec) -> Sequence[Layer]:
    from loratory.config.identify import locate
    from loratory.config.network_preview import model_layers
    from loratory.hub.download import resolve_model

    path, revision = config.model.path, config.model.revision
    if config.model.architecture is not None and path != "demo" and not Path(path).exists():
        return model_layers(spec, None)  # a model of the Hub in its usual sizes
    local = locate(path, resolve_model, "model.path", revision=revision, allow_patterns=["model_index.json"])
    return model_layers(spec, local)


def _trained(config: TrainConfig, spec: ArchitectureSpec, shown: Preview | None = None) -> str:
    """How much a job trains, in words; `shown` is its preview, if there is one. Raises UserError where none can be."""
    from loratory.config.network_preview import check_blocks, file_bytes, preview, shape_of_file

    network, precision = config.network, config.saving.precision
    if network.shape_from_start and network.start_from is not None:
        layers, parameters, tensors = shape_of_file(Path(network.start_from))
    else:
        found = _layers(config, spec)
        shown = shown or preview(spec, found, network)
        check_blocks(config, spec, found, shown)
        layers, parameters, tensors = len(shown.layers), shown.parameters, shown.tensors
    size = file_bytes(parameters, tensors, precision) / 1e6
    return f"{layers} layers, {parameters:,} numbers, a file of about {size:.1f} MB ({precision})"


class Session:
    """One call of `loratory train`: the terminal, the log, and the reaction to Ctrl+C."""

    def __init__(self, log_file: Path | None = None) -> None:
        self.show = Show()
        self._log_file = log_file
        self._stack = ExitStack()

    def __enter__(self) -> Session:
        load_tokens()
        root = logging.getLogger()
        root.setLevel(logging.DEBUG)
        for noisy in ("PIL", "urllib3", "filelock", "asyncio", "matplotlib", "httpcore", "httpx"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        # On a machine without a graphics card it misses a kernel for 4 bits, which nothing here uses.
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
        self._terminal = log_to(self.show, "info")
        self._stack.callback(root.removeHandler, self._terminal)
        root.addHandler(self._terminal)
        if self._log_file is not None:
            self._stack.enter_context(_file_log(self._log_file))
        self._stack.enter_context(captured_output(self.show, logging.getLogger("output")))
        logging.captureWarnings(True)
        warnings.simplefilter("default")
        warnings.simplefilter("ignore", DeprecationWarning)  # what libraries tell each other's developers
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        logging.captureWarnings(False)
        self._stack.close()

    def train_all(
        self, configs: Sequence[Path], overrides: Sequence[str], *, recover: bool, weights_only: bool,
        from_step: int | None = None, dataset: Path | None = None,
    ) -> int:  # fmt: skip
        """Train every job in turn. `dataset`: a dataset file for those of kohya. Returns the exit code: 0 when all of
        them finished."""
        worst = 0
        for number, path in enumerate(configs):
            jobs = self._read(path, overrides, dataset)
            for turn, job in enumerate(jobs or [None]):
                code = 1 if job is None else self.train_one(path, job, weights_only, from_step)
                worst = max(worst, code)
                left = len(configs) - number - 1 + max(0, len(jobs) - turn - 1)
                if code == INTERRUPTED:
                    return code
                if code and left and not recover:
                    self.show.line(f"{left} more jobs were not started; --recover goes on after a failing one.")
                    return code
        return worst

    def _read(self, path: Path, overrides: Sequence[str], dataset: Path | None) -> list[Job]:
        """The jobs of a file; none, and it is said why, where it cannot be read."""
        try:
            return read_jobs(path, overrides, dataset)
        except UserError as error:
            self._failed(None, str(error))
        except Exception as error:
            log.debug("Traceback of the failure", exc_info=error)
            self._failed(None, f"{type(error).__name__}: {error}")
        return []

    def train_one(self, path: Path, job: Job, weights_only: bool, from_step: int | None = None) -> int:
        """Train one job and say in one line how it ended and what to do next. Returns the exit code."""
        started = time.monotonic()
        config, folder = job.config, job.folder
        for remark in job.remarks:
            self.show.line(remark)
        try:
            for line in keep_new_tokens(job.tokens):
                self.show.line(line)
            self._terminal.setLevel(config.logging.level.upper())
            from loratory.training.loop import StopFlag
            from loratory.training.run import run_training

            stop = StopFlag()
            with interruptible(stop.ask, self.show):
                outcome = run_training(
                    config, self.show, stop, run_path=folder, weights_only=weights_only, from_step=from_step
                )
        except KeyboardInterrupt:
            self.show.line(f"Left at once. To go on from the last checkpoint: loratory train {path}", "yellow")
            return INTERRUPTED
        except UserError as error:
            return self._failed(job, str(error))
        except Exception as error:
            log.debug("Traceback of the failure", exc_info=error)
            return self._failed(job, f"{type(error).__name__}: {error}")
        minutes = (time.monotonic() - started) / 60
        if outcome.state == "stopped":
            self.show.line(
                f"Stopped after step {outcome.steps} of {outcome.total_steps} ({stop.reason}); everything is saved. "
                f"To go on: loratory train {outcome.run.path}",
                "yellow",
            )
            return INTERRUPTED if stop.reason == "Ctrl+C" else 0
        lora = outcome.run.export_path(None, f".{config.saving.file_type}")
        self.show.line(
            f"Finished {outcome.steps} steps in {minutes:.1f} minutes. The LoRA: {lora}",
            "green",
        )
        return 0

    def _failed(self, job: Job | None, sentence: str) -> int:
        self.show.line(f"Error: {redact(sentence)}", "red")
        where = None if job is None else _log_of(job)
        if where is not None:
            self.show.line(f"The whole story is in {where}")
        elif self._log_file is not None:
            self.show.line(f"The whole story is in {self._log_file}")
        return 1


def _log_of(job: Job) -> Path | None:
    """The log of the run that a job belongs to, if the run exists."""
    from loratory.training.resume import run_path

    found = (job.folder or run_path(job.config)) / "log.txt"
    return found if found.exists() else None


@contextmanager
def _file_log(path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = LogFile(path)
    except OSError as error:
        raise UserError(f"The log file {path} cannot be written: {error.strerror}; give another --log.") from error
    handler.setFormatter(RedactingFormatter(LOG_FORMAT))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


@contextmanager
def interruptible(ask: Callable[[str], None], show: Show) -> Iterator[None]:
    """Within the block the first Ctrl+C asks the loop to stop after its step, the second leaves at once."""
    presses = 0

    def pressed(_number: int, _frame: FrameType | None) -> None:
        nonlocal presses
        presses += 1
        if presses > 1:
            raise KeyboardInterrupt
        ask("Ctrl+C")
        show.line("Finishing this step and saving. Ctrl+C again leaves at once.", "yellow")

    def told(_number: int, _frame: FrameType | None) -> None:
        ask("the system asked the process to end")

    former = {signal.SIGINT: signal.signal(signal.SIGINT, pressed), signal.SIGTERM: signal.signal(signal.SIGTERM, told)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
