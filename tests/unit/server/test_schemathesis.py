"""Requests made from the schema, good and bad ones: none of them may end in an error that nobody foresaw."""

import itertools
from collections import Counter
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.generation import GenerationMode

from loratory.secrets import SECRET_VARIABLES
from loratory.server.app import create_app
from loratory.server.context import Options
from loratory.server.routes import events
from tests.server_routes import Client

EXAMPLES = [pytest.param(2, id="few"), pytest.param(25, id="many", marks=pytest.mark.full)]
"""Of good requests, and as many of bad ones, for each operation."""

LIMITS = settings(
    derandomize=True, deadline=None, database=None, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


def operations():
    schema = schemathesis.openapi.from_dict(create_app(Options()).openapi())
    return [found.ok() for found in schema.get_all_operations()]


OPERATIONS = operations()


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A server whose engines end at once, with a home of its own."""
    with pytest.MonkeyPatch.context() as patch:
        home: Path = tmp_path_factory.mktemp("home")
        patch.setenv("LORATORY_HOME", str(home))
        for name in SECRET_VARIABLES:  # put back at the end: the server takes kept tokens into its environment
            patch.setenv(name, "")
            patch.delenv(name)
        wish = events._wish
        patch.setattr(events, "_wish", lambda kinds, limit=1, wait=0: wish(kinds, limit, min(wait, 0.05)))
        patch.setattr("sys.executable", "/bin/true")  # every engine is `sys.executable -m loratory.cli …`
        with Client(create_app(Options()), base_url="http://127.0.0.1:8675", raise_server_exceptions=False) as client:
            yield client


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.definition.raw["operationId"])
@pytest.mark.parametrize("examples", EXAMPLES)
def test_no_request_ends_in_an_unforeseen_error(operation, examples, client):
    seen: Counter[int] = Counter()

    def ask(case) -> None:
        arguments = case.as_transport_kwargs(base_url="http://127.0.0.1:8675")
        client.cookies.update(arguments.pop("cookies", None) or {})
        if isinstance(arguments.get("data"), bytes | str):
            arguments["content"] = arguments.pop("data")
        answer = client.request(**arguments, follow_redirects=False)
        seen[answer.status_code] += 1
        assert answer.status_code < 500, f"{case.as_curl_command()}\n{answer.status_code} {answer.text[:2000]}"
        if answer.status_code >= 400 and answer.content:
            assert answer.headers["content-type"] == "application/problem+json", case.as_curl_command()
            assert answer.json()["detail"]

    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        run = given(case=operation.as_strategy(generation_mode=mode))(ask)
        try:
            settings(LIMITS, max_examples=examples)(run)()
        except Unsatisfiable:  # such as a request that says nothing and so can say nothing wrong
            assert mode is GenerationMode.NEGATIVE
    assert seen, "nothing was asked"


def test_every_operation_of_the_schema_is_asked():
    listed = {each["operationId"] for each in itertools.chain.from_iterable(
        path.values() for path in create_app(Options()).openapi()["paths"].values())}  # fmt: skip
    assert {operation.definition.raw["operationId"] for operation in OPERATIONS} == listed
