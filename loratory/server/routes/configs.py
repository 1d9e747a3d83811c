"""Jobs that are being written: what can be chosen, what is wrong, what it would take, and other programs' files."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Header, Response
from pydantic import BaseModel, Field

from loratory.errors import UserError
from loratory.server.context import Here
from loratory.server.drafts_in import Body, DraftIn, FindingOut, finding_out, plain, whole
from loratory.server.plans import EpochsOut, Plan, PlanIn, PlanOut, fit_out
from loratory.server.problems import Refused
from loratory.tokens import keep_new_tokens

if TYPE_CHECKING:
    from loratory.config.diff import Side
    from loratory.interop.imported import Note

router = APIRouter(prefix="/api/configs", tags=["configs"])

MOST_HEADER_BYTES = 16_000_000
"""Of a LoRA file's header, thumbnails and tag counts in it."""


# What can be chosen -------------------------------------------------------------------------------------------------


_SCHEMA: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {"schema": {"type": "object"}}}},
    304: {"description": "It is the one that the client has."},
}


@router.get("/schema", response_class=Response, responses=_SCHEMA)
def get_config_schema(if_none_match: Annotated[str | None, Header()] = None) -> Response:
    """Tell every parameter of a job as a JSON schema.

    With limits, help, place in the form and names in other programs.
    """
    from loratory.drafts import schema

    content, etag = schema.content()
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if if_none_match is not None and etag in if_none_match:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="application/json", headers=headers)


class ArchitectureForm(BaseModel):
    """What a form shows for one kind of model."""

    architecture: str
    title: str
    without_effect: list[str]
    """Dotted paths of parameters that do nothing here, as in the schema (`datasets[].path`)."""
    meant_by_null: dict[str, Any]
    """What a parameter that is left open (null) comes to here, by dotted path."""
    trainable_text_encoders: list[str]
    target_groups: list[str]
    trained_groups: list[str]


@router.get("/architectures")
def list_architecture_forms() -> list[ArchitectureForm]:
    """Tell for each architecture which parameters have no effect, and what open ones come to."""
    from loratory.drafts import schema

    return [ArchitectureForm(**each) for each in schema.forms()]


# What is wrong ------------------------------------------------------------------------------------------------------


class CheckIn(DraftIn):
    """What to check."""

    thorough: bool = False
    """Also what needs every picture to be read: which are kept back for validation. May take minutes once."""


class CheckOut(BaseModel):
    """Everything there is to say about a draft."""

    valid: bool
    """No error: a training would start."""
    findings: list[FindingOut]
    data: Any
    """The draft as plain data; null for a text that cannot be read."""
    config: dict[str, Any] | None
    """Every parameter with its value, the preset's and the defaults filled in; null while there are mistakes."""
    changed: dict[str, Any] | None
    """Only what differs from the defaults, as a job file has it."""
    architecture: str | None
    """Of the model, as far as it can be told without a download."""


@router.post("/check")
def check_config_draft(body: CheckIn, here: Here) -> CheckOut:
    """Check a draft and tell all problems at once, each with its fields and, where there is one, a fix."""
    from loratory.config.fields import changes
    from loratory.drafts.draft import check_draft, finite, positions

    draft = here.desk.read(body.given)
    findings, checked = check_draft(draft, here.desk.ways(thorough=body.thorough))
    if body.text is not None:
        findings = positions(body.text, findings)
    config = draft.config
    return CheckOut(
        valid=config is not None and all(each.level != "error" for each in findings),
        findings=[finding_out(each) for each in findings],
        data=finite(draft.data),
        config=None if config is None else plain(config),
        changed=None if config is None else finite(changes(config)),
        architecture=checked.spec.name if checked is not None and checked.spec is not None else None,
    )


class YamlIn(DraftIn):
    """What to write."""

    form: Literal["own", "changed", "all"] = "own"
    """own: the draft as it is; changed: what differs from the defaults, a preset's settings written out; all."""


class YamlOut(BaseModel):
    """A job file."""

    text: str


