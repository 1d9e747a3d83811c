"""Which program's file this is, told by its content, and the jobs in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from loratory.config.load import apply_override, parse
from loratory.config.plain import read_text, write_yaml
from loratory.config.train import JobConfig
from loratory.errors import UserError
from loratory.files import write_atomic
from loratory.interop import aitoolkit, kohya
from loratory.interop.imported import Imported, summary
from loratory.tokens import keep_new_tokens


@dataclass(frozen=True)
class Format:
    """Another program's files. `read(path, text, dataset)`: dataset is a second file that describes the pictures, where
    the program has such (None otherwise). Both functions are pure but for the files that the text itself names."""

    name: str
    recognises: Callable[[Path, str], bool]
    read: Callable[[Path, str, Path | None], list[Imported]]
    takes_dataset: bool = False


FORMATS: tuple[Format, ...] = (
    Format("ai-toolkit", aitoolkit.recognises, aitoolkit.read),
    Format("kohya", kohya.recognises, kohya.read, takes_dataset=True),
)
"""Asked in this order; the first that recognises a file reads it."""


def read_foreign(path: Path, dataset: Path | None = None) -> list[Imported] | None:
    """The jobs in another program's file; None where it is none of theirs, thus one of ours.

    Raises UserError for a file that cannot be read, and for a `dataset` beside a file of which none knows it.
    """
    text = read_text(path)
    found = format_of(path, text)
    if dataset is not None and (found is None or not found.takes_dataset):
        whose = "a job file of ours" if found is None else f"a file of {found.name}"
        raise UserError(
            f"--dataset {dataset} goes with kohya's files; {path} is {whose}, which names its own pictures."
        )
    return None if found is None else found.read(path, text, dataset)


def format_of(path: Path, text: str) -> Format | None:
    """Whose file it is, by its name's ending and what it holds; None where it is none of theirs."""
    return next((each for each in FORMATS if each.recognises(path, text)), None)


def parsed(job: Imported, overrides: Sequence[str] = ()) -> JobConfig:
    """The config of an imported job with `--set a.b=value` put in. Raises UserError."""
    data = deepcopy(job.data)
    for override in overrides:
        apply_override(data, override)
    return parse(data, job.source)


def convert(path: Path, dataset: Path | None, out: Path | None, say: Callable[..., None], *, everything: bool) -> int:
    """Write the job files of another program's file and say what became of each setting; the exit code is 1 where the
    job still lacks something. `say(text, err=…)` prints: the job itself, if there is no `out`, is all that is not err.

    Of several jobs each has its own file, `<out>_<name>`. Raises UserError.
    """
    jobs = read_foreign(path, dataset)
    if jobs is None:
        raise UserError(f"{path} is no file of another trainer that is known here ({', '.join(_names())}).")
    code = 0
    for job in jobs:
        if len(jobs) > 1:
            say(f"{job.source}:", err=True)
        for line in (*summary(job.notes, everything=everything), *keep_new_tokens(job.tokens)):
            say(line, err=True)
        if out is None:
            say(write_yaml(job.data), nl=False)
        else:
            target = out if len(jobs) == 1 else out.with_name(f"{out.stem}_{job.data.get('name', 'job')}{out.suffix}")
            if target.exists():
                raise UserError(f"{target} exists; give another --out or take it away.")
            write_atomic(target, write_yaml(job.data).encode())
            say(f"Written: {target}", err=True)
        try:
            parsed(job)
        except UserError as error:
            say(f"It lacks something still. {error}", err=True)
            code = 1
    return code


def _names() -> list[str]:
    return [each.name for each in FORMATS]
