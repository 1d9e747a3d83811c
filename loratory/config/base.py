"""The strict model every section is made of, and `param()`, which declares one choice a person can make.

Everything else that knows about parameters (the form, `--set`, the reference page, the JSON schema, imports from and
exports to other trainers) reads what is declared here. Nothing is typed twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Tab = Literal["Setup", "Dataset", "LoRA", "Learning rate", "Advanced", "Saving", "Logging"]
Level = Literal["basic", "advanced", "expert"]
OnResume = Literal["free", "warn", "forbid"]
Owner = Literal["recipe", "job"]

TABS: tuple[Tab, ...] = get_args(Tab)


class StrictModel(BaseModel):
    """A section of the config: closed (an unknown key is an error), unchangeable, and its defaults are checked too."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, protected_namespaces=(), allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _true_is_no_number(cls, data: Any) -> Any:
        """pydantic would read `rank: true` as rank 1."""
        if not isinstance(data, Mapping):
            return data
        fields = cls.model_fields
        return {
            name: value if name in fields and fields[name].annotation is bool else _guarded(value)
            for name, value in data.items()
        }


@dataclass(frozen=True)
class Truth:
    """`true` or `false` where neither belongs; no type of a parameter takes it."""

    value: bool


def _guarded(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_guarded(each) for each in value]
    return Truth(value) if isinstance(value, bool) else value


@dataclass(frozen=True)
class Param:
    """What is known about one parameter besides its type, default, limits and help."""

    tab: Tab
    group: str
    level: Level = "basic"
    unit: str = ""
    architectures: tuple[str, ...] = ()
    """Where it has an effect; empty means everywhere."""
    kohya: tuple[str, ...] = ()
    aitoolkit: tuple[str, ...] = ()
    """Names in the other trainers' worlds."""
    on_resume: OnResume = "warn"
    """May it differ when a run goes on? free: yes; warn: yes, and it is said; forbid: no."""
    owner: Owner = "recipe"
    """recipe: part of how to train, worth sharing; job: belongs to this machine and this run."""
    secret: bool = False
    path: bool = False
    """Is it a path? A relative one counts from the job file's folder (in --set: from the current folder)."""
    affects_cache: bool = False
    """Does another value make cached latents or embeddings unusable (they are then made anew)?"""


def param(  # noqa: PLR0913  (each is one of pydantic's own words for a field)
    default: Any = ...,
    *,
    help: str,
    tab: Tab,
    group: str,
    default_factory: Any = None,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    min_length: int | None = None,
    max_length: int | None = None,
    **facts: Any,
) -> Any:
    """Declare one parameter. `facts` are the other fields of `Param`."""
    for name in ("architectures", "kohya", "aitoolkit"):
        if isinstance(facts.get(name), str):
            facts[name] = (facts[name],)
    information = Param(tab=tab, group=group, **facts)
    limits: dict[str, Any] = {
        "ge": ge,
        "gt": gt,
        "le": le,
        "lt": lt,
        "min_length": min_length,
        "max_length": max_length,
    }
    limits = {key: value for key, value in limits.items() if value is not None}
    start: dict[str, Any] = {"default_factory": default_factory} if default_factory else {"default": default}
    return Field(description=help, json_schema_extra={"param": asdict(information)}, **start, **limits)


@cache
def param_of(model: type[BaseModel], field: str) -> Param:
    """The metadata of one field. Fails with KeyError for a field that was declared without `param()`."""
    extra = model.model_fields[field].json_schema_extra
    if not isinstance(extra, dict) or "param" not in extra:
        raise KeyError(f"{model.__name__}.{field} was not declared with param()")
    facts: Any = extra["param"]
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()}
    return Param(**values)