@router.post("/yaml")
def write_config_yaml(body: YamlIn, here: Here) -> YamlOut:
    """Write a draft as the YAML text of a job file; a check makes data of a text."""
    from loratory.config.fields import changes
    from loratory.config.load import dump
    from loratory.config.plain import write_yaml
    from loratory.drafts.draft import check_draft, finite

    draft = here.desk.read(body.given)
    if body.form == "own":
        if draft.data is None:
            whole(draft, check_draft(draft, here.desk.ways())[0])
        return YamlOut(text=write_yaml(finite(draft.data)))
    config = whole(draft, check_draft(draft, here.desk.ways())[0])
    if body.form == "all":
        return YamlOut(text=dump(config))
    data = {key: value for key, value in changes(config).items() if key != "preset"}
    return YamlOut(text=write_yaml({"job": config.job} | data))


# What it would take -------------------------------------------------------------------------------------------------


@router.post("/plan")
def plan_config_draft(body: PlanIn, here: Here) -> PlanOut:
    """Tell steps, buckets, disk, memory and time of a draft, and what would make it fit. Quick enough for every key."""
    from loratory.planner.command import Typed

    draft = here.desk.read(body.given)
    config = draft.nearly
    if config is None:
        reason = str(draft.mistakes[0]) if draft.mistakes else "The draft says nothing yet."
        return PlanOut(plan=None, reason=reason, whole=False, epochs_for_steps=None)
    wanted = None if body.typed is None else Typed(body.typed.pictures, body.typed.size)
    card = here.desk.card(body.gpu_memory_gib, config.runtime.device)
    try:
        found = here.desk.plan(config, card, wanted)
    except (UserError, OSError) as error:
        return PlanOut(plan=None, reason=_reason(draft, error), whole=draft.config is not None, epochs_for_steps=None)
    epochs = None
    if body.wanted_steps is not None:
        number = found.counts.epochs_for(body.wanted_steps)
        steps = number * found.counts.steps_per_epoch
        epochs = EpochsOut(wanted_steps=body.wanted_steps, epochs=number, steps=steps)
    told = found.as_json() | {"fit": None if found.fit is None else fit_out(found.fit)}
    return PlanOut(plan=Plan.model_validate(told), reason=None, whole=draft.config is not None, epochs_for_steps=epochs)


def _reason(draft: Any, error: Exception) -> str:
    """What is missing is said rather than that its stand-in is no folder."""
    if draft.mistakes and any(path.startswith(("datasets", "model")) for path in draft.left_out):
        return next(str(each) for each in draft.mistakes if each.path.startswith(("datasets", "model")))
    return str(error)


class LayersIn(DraftIn):
    """Whose layers to show."""

    every_layer: bool = False


class LayerGroup(BaseModel):
    """Trained layers of one kind."""

    component: str
    group: str
    type: str
    layers: int
    numbers: int


class LayerOut(BaseModel):
    """One trained layer."""

    path: str
    shape: list[int]
    type: str
    group: str
    block: str | None
    numbers: int


class LayersOut(BaseModel):
    """What would be trained."""

    groups: list[LayerGroup]
    layers: int
    numbers: int
    file_bytes: int
    """About what an exported file takes."""
    blocks: str | None
    """The names that network.targets.blocks understands."""
    every_layer: list[LayerOut] | None


@router.post("/layers")
def preview_trained_layers(body: LayersIn, here: Here) -> LayersOut:
    """Tell which layers a draft would train, without loading the model."""
    from loratory.drafts import network
    from loratory.drafts.draft import check_draft
    from loratory.hub.local import resolve_local

    draft = here.desk.read(body.given)
    if draft.nearly is None:
        whole(draft, check_draft(draft, here.desk.ways())[0])
    assert draft.nearly is not None
    found = network.trained(draft.nearly, network.spec_of(draft.nearly.model, resolve_local), resolve_local)
    shown = found.shown
    listed = None
    if body.every_layer and shown is not None:
        listed = [
            LayerOut(path=each.layer.path, shape=list(each.layer.shape), type=each.type, group=each.group,
                     block=each.block, numbers=each.parameters)
            for each in shown.layers
        ]  # fmt: skip
    return LayersOut(
        groups=[] if shown is None else [LayerGroup(**vars(each)) for each in network.groups(shown)],
        layers=found.layers, numbers=found.numbers, file_bytes=found.file_bytes,
        blocks=None if shown is None else shown.blocks, every_layer=listed,
    )  # fmt: skip


