"""The routes of the Batch API.

Values of a body are handed on as they came: whether they are absent, of a wrong type or not
allowed is the Backend's to say, so that its answer is the same by whatever way it is asked.
"""

from __future__ import annotations

from typing import Any, cast

from batchsim.backends.fake import refusals
from batchsim.errors import Refused
from batchsim.wire import parse, render
from batchsim.wire.message import Response
from batchsim.wire.routes import Call, Route

REQUIRED = ("input_file_id", "endpoint", "completion_window")
OPTIONAL = ("metadata", "output_expires_after")


def create(call: Call) -> Response:
    """`POST /v1/batches`."""
    body = parse.json_object(call.request)
    for name in body:
        if name not in REQUIRED + OPTIONAL:
            raise Refused(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    batch = call.backend.create_batch(
        **{name: cast(str, body.get(name)) for name in REQUIRED},
        metadata=_object(body, "metadata"),
        output_expires_after=_output_lifetime(body),
    )
    return render.pretty(render.batch_object(batch, call.profile))


def list_(call: Call) -> Response:
    """`GET /v1/batches`."""
    query = parse.query(call.request)
    arguments: dict[str, Any] = {"after": query.get("after")}
    if "limit" in query:
        arguments["limit"] = parse.integer("limit", query["limit"])
    return render.pretty(render.batch_list(call.backend.list_batches(**arguments), call.profile))


def retrieve(call: Call) -> Response:
    """`GET /v1/batches/{id}`."""
    batch = call.backend.retrieve_batch(call.identifier)
    return render.pretty(render.batch_object(batch, call.profile))


def cancel(call: Call) -> Response:
    """`POST /v1/batches/{id}/cancel`."""
    batch = call.backend.cancel_batch(call.identifier)
    return render.compact(render.batch_object(batch, call.profile))


def _object(body: dict[str, Any], name: str) -> dict[str, Any] | None:
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise refusals.wrong_type(name, "an object", value)
    return value


def _output_lifetime(body: dict[str, Any]) -> int | None:
    name = "output_expires_after"
    value = _object(body, name)
    if value is None:
        return None
    return cast(int, parse.lifetime(name, value.get("anchor"), value.get("seconds")))


ROUTES = (
    Route("POST", "/v1/batches", create),
    Route("GET", "/v1/batches", list_),
    Route("GET", "/v1/batches/{id}", retrieve),
    Route("POST", "/v1/batches/{id}/cancel", cancel),
)
