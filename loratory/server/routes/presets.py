"""Presets: those that come along, and a person's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from loratory.server.context import Here
from loratory.server.drafts_in import Body, DraftIn, whole
from loratory.server.problems import Refused
from loratory.trash import to_trash

if TYPE_CHECKING:
    from loratory.config.presets import Preset

router = APIRouter(prefix="/api/presets", tags=["presets"])

Name = Annotated[str, Field(min_length=1, max_length=80)]


class PresetOut(BaseModel):
    """A preset."""

    name: str
    title: str
    architecture: str | None
    """The one that it is for; null where it fits all."""
    goal: str
    memory_gb: int | None
    """Of the graphics card that it is for."""
    own: bool
    """A person's own; those that come along cannot be changed."""
    proposed: bool
    """Is it right for the card in question?"""
    problem: str | None = None
    """Why a file of a person's own is no preset."""


class PresetDetail(PresetOut):
    """A preset with what it says."""

    settings: dict[str, Any]
    """As in a job file, only that `datasets` is a mapping: what holds for each of them."""
    why: list[str]


class PresetList(BaseModel):
    """Presets, and the card that is in question."""

    memory_gib: float | None
    """Of the card in question; null where none is known, and nothing is proposed then."""
    presets: list[PresetOut]


def _facts(preset: Preset, memory: float | None) -> dict[str, Any]:
    from loratory.config import presets

    nearest = None
    if memory is not None and preset.architecture is not None:
        nearest = presets.nearest_card(preset.architecture, memory)
    return {
        "name": preset.name, "title": preset.title, "architecture": preset.architecture, "goal": preset.goal,
        "memory_gb": preset.memory, "own": preset.path is not None,
        "proposed": preset.memory is not None and preset.memory == nearest,
    }  # fmt: skip


def _detail(preset: Preset) -> PresetDetail:
    from loratory.drafts.draft import finite

    return PresetDetail(**_facts(preset, None), settings=finite(preset.settings), why=list(preset.why))


@router.get("")
def list_presets(
    here: Here, architecture: Annotated[str | None, Field(max_length=80)] = None,
    goal: Annotated[str | None, Field(max_length=80)] = None,
    memory_gib: Annotated[float | None, Field(gt=0, le=10_000)] = None,
) -> PresetList:  # fmt: skip
    """List presets, of one architecture or goal, and say which are right for the card.

    For that of this machine, or one of so much memory.
    """
    from loratory.config import presets
    from loratory.config.architectures import get_spec

    memory = memory_gib
    if memory is None:
        card = here.desk.machine().memory_bytes
        memory = None if card is None else card / 2**30
    chosen = None if architecture is None else get_spec(architecture).name
    found = [PresetOut(**_facts(each, memory)) for each in presets.built_in().values()]
    for name in presets.own_names():
        found.append(_own(name, memory))
    return PresetList(memory_gib=memory, presets=[
        each for each in found
        if (chosen is None or each.architecture in (None, chosen)) and (goal is None or each.goal == goal)
    ])  # fmt: skip


def _own(name: str, memory: float | None) -> PresetOut:
    from loratory.config import presets

    preset, problem = presets.own_or_problem(name)
    if preset is not None:
        return PresetOut(**_facts(preset, memory))
    return PresetOut(name=name, title="", architecture=None, goal="", memory_gb=None, own=True, proposed=False,
                     problem=problem)  # fmt: skip


@router.get("/{name}")
def get_preset(name: Name) -> PresetDetail:
    """Show a preset with its settings and its reasons."""
    from loratory.drafts import applying

    return _detail(applying.named(name))


class PresetFile(BaseModel):
    """A preset as a file to keep or to give away."""

    name: str
    text: str


@router.get("/{name}/file")
def export_preset(name: Name) -> PresetFile:
    """Give a preset as the text of a file."""
    from loratory.config import presets
    from loratory.drafts import applying

    preset = applying.named(name)
    return PresetFile(name=f"{preset.name}.yaml", text=presets.as_text(preset))


class SavePreset(DraftIn):
    """A preset to make of a draft: only how to train is taken."""

    name: Name
    title: Annotated[str, Field(max_length=200)] = ""
    why: Annotated[tuple[str, ...], Field(max_length=20)] = ()
    architecture: Annotated[str | None, Field(max_length=80)] = None
    """Left out, that of the draft's model, where it says so."""
    replace: bool = False


class Saved(BaseModel):
    """A saved preset."""

    preset: PresetDetail
    left_out: list[str]
    """What could not be said in a preset: a sentence each."""


@router.post("", status_code=201)
def save_preset(body: SavePreset, here: Here) -> Saved:
    """Save how a draft trains as a preset of one's own: no names, no paths, nothing of the pictures."""
    from loratory.config import presets
    from loratory.config.architectures import get_spec
    from loratory.config.presets import Preset
    from loratory.drafts import applying
    from loratory.drafts.draft import check_draft

    draft = here.desk.read(body.given)
    wrong = [each for each in draft.mistakes if each.code != "missing"]
    config = draft.nearly
    if config is None or wrong:
        config = whole(draft, check_draft(draft, here.desk.ways())[0])
    settings, left_out = presets.settings_of(config)
    known = body.architecture or config.model.architecture
    spec = None if known is None else get_spec(known).name
    preset = Preset(body.name, body.title, settings, spec, why=body.why)
    _save(preset, overwrite=body.replace)
    return Saved(preset=_detail(applying.named(body.name)), left_out=left_out)


def _save(preset: Preset, *, overwrite: bool) -> None:
    from loratory.config import presets

    if not overwrite and preset.name in presets.own_names():
        raise Refused(
            409, "name_taken", f"There is a preset {preset.name} already; choose another name, or replace it."
        )
    presets.save(preset, replace=overwrite)


def _own_file(name: str) -> Path:
    from loratory.config import presets

    if name in presets.built_in():
        raise Refused(409, "comes_along", f"{name} comes along; it can be neither changed nor deleted.")
    if name not in presets.own_names():
        raise Refused(404, "no_preset", f"There is no preset {name!r} of your own.")
    return presets.own_path(name)


class ImportPreset(Body):
    """A preset's file."""

    name: Name
    text: Annotated[str, Field(max_length=1_000_000)]
    replace: bool = False


@router.post("/import", status_code=201)
def import_preset(body: ImportPreset) -> PresetDetail:
    """Take over a preset from its file."""
    from loratory.config import presets
    from loratory.config.plain import read_yaml
    from loratory.drafts import applying

    preset = presets.preset_of(read_yaml(body.text, body.name), body.name, body.name)
    _save(preset, overwrite=body.replace)
    return _detail(applying.named(body.name))


class RenamePreset(Body):
    """Its new name."""

    name: Name


@router.patch("/{name}")
def rename_preset(name: Name, body: RenamePreset) -> PresetDetail:
    """Rename a preset of one's own. Jobs that name it have to be changed by hand."""
    from loratory.drafts import applying

    path = _own_file(name)
    if body.name != name:
        _save(replace(applying.named(name), name=body.name), overwrite=False)
        path.unlink(missing_ok=True)
    return _detail(applying.named(body.name))


class TrashedPreset(BaseModel):
    """Where it is now."""

    trash_id: str
    bytes: int


@router.delete("/{name}")
def delete_preset(name: Name) -> TrashedPreset:
    """Move a preset of one's own to the trash."""
    entry = to_trash(_own_file(name), "preset")
    return TrashedPreset(trash_id=entry.id, bytes=entry.bytes)