# Comparing and presets ----------------------------------------------------------------------------------------------


class Compared(Body):
    """One side of a comparison: exactly one of these; none of them stands for the defaults."""

    draft: DraftIn | None = None
    preset: Annotated[str | None, Field(max_length=200)] = None
    run: Annotated[str | None, Field(max_length=26)] = None
    """The id of a run."""


class DiffIn(Body):
    """What to compare."""

    a: Compared
    b: Compared = Compared()


class DifferenceOut(BaseModel):
    """A parameter that is not the same."""

    path: str
    a: Any
    b: Any
    in_a: bool
    """Is there such a parameter on this side? An optimizer may have others than another one."""
    in_b: bool


class DiffOut(BaseModel):
    """What differs, in the order of a job file."""

    differences: list[DifferenceOut]


@router.post("/diff")
def compare_configs(body: DiffIn, here: Here) -> DiffOut:
    """Compare two of: a draft, a preset, a run, the defaults."""
    from loratory.config import diff

    found = diff.differences(_side(body.a, here), _side(body.b, here))
    return DiffOut(differences=[
        DifferenceOut(path=each.path, a=plain(each.a), b=plain(each.b), in_a=each.in_a, in_b=each.in_b)
        for each in found
    ])  # fmt: skip


def _side(given: Compared, here: Here) -> Side:
    from loratory.config.diff import Side
    from loratory.drafts import applying
    from loratory.drafts.comparing import run_side
    from loratory.drafts.draft import check_draft

    if sum(each is not None for each in (given.draft, given.preset, given.run)) > 1:
        raise Refused(422, "more_than_one", "Give one of draft, preset and run for a side; none is the defaults.")
    if given.draft is not None:
        draft = here.desk.read(given.draft.given)
        if draft.nearly is None:
            whole(draft, check_draft(draft, here.desk.ways())[0])
        return Side("draft", draft.nearly)
    if given.preset is not None:
        return Side(given.preset, applying.named(given.preset))
    return Side("defaults", None) if given.run is None else run_side(here.index.find(given.run))


class ApplyIn(DraftIn):
    """Which preset to apply to what."""

    preset: Annotated[str, Field(max_length=200)]
    keep_own: bool = False
    """Keep settings of the draft that the preset says nothing about; otherwise they go back to the defaults."""


class ApplyOut(BaseModel):
    """The draft with the preset."""

    data: dict[str, Any]
    differences: list[DifferenceOut]
    """What changed, `a` before and `b` after."""


@router.post("/apply-preset")
def apply_preset(body: ApplyIn, here: Here) -> ApplyOut:
    """Apply a preset to a draft: how to train changes, the job's name, model, pictures and places stay.

    Nothing is saved.
    """
    from loratory.config import diff
    from loratory.config.diff import Side
    from loratory.drafts import applying
    from loratory.drafts.draft import check_draft, finite

    preset = applying.named(body.preset)
    draft = here.desk.read(body.given)
    if not isinstance(draft.data, dict) or draft.nearly is None:
        whole(draft, check_draft(draft, here.desk.ways())[0])
    data = applying.applied(draft.data, preset, keep_own=body.keep_own)
    after = here.desk.read(data)
    found = []
    if draft.nearly is not None and after.nearly is not None:
        found = diff.differences(Side("before", draft.nearly), Side("after", after.nearly))
    return ApplyOut(data=finite(data), differences=[
        DifferenceOut(path=each.path, a=plain(each.a), b=plain(each.b), in_a=each.in_a, in_b=each.in_b)
        for each in found if each.path != "preset"
    ])  # fmt: skip


# Other programs' files ----------------------------------------------------------------------------------------------


