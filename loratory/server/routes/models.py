"""Base models, autoencoders and LoRA files on this machine, and what can be trained."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from loratory.config import catalogue
from loratory.config.architectures import SPECS
from loratory.hub.inventory import HUB_ROOT, RUNS_ROOT, Local
from loratory.hub.local import snapshot
from loratory.server.context import Here
from loratory.server.problems import Refused
from loratory.trash import to_trash

router = APIRouter(prefix="/api/models", tags=["models"])


class LocalModel(BaseModel):
    """A file or folder of weights on this machine."""

    id: str
    root: str
    """home, hub (what was downloaded from the Hub), runs (what was trained here), or another root's id."""
    relative: str
    """In its root; of the Hub the repository, of a run its name and the file."""
    path: str
    """What a job writes as model.path, model.vae_path or network.start_from."""
    layout: str
    """folder (diffusers) or file."""
    kind: str
    """model, vae, text_encoder, lora, other, pickle or broken."""
    title: str
    architecture: str | None
    bytes: int
    modified_ns: int
    precision: str | None
    numbers: int | None
    rank: int | None
    alpha: float | None
    trigger_words: str | None
    base_model: str | None
    problem: str | None
    can_be_deleted: bool


class LocalModels(BaseModel):
    """All of them."""

    models: list[LocalModel]


def _out(found: Local) -> LocalModel:
    facts = found.facts
    by_id = found.root == HUB_ROOT
    return LocalModel(
        id=found.id, root=found.root, relative=found.relative, path=found.relative if by_id else str(found.path),
        layout=found.layout, kind=facts.kind, title=facts.title, architecture=facts.architecture, bytes=found.bytes,
        modified_ns=found.modified_ns, precision=facts.precision, numbers=facts.numbers, rank=facts.rank,
        alpha=facts.alpha, trigger_words=facts.trigger_words, base_model=facts.base_model, problem=facts.problem,
        can_be_deleted=found.root not in (HUB_ROOT, RUNS_ROOT),
    )  # fmt: skip


@router.get("")
def list_models(here: Here, kind: str | None = None, architecture: str | None = None) -> LocalModels:
    """List models, autoencoders and LoRA files on this machine, with what their headers say."""
    found = [_out(each) for each in here.models.all()]
    return LocalModels(models=[
        each for each in found if kind in (None, each.kind) and architecture in (None, each.architecture)
    ])  # fmt: skip


class KnownArchitecture(BaseModel):
    """A kind of model that can be trained."""

    name: str
    title: str
    status: str
    repository: str
    licence: str
    gated: bool
    """Must its licence be accepted on the Hub before a download?"""
    present: bool
    """Is there one of it on this machine?"""
    facts: dict[str, Any]
    """All that `loratory models NAME --json` says."""


@router.get("/architectures")
def list_architectures(here: Here) -> list[KnownArchitecture]:
    """List the architectures that can be trained: licence, size, abilities, and whether one is here."""
    present = {each.facts.architecture for each in here.models.all() if each.facts.kind == "model"}
    return [
        KnownArchitecture(
            name=each.name, title=each.title, status=each.status, repository=each.repository, licence=each.licence,
            gated=each.gated, facts=catalogue.as_json(each),
            present=each.name in present or snapshot(SPECS[each.name].usual_repository) is not None,
        )
        for each in catalogue.entries()
    ]  # fmt: skip


@router.get("/{model_id}")
def get_model(model_id: str, here: Here) -> LocalModel:
    """Tell what is known about one file or folder."""
    return _out(here.models.find(model_id))


class TrashedModel(BaseModel):
    """Where it is now."""

    trash_id: str
    bytes: int


@router.delete("/{model_id}")
def delete_model(model_id: str, here: Here) -> TrashedModel:
    """Move a model, autoencoder or LoRA file to the trash."""
    found = here.models.find(model_id)
    if found.root == HUB_ROOT:
        sentence = f"{found.relative} lies in the cache of the Hub's client, which other programs use"
        raise Refused(409, "of_the_hub", f"{sentence}; remove it with `hf cache rm`.")
    if found.root == RUNS_ROOT:
        raise Refused(409, "of_a_run", f"{found.relative} belongs to a run: delete it among the run's checkpoints.")
    entry = to_trash(found.path, "model")
    return TrashedModel(trash_id=entry.id, bytes=entry.bytes)
