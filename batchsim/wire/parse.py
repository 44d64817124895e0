"""A request's JSON body and query -> arguments. What these may hold is the Backend's matter."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

import orjson

from batchsim.backends.fake import refusals
from batchsim.errors import Refused
from batchsim.wire.message import Request

LONGEST_JSON = 1 << 20
"""Bytes. A batch is created with less than 40 KB, metadata and all."""

MOST_QUERY_PARAMETERS = 100

NOT_JSON = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using "
    "your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not "
    "valid JSON. If you have trouble figuring out how to fix this, please contact us through our "
    "help center at help.openai.com.)"
)
"""The API's own words (observed)."""


def json_object(request: Request) -> dict[str, Any]:
    """The body as a JSON object. Raises Refused when it is none, or too long."""
    body = bytearray()
    for piece in request.body:
        body += piece
        if len(body) > LONGEST_JSON:
            raise Refused("The request body is too large.", status=413)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused(NOT_JSON) from None
    if not isinstance(value, dict):
        raise Refused(NOT_JSON)
    return value


def query(request: Request) -> dict[str, str]:
    """The query's parameters, the first of each name. An empty one counts as absent."""
    try:
        pairs = parse_qsl(request.query, errors="replace", max_num_fields=MOST_QUERY_PARAMETERS)
    except ValueError:
        raise Refused("The query has too many parameters.") from None
    return dict(reversed(pairs))


def integer(name: str, value: str) -> int:
    """An integer written in ASCII digits. Raises Refused for anything else."""
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", value):
        raise refusals.wrong_type(name, "an integer", value)
    return int(value)


def lifetime(name: str, anchor: Any, seconds: Any) -> Any:
    """The seconds of an `expires_after` object, whose only anchor is `created_at`.

    Raises Refused when either is absent. Type and range are for the Backend to judge.
    """
    for part, value in (("anchor", anchor), ("seconds", seconds)):
        if value is None:
            raise refusals.missing_parameter(f"{name}.{part}")
    if anchor != "created_at":
        raise Refused(
            f"Invalid value: '{anchor}'. Value must be 'created_at'.",
            param=f"{name}.anchor",
            code="invalid_value",
        )
    return seconds