class FileIn(Body):
    """A file that was dropped. Of a LoRA file (.safetensors) only its beginning with the whole header is needed."""

    name: Annotated[str, Field(min_length=1, max_length=500)]
    text: Annotated[str | None, Field(max_length=1_000_000)] = None
    base64: Annotated[str | None, Field(max_length=MOST_HEADER_BYTES * 4 // 3 + 4)] = None
    """Instead of text: the bytes."""


class ImportIn(Body):
    """Files to make drafts of: the first one, and those that it names."""

    files: Annotated[list[FileIn], Field(min_length=1, max_length=20)]
    keep_tokens: bool = False
    """Keep tokens that the file holds, where none is known; otherwise they are only named, and dropped."""


class NoteOut(BaseModel):
    """What became of one key."""

    level: str
    """mapped, default, ignored, unsupported, dead, unknown or secret."""
    key: str
    message: str


class ImportedOut(BaseModel):
    """One job."""

    source: str
    data: dict[str, Any]
    text: str
    """The same as a job file."""
    notes: list[NoteOut]
    tokens: list[str]
    """Names of the tokens that the file held; never their values."""
    findings: list[FindingOut]


class ImportOut(BaseModel):
    """What was in the files."""

    format: str
    """kohya, ai-toolkit, loratory, or lora for the metadata of a LoRA file."""
    jobs: list[ImportedOut]
    kept: list[str]
    """What was done with tokens, a sentence each; only where that was asked for."""


@router.post("/import")
def import_config(body: ImportIn, here: Here) -> ImportOut:
    """Make drafts of files of kohya's trainer and its forms, of ai-toolkit, of ours, or of a LoRA file's metadata."""
    from loratory.config.plain import write_yaml
    from loratory.drafts import importing
    from loratory.drafts.draft import check_draft, finite

    found = importing.arrived({each.name: _content(each) for each in body.files})
    jobs, kept = [], []
    for job in found.jobs:
        draft = here.desk.read(job.data)
        findings, _ = check_draft(draft, here.desk.ways())
        if body.keep_tokens:
            kept += keep_new_tokens(job.tokens)
        jobs.append(ImportedOut(
            source=finite(job.source), data=finite(job.data), text=write_yaml(finite(job.data)),
            notes=[_note_out(each) for each in job.notes],
            tokens=sorted(job.tokens), findings=[finding_out(each) for each in findings],
        ))  # fmt: skip
    return ImportOut(format=found.format, jobs=jobs, kept=kept)


def _note_out(note: Note) -> NoteOut:
    from loratory.drafts.draft import finite

    return NoteOut(level=note.level, key=finite(note.key), message=finite(note.message))


def _content(file: FileIn) -> bytes:
    if (file.text is None) == (file.base64 is None):
        raise Refused(422, "no_content", f"Give either text or base64 of {file.name}.")
    if file.base64 is None:
        return str(file.text).encode("utf-8", "replace")
    try:
        return base64.b64decode(file.base64, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(422, "no_base64", f"What was sent as {file.name} is not base64 ({error}).") from error


class ExportIn(DraftIn):
    """What to write."""

    to: Literal["loratory", "kohya", "ai-toolkit"]


class FileOut(BaseModel):
    """A file to save."""

    name: str
    text: str


class ExportOut(BaseModel):
    """Files that are meant to lie together."""

    files: list[FileOut]
    notes: list[NoteOut]
    """unsupported: it cannot be said there, so the training differs; mapped: said with a difference; ignored."""


@router.post("/export")
def export_config(body: ExportIn, here: Here) -> ExportOut:
    """Write a draft as a job file of ours, as kohya's two files or as ai-toolkit's, with what these cannot say."""
    from loratory.config.plain import write_yaml
    from loratory.drafts import exporting
    from loratory.drafts.draft import check_draft, finite

    draft = here.desk.read(body.given)
    ways = here.desk.ways()
    if body.to == "loratory":
        if draft.data is None:
            whole(draft, check_draft(draft, ways)[0])
        name = draft.data.get("name") if isinstance(draft.data, dict) else None
        return ExportOut(files=[FileOut(name=f"{name if isinstance(name, str) and name else 'job'}.yaml",
                                        text=write_yaml(finite(draft.data)))], notes=[])  # fmt: skip
    config = whole(draft, check_draft(draft, ways)[0])
    found = exporting.export(config, body.to, ways)
    return ExportOut(
        files=[FileOut(name=name, text=text) for name, text in found.files.items()],
        notes=[_note_out(each) for each in found.notes],
    )
