"""`GET /openapi.json`: an OpenAPI 3.1 description, made from the routes."""

from collections.abc import Iterable
from typing import Any

from batchsim.wire.endpoints.openapi_schemas import SCHEMAS, TEXT, identifier, reference
from batchsim.wire.endpoints.route import Route
from batchsim.wire.http import Response, render


def answer(routes: tuple[Route, ...]) -> Response:
    return render.pretty(describe(routes))


def describe(routes: tuple[Route, ...]) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "batchsim",
            "version": "1",
            "description": "The OpenAI Batch API, its files and uploads, simulated.",
        },
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": SCHEMAS,
            "responses": {"Error": _content("The request failed", "Error")},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": list(_parameters(route)),
        "responses": {"200": _success(route), "default": {"$ref": "#/components/responses/Error"}},
    }
    for kind, schema in (("application/json", route.body), ("multipart/form-data", route.form)):
        if schema is not None:
            content = {kind: {"schema": reference(schema)}}
            described["requestBody"] = {"required": True, "content": content}
    return described


def _parameters(route: Route) -> Iterable[dict[str, Any]]:
    if "{id}" in route.path:
        form = identifier("batch") if route.path.startswith("/v1/batches/") else TEXT
        yield {"name": "id", "in": "path", "required": True, "schema": form}
    for name, schema in route.query.items():
        yield {"name": name, "in": "query", "schema": schema}


def _success(route: Route) -> dict[str, Any]:
    if route.success is not None:
        return _content("Success", route.success)
    schema = {"type": "string", "format": "binary"}
    return {"description": "The bytes", "content": {"application/octet-stream": {"schema": schema}}}


def _content(description: str, schema: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": {"schema": reference(schema)}},
    }
