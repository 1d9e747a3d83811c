"""Everything that can be said about a job without loading a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.identify import spec_of
from loratory.config.mistakes import from_sentence
from loratory.config.problems import Problem
from loratory.config.rules import check as run_rules
from loratory.config.train import TrainConfig
from loratory.data.metadata_files import CaptionTable
from loratory.data.scan import Scan
from loratory.data.split import Apart
from loratory.drafts.network import Trained, trained
from loratory.drafts.prompts import prompts_of
from loratory.drafts.splitting import kept_back
from loratory.drafts.ways import Ways
from loratory.errors import UserError
from loratory.planner import Plan, plan
from loratory.planner.counts import count, shapes_of

Result = TypeVar("Result")
Level = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing to say. `sentence` is how the commands say it."""

    level: Level
    sentence: str
    fields: tuple[str, ...]
    """Dotted paths of the parameters that it is about; none for the job as a whole."""
    message: str
    """Without the fields' names."""
    code: str
    """For programs; it stays the same where words change."""
    fix: Mapping[str, Any] = field(default_factory=dict)
    """Dotted paths and new values that end it."""
    line: int | None = None
    column: int | None = None


@dataclass
class Checked:
    """What a check found, in the order in which it is to be told: rules first. What could not be found out is None."""

    spec: ArchitectureSpec | None = None
    rules: list[Problem] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    """Of the model, the pictures, the prompts; without those of the rules."""
    plan: Plan | None = None
    trained: Trained | None = None

    def all(self) -> Iterator[Finding]:
        yield from map(of_rule, self.rules)
        yield from self.findings

    def tried(self, work: Callable[[], Result], field_name: str, code: str) -> Result | None:
        """What `work` gives; None, and a finding about this field, where it cannot."""
        try:
            return work()
        except UserError as error:
            self.findings.append(of_error(error, field_name, code))
        except OSError as error:  # a name that is too long, a folder that may not be looked into
            sentence = f"{field_name}: it cannot be looked at ({error.strerror or error}); correct the path."
            self.findings.append(of_error(UserError(sentence), field_name, code))
        return None

    def say(self, level: Level, sentence: str, fields: Sequence[str], code: str) -> None:
        self.findings.append(Finding(level, sentence, tuple(fields), sentence, code))


def of_rule(problem: Problem) -> Finding:
    return Finding(problem.level, str(problem), problem.fields, problem.message, problem.code, problem.fix)


def of_error(error: UserError, field_name: str, code: str) -> Finding:
    """A sentence that stops a training, at the field that it names or at this one."""
    told = from_sentence(str(error), field_name, code)
    return Finding("error", str(error), (told.path,) if told.path else (), told.message, told.code)


def check_config(config: TrainConfig, ways: Ways) -> Checked:
    """Look at everything, and say all of it: one mistake does not hide another."""
    checked = Checked()
    checked.spec = checked.tried(lambda: spec_of(config.model, ways.resolve), "model.path", "unknown_model")
    if checked.spec is None:
        return checked
    spec = checked.spec
    checked.rules = run_rules(config, spec)
    prompts = checked.tried(lambda: prompts_of(config, spec), "sampling.prompts", "bad_prompt")
    for remark in prompts[1] if prompts is not None else ():
        checked.say("warning", remark, ["sampling.prompts"], "prompt_option_without_effect")
    scans = _scans(config, ways, checked)
    for number, found in enumerate(scans):
        for trouble in found.problems if found else ():
            checked.say("warning", trouble.message, [f"datasets.{number}.path"], "picture_left_out")
    if all(found is not None for found in scans):
        _plan(config, spec, [found for found in scans if found is not None], ways, checked)
    checked.trained = checked.tried(lambda: trained(config, spec, ways.resolve), "network", "nothing_trained")
    return checked


def _scans(config: TrainConfig, ways: Ways, checked: Checked) -> list[Scan | None]:
    scans = []
    for number, dataset in enumerate(config.datasets):
        place = f"datasets.{number}.path"
        scans.append(checked.tried(lambda dataset=dataset: ways.pictures(dataset), place, "no_pictures"))  # type: ignore[misc]
    for number, dataset in enumerate(config.datasets):
        table = dataset.captions.metadata_file
        if table is not None:
            place = f"datasets.{number}.captions.metadata_file"
            checked.tried(lambda table=table: CaptionTable(Path(table)), place, "bad_caption_table")  # type: ignore[misc]
    return scans


def _plan(config: TrainConfig, spec: ArchitectureSpec, scans: list[Scan], ways: Ways, checked: Checked) -> None:
    apart: Apart | None = None
    if not ways.reads_pictures:
        _count(config, spec, scans, checked)
        return
    if config.validation.is_on:
        apart = checked.tried(lambda: kept_back(config, scans, ways), "validation", "bad_validation")
    used = scans if apart is None else apart.training
    checked.plan = checked.tried(lambda: plan(config, spec, used), "datasets", "no_plan")
    for note in (*(apart.notes + apart.warnings if apart else ()), *(checked.plan.notes if checked.plan else ())):
        checked.say("note", note, _about(note), "note")


def _count(config: TrainConfig, spec: ArchitectureSpec, scans: list[Scan], checked: Checked) -> None:
    """The same in numbers alone."""
    shapes = [shapes_of(found, dataset.num_repeats) for found, dataset in zip(scans, config.datasets, strict=True)]
    counts = checked.tried(lambda: count(config, spec, shapes), "datasets", "no_plan")
    if counts is None:
        return
    for number, each in enumerate(counts.datasets):
        if each.dropped:
            said = f"{each.dropped} pictures of {each.path} are smaller than one bucket step and are left out."
            checked.say("note", said, [f"datasets.{number}.path"], "pictures_too_small")
    for note in counts.notes:
        checked.say("note", note, _about(note), "note")


def _about(note: str) -> list[str]:
    """A note may begin with the section that it is about."""
    begin = note.partition(" ")[0].rstrip(":")
    return [begin] if begin.partition(".")[0] in TrainConfig.model_fields else []
