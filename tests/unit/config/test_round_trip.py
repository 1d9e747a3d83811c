"""Whatever can be asked for survives being written to the run's folder and read again."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from loratory.config.fields import values
from loratory.config.load import dump, load, parse, read_yaml
from loratory.config.train import TrainConfig
from loratory.training.resume import differences

# What YAML readers like to take for something else, and what does not fit on one plain line.
AWKWARD = [
    "1e4", "1e-4", "-2E3", "12", "1.0", "0x1f", "1_000", "12:30", ".5", ".inf", ".nan", "off", "no", "on", "YES",
    "true", "null", "~", "2024-01-01", "2024-01-01 10:00:00", "<<", "=", "", " ", " a ", "a: b", "- a", "# a", "a #b",
    "'", '"', "\\", "{a}", "[a]", "&a", "*a", "!a", "|", ">", "%a", "@a", "`a", "\n", "a\nb\n", "\t", "\r\n", "\x85",
    "\u2028", "\x07", "\ufeff", "döner", "日本語", "\U0001f436", "a" * 300, "word " * 60,
]  # fmt: skip
texts = st.sampled_from(AWKWARD) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = st.sampled_from(["1e4", "off", "2024-01-01", "12", "null", "~", "=", "ein Hund"]) | st.text(
    "abc123.-_ #&", min_size=1, max_size=20
).filter(lambda name: name.strip(" .") == name)


OWN = {(TrainConfig, "name"): names, (TrainConfig, "preset"): st.sampled_from([None, "classic", "sdxl-style-8gb"])}
"""Parameters whose values follow no annotation alone."""


def numbers(field: FieldInfo, whole: bool) -> st.SearchStrategy[Any]:
    limits = {
        key: getattr(each, key) for each in field.metadata for key in ("ge", "gt", "le", "lt") if hasattr(each, key)
    }
    low, high = limits.get("ge", limits.get("gt")), limits.get("le", limits.get("lt"))
    if whole:
        least = None if low is None else int(low) + ("gt" in limits)
        return st.integers(least, None if high is None else int(high) - ("lt" in limits))
    return st.floats(
        low, high, exclude_min="gt" in limits, exclude_max="lt" in limits, allow_nan=False, allow_infinity=False
    )


def of(annotation: Any, field: FieldInfo) -> st.SearchStrategy[Any]:
    """Valid values of one annotation."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return of(parts[0], field)
    if origin in (Union, types.UnionType):
        return st.one_of([of(part, field) for part in parts])
    if origin is Literal:
        return st.sampled_from(parts)
    if origin is tuple and Ellipsis in parts:
        least = max((each.min_length for each in field.metadata if hasattr(each, "min_length")), default=0)
        return st.lists(of(parts[0], FieldInfo()), min_size=least, max_size=3)
    if origin is tuple:
        return st.tuples(*[of(part, FieldInfo()) for part in parts]).map(list)
    if origin is dict:
        return st.dictionaries(texts, of(parts[1], FieldInfo()), max_size=2)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return sections(annotation)
    if annotation is str:
        least = max((each.min_length for each in field.metadata if hasattr(each, "min_length")), default=0)
        most = min((each.max_length for each in field.metadata if hasattr(each, "max_length")), default=1000)
        return texts.filter(lambda text: least <= len(text) <= most)
    return {int: numbers(field, True), float: numbers(field, False), bool: st.booleans(), type(None): st.none()}[
        annotation
    ]


def sections(model: type[BaseModel]) -> st.SearchStrategy[dict[str, Any]]:
    """Plain data for a section: any of its parameters given, or left to its default."""
    given, left_out = {}, {}
    for name, field in model.model_fields.items():
        strategy = OWN[model, name] if (model, name) in OWN else of(field.annotation, field)
        (given if field.is_required() or name == "type" else left_out)[name] = strategy
    return st.fixed_dictionaries(given, optional=left_out)


# Not shrunk: with so many parameters that takes minutes, and the awkward texts have a test of their own.
@settings(max_examples=50, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
@given(sections(TrainConfig))
def test_random_configs_survive(data: dict[str, Any]) -> None:
    config = parse(data, "test")
    written = read_yaml(dump(config), "test")
    again = parse(written, "test")
    assert again == config
    assert differences(config, again) == ([], [])
    # Nothing is left to defaults, which may be others in the next version.
    assert set(written) == set(TrainConfig.model_fields)
    plain = {path: value for path, value, _, _ in values(config)}
    assert {path: value for path, value, _, _ in values(again)} == plain


def test_awkward_texts_are_texts_again() -> None:
    data = {"name": "a", "model": {"path": "demo"}, "datasets": [{"path": "x"}], "sampling": {"prompts": AWKWARD}}
    written = dump(parse(data, "test"))
    assert read_yaml(written, "test")["sampling"]["prompts"] == AWKWARD
    # Any other YAML reader understands the file too.
    assert yaml.safe_load(written)["sampling"]["prompts"] == AWKWARD


def test_the_written_file_is_the_same_job_from_every_folder(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    file = tmp_path / "jobs" / "job.yaml"
    file.write_text(
        "name: 1a\nmodel: {path: ./model}\ndatasets: [{path: ./dog}]\nsaving: {output_dir: ../out}\n", encoding="utf-8"
    )
    config = load(file)
    frozen = tmp_path / "config.yaml"
    frozen.write_text(dump(config), encoding="utf-8")
    assert load(frozen) == config
