"""What several routes take and give: drafts of jobs, findings about them, changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from loratory.config.plain import MOST_BYTES
from loratory.server.problems import Refused

if TYPE_CHECKING:
    from loratory.config.train import TrainConfig
    from loratory.drafts.checking import Finding
    from loratory.drafts.draft import Draft


class Body(BaseModel):
    """What a client sends: keys that are not known are refused."""

    model_config = ConfigDict(extra="forbid")


class DraftIn(Body):
    """A job that is being written, as data or as YAML text. A dataset of this server is named by its id, in the place
    of a path: `dataset:<id>`. Relative paths count from LORATORY_HOME."""

    data: dict[str, Any] | None = None
    text: Annotated[str | None, Field(max_length=MOST_BYTES)] = None

    @model_validator(mode="after")
    def _one_of_them(self) -> DraftIn:
        if (self.data is None) == (self.text is None):
            raise ValueError("give either data or text")
        return self

    @property
    def given(self) -> Any:
        return self.data if self.text is None else self.text


class ChangeOut(BaseModel):
    """One change of a draft."""

    path: str
    """Dotted; entries of lists count from 0."""
    value: Any = None
    remove: bool = False
    """Take the key out; `value` means nothing then."""


class FindingOut(BaseModel):
    """Something to say about a draft."""

    level: Literal["error", "warning", "note"]
    """An error stops a training; a warning says that something has no effect or is likely not meant."""
    fields: list[str]
    """Dotted paths of the parameters that it is about; none for the job as a whole."""
    message: str
    """Without the names of the fields."""
    sentence: str
    """With them, as the command line says it."""
    code: str
    """For programs; it stays the same where words change."""
    fix: list[ChangeOut]
    """Changes that end it, all together; empty where a person has to decide."""
    line: int | None
    """In the text that was sent, from 1."""
    column: int | None


def finding_out(found: Finding) -> FindingOut:
    from loratory.drafts.draft import finite

    return FindingOut(
        level=found.level, fields=finite(found.fields), message=finite(found.message),
        sentence=finite(found.sentence), code=found.code,
        fix=changes_out(found.fix), line=found.line, column=found.column,
    )  # fmt: skip


def changes_out(changes: Mapping[str, Any]) -> list[ChangeOut]:
    from loratory.drafts.draft import finite

    return [_change_out(finite(path), value) for path, value in changes.items()]


def _change_out(path: str, value: Any) -> ChangeOut:
    from loratory.config.plain import Remove

    return ChangeOut(path=path, remove=True) if isinstance(value, Remove) else ChangeOut(path=path, value=plain(value))


def plain(value: Any) -> Any:
    """As JSON has it; a section of a config as its data."""
    from loratory.drafts.draft import finite

    return finite(value.model_dump(mode="json") if isinstance(value, BaseModel) else value)


def whole(draft: Draft, findings: Iterable[Finding]) -> TrainConfig:
    """The config of a draft without mistakes; raises Refused for one that has some."""
    if draft.config is None:
        found = [finding_out(each) for each in findings]
        first = found[0].sentence if found else "it is not whole"
        raise Refused(
            422, "draft_has_mistakes", f"The draft has mistakes; the first: {first}",
            findings=[each.model_dump() for each in found],
        )  # fmt: skip
    return draft.config
