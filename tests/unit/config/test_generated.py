"""What is made from the declarations: the JSON schema and the reference page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from loratory.config import docs
from loratory.config.base import param_of
from loratory.config.fields import declared
from loratory.config.train import TrainConfig

SCHEMA = json.loads(json.dumps(docs.schema(), default=str))
# Of JSON Schema 2020-12, what pydantic uses: keyword -> type of its value.
KEYWORDS: dict[str, type | tuple[type, ...]] = {
    "$ref": str, "$defs": dict, "title": str, "description": str, "default": object, "type": str, "const": object,
    "enum": list, "properties": dict, "required": list, "additionalProperties": (bool, dict), "items": dict,
    "prefixItems": list, "minItems": int, "maxItems": int, "minLength": int, "maxLength": int, "anyOf": list,
    "oneOf": list, "minimum": (int, float), "maximum": (int, float), "exclusiveMinimum": (int, float),
    "exclusiveMaximum": (int, float), "discriminator": dict, "param": dict,
}  # fmt: skip
TYPES = {"object", "array", "string", "integer", "number", "boolean", "null"}


def parts(schema: dict[str, Any], place: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    """The schema and every schema inside it."""
    yield place, schema
    for keyword in ("properties", "$defs"):
        for name, inner in schema.get(keyword, {}).items():
            yield from parts(inner, f"{place}/{keyword}/{name}")
    for keyword in ("anyOf", "oneOf", "prefixItems"):
        for number, inner in enumerate(schema.get(keyword, [])):
            yield from parts(inner, f"{place}/{keyword}/{number}")
    if "items" in schema:
        yield from parts(schema["items"], f"{place}/items")


def resolve(schema: dict[str, Any]) -> dict[str, Any]:
    found: Any = SCHEMA
    for step in schema["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    assert isinstance(found, dict)
    return found


def test_the_schema_is_a_valid_json_schema() -> None:
    for place, schema in parts(SCHEMA):
        assert schema.keys() <= KEYWORDS.keys(), place
        for keyword, value in schema.items():
            assert isinstance(value, KEYWORDS[keyword]), f"{place}/{keyword}"
        if "type" in schema:
            assert schema["type"] in TYPES, place
        if "$ref" in schema:
            resolve(schema)
        if schema.get("type") == "object" and "properties" in schema:  # otherwise a table with keys of one's own
            assert schema["additionalProperties"] is False, f"{place}: an unknown key must be an error"
            assert set(schema.get("required", [])) <= schema["properties"].keys(), place


def from_schema(schema: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """(dotted path, schema) of every parameter, as a form would find them."""
    for name, inner in schema["properties"].items():
        references = [each for each in (inner, *inner.get("oneOf", []), inner.get("items", {})) if "$ref" in each]
        path = f"{prefix}{name}" + ("[]" if "$ref" in inner.get("items", {}) else "")
        if not references:
            yield path, inner
        for reference in references:
            yield from from_schema(resolve(reference), f"{path}.")


def test_every_parameter_is_in_the_schema_with_all_that_is_known_about_it() -> None:
    found: dict[str, list[dict[str, Any]]] = {}
    for path, schema in from_schema(SCHEMA):
        found.setdefault(path, []).append(schema)
    expected = list(declared(TrainConfig))
    assert set(found) == {path for path, _, _ in expected}
    for path, model, name in expected:
        facts, help_text = param_of(model, name), model.model_fields[name].description
        wanted = {
            "tab": facts.tab, "group": facts.group, "level": facts.level, "unit": facts.unit,
            "architectures": list(facts.architectures), "kohya": list(facts.kohya), "aitoolkit": list(facts.aitoolkit),
            "on_resume": facts.on_resume, "owner": facts.owner, "secret": facts.secret, "path": facts.path,
            "affects_cache": facts.affects_cache,
        }  # fmt: skip
        same = [schema for schema in found[path] if schema["param"] == wanted and schema["description"] == help_text]
        assert same, path
        default = model.model_fields[name].get_default(call_default_factory=True)
        if not model.model_fields[name].is_required():
            assert json.loads(json.dumps(default)) in [schema["default"] for schema in same], path


def test_limits_reach_the_schema() -> None:
    found: dict[str, Any] = {}
    for path, schema in from_schema(SCHEMA):
        found.setdefault(path, schema)  # the first of a union's members
    assert (found["network.rank"]["minimum"], found["network.rank"]["maximum"]) == (1, 1024)
    assert found["network.dropout"]["exclusiveMaximum"] == 1
    assert found["seed"]["exclusiveMaximum"] == 2**63
    assert found["memory.precision"]["enum"] == ["fp32", "bf16", "fp16"]
    assert SCHEMA["required"] == ["name", "model", "datasets"]


def test_committed_pages_are_fresh() -> None:
    for path, text in docs.pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path} is not up to date; run `make gen`"


def test_the_reference_page_names_every_parameter_once_under_its_tab() -> None:
    page = docs.reference()
    sections = dict(part.split("\n", 1) for part in page.split("\n## ")[1:])
    for path, model, name in declared(TrainConfig):
        (tab,) = [each for each, text in sections.items() if f"**`{path}`**" in text]
        assert tab == param_of(model, name).tab
        assert (model.model_fields[name].description or "") in sections[tab]


def test_check_finds_a_stale_page_and_gen_mends_it(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(docs, "FOLDER", tmp_path / "reference")
    assert docs.main(["--check"]) == 1
    assert docs.main([]) == 0
    assert docs.main(["--check"]) == 0
    page = tmp_path / "reference" / "config.md"
    page.write_text(page.read_text(encoding="utf-8") + "edited by hand\n", encoding="utf-8")
    capsys.readouterr()
    assert docs.main(["--check"]) == 1
    assert str(page) in capsys.readouterr().err
    assert "edited by hand" in page.read_text(encoding="utf-8"), "--check must not write"
    assert docs.main([]) == 0
    assert "edited by hand" not in page.read_text(encoding="utf-8")
