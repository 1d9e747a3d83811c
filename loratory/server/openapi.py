"""The description of an application's routes, as clients are made from it."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of an application, made once."""
    if app.openapi_schema is None:
        found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        for operations in found["paths"].values():
            for operation in operations.values():
                _problems_have_their_type(operation)
                _first_line_is_summary(operation)
        app.openapi_schema = found
    return app.openapi_schema


def _problems_have_their_type(operation: dict[str, Any]) -> None:
    """FastAPI can say only of the usual answer that it is not application/json."""
    content = operation["responses"].get("default", {}).get("content", {})
    if "application/json" in content and "application/problem+json" in content:
        content["application/problem+json"] = content.pop("application/json")


def _first_line_is_summary(operation: dict[str, Any]) -> None:
    """Of a route's docstring, that is; FastAPI would make one of the function's name."""
    first, _, rest = operation.pop("description", "").partition("\n")
    operation["summary"] = first.strip() or operation["summary"]
    if rest.strip():
        operation["description"] = rest.strip()
