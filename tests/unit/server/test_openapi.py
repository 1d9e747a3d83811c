"""The description of the routes: committed, and whole enough to make clients from."""

import json
import re

from loratory.server import schema
from loratory.server.routes import ROUTERS

DOCUMENT = json.loads(schema.text())
OPERATIONS = [
    (f"{method} {path}", operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]


def test_the_committed_description_is_the_present_one():
    assert schema.PAGE.read_text(encoding="utf-8") == schema.text(), "run `make gen` and commit the difference"


def test_check_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(schema, "PAGE", tmp_path / "openapi.json")
    assert schema.main(["--check"]) == 1
    assert "make gen" in capsys.readouterr().err
    assert schema.main([]) == 0
    assert schema.main(["--check"]) == 0


def test_every_operation_has_a_name_of_its_own():
    names = [operation["operationId"] for _, operation in OPERATIONS]
    assert len(names) > 8
    assert sorted(names) == sorted(set(names))
    assert [name for name in names if not re.fullmatch(r"[a-z]+(_[a-z0-9]+)*", name)] == []


def test_every_route_says_what_it_does():
    undocumented = [
        where for where, operation in OPERATIONS if not re.fullmatch(r"[A-Z].{8,}[.]", operation["summary"])
    ]
    assert undocumented == [], "the first line of the docstring is a sentence"
    assert [where for where, operation in OPERATIONS if not operation.get("tags")] == []


def test_every_answer_has_a_type():
    """JSON has a schema; other content (pictures, streams) names its media type; 204 has none."""
    untyped = []
    for where, operation in OPERATIONS:
        for status, answer in operation["responses"].items():
            if status in ("204", "304") or (status.startswith("3") and not answer.get("content")):
                continue
            for kind, content in (answer.get("content") or {"nothing": {}}).items():
                if kind == "nothing" or (kind.endswith("json") and not content.get("schema")):
                    untyped.append(f"{where} {status}")
    assert untyped == []


def test_every_error_is_a_problem_document():
    for where, operation in OPERATIONS:
        answer = operation["responses"]["default"]["content"]
        assert answer["application/problem+json"]["schema"] == {"$ref": "#/components/schemas/Problem"}, where
        assert not {"422", "4XX"} & operation["responses"].keys(), where


def test_changes_are_never_asked_for_by_get():
    """By their names; that nothing is changed cannot be seen from here."""
    verbs = r"(create|add|set|change|remove|delete|start|stop|move|rename|empty|restore|log_out|log_in)(_|$)"
    assert [
        name for where, each in OPERATIONS if where.startswith("get") and re.match(verbs, name := each["operationId"])
    ] == []


def test_requests_are_closed():
    """A key with a spelling mistake must be an error, also here."""
    schemas = DOCUMENT["components"]["schemas"]
    bodies = [operation["requestBody"]["content"] for _, operation in OPERATIONS if "requestBody" in operation]
    names = {
        reference.rpartition("/")[2]
        for body in bodies
        for reference in re.findall(r'"\$ref": "([^"]+)"', json.dumps(body))
    }
    assert names
    sections = {name: schemas[name] for name in names if "properties" in schemas[name]}
    open_ones = [name for name, each in sections.items() if each.get("additionalProperties") is not False]
    assert open_ones == []


def test_routers_are_one_for_each_noun():
    """Also a noun of one other thing, such as the pictures of a dataset."""
    form = r"/api(/[a-z-]+)?(/{[a-z_]+}(/[a-z-]+)?)?"
    assert [router.prefix for router in ROUTERS if not re.fullmatch(form, router.prefix)] == []
