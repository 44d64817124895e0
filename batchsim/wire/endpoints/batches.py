"""The routes of the Batch API.

Values of a body are passed on unchecked. The Backend refuses what is missing, of a wrong type or
not allowed, so its answer does not depend on the way that it is asked.
"""

from typing import Any, cast

from batchsim.wire.endpoints.route import Call, Route
from batchsim.wire.http import Response, parse, render

REQUIRED = ("input_file_id", "endpoint", "completion_window")
OPTIONAL = ("metadata", "output_expires_after")


def create(call: Call) -> Response:
    body = parse.json_object(call.request)
    parse.only(body, REQUIRED + OPTIONAL)
    batch = call.ask(
        call.backend.create_batch,
        **{name: cast(str, body.get(name)) for name in REQUIRED},
        metadata=parse.json_object_in(body, "metadata"),
        output_expires_after=parse.lifetime_in(body, "output_expires_after"),
    )
    return render.pretty(render.batch_object(batch, call.profile))


def list_(call: Call) -> Response:
    query = parse.query(call.request)
    arguments: dict[str, Any] = {"after": query.get("after")}
    if "limit" in query:
        arguments["limit"] = parse.integer("limit", query["limit"])
    page = call.ask(call.backend.list_batches, **arguments)
    return render.pretty(render.batch_list(page, call.profile))


def retrieve(call: Call) -> Response:
    batch = call.ask(call.backend.retrieve_batch, call.identifier)
    return render.pretty(render.batch_object(batch, call.profile))


def cancel(call: Call) -> Response:
    batch = call.ask(call.backend.cancel_batch, call.identifier)
    return render.compact(render.batch_object(batch, call.profile))


_LIMIT = {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}

ROUTES = (
    Route(
        "POST",
        "/v1/batches",
        create,
        "createBatch",
        "Start a batch over a file",
        "Batch",
        body="BatchRequest",
    ),
    Route(
        "GET",
        "/v1/batches",
        list_,
        "listBatches",
        "List the batches, newest first",
        "BatchList",
        query={"after": {"type": "string"}, "limit": _LIMIT},
    ),
    Route("GET", "/v1/batches/{id}", retrieve, "retrieveBatch", "Get a batch", "Batch"),
    Route("POST", "/v1/batches/{id}/cancel", cancel, "cancelBatch", "Cancel a batch", "Batch"),
)
