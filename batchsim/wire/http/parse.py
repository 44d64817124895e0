"""The JSON body and the query of a request -> arguments. The Backend checks their values."""

import re
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson

from batchsim.domain import refusals
from batchsim.domain.limits import OPENAI
from batchsim.domain.strict_json import is_deeper, repeated_names
from batchsim.errors import Refused
from batchsim.wire.http.message import Request

LONGEST_JSON = 1 << 20  # Bytes. A batch is created with less than 40 KB, metadata and all.

MOST_QUERY_PARAMETERS = 100

NOT_JSON = (  # the API's own words (observed)
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using "
    "your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not "
    "valid JSON. If you have trouble figuring out how to fix this, please contact us through our "
    "help center at help.openai.com.)"
)

_CHARSET = re.compile(r"charset\s*=\s*\"?([^\";\s]*)")


def json_object(request: Request, *, longest: int = LONGEST_JSON) -> dict[str, Any]:
    """Read the body as a JSON object of at most `longest` bytes, or raise Refused."""
    _check_kind(request)
    body = bytearray()
    for piece in request.body:
        body += piece
        if len(body) > longest:
            raise Refused("The request body is too large.", status=413)
    content = bytes(body)
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise Refused(NOT_JSON) from None
    if not isinstance(value, dict):
        raise Refused(NOT_JSON)
    if is_deeper(content, OPENAI.nesting):
        raise Refused(f"The JSON body is nested more than {OPENAI.nesting} levels deep.")
    for name in repeated_names(content):
        raise Refused(f"Duplicate parameter: '{name}'.", param=name)
    return value


def _check_kind(request: Request) -> None:
    """Refuse another content type. A body without one may be JSON."""
    check_uncompressed(request)
    declared = request.header("content-type")
    if not declared:
        return
    kind, _, options = declared.lower().partition(";")
    charset = _CHARSET.search(options)
    if kind.strip() != "application/json" or (charset and charset[1] not in {"utf-8", "utf8"}):
        raise Refused(
            f"Unsupported content type: '{declared[:100]}'. This API method only accepts "
            "'application/json' requests, but you specified the header 'Content-Type: "
            f"{declared[:100]}'. Please try again with a supported content type.",
            status=415,
            code="unsupported_content_type",
        )


def check_uncompressed(request: Request) -> None:
    """Raise Refused for a compressed body: inflated, it could be of any size."""
    if (request.header("content-encoding") or "identity").strip().lower() != "identity":
        raise Refused("Compressed request bodies are not supported.", status=415)


def only(body: Mapping[str, Any], names: Collection[str], *, within: str = "") -> None:
    """Raises Refused when an object, which stands `within` another, has a name beyond `names`."""
    for name in body:
        if name not in names:
            raise Refused(
                f"Unknown parameter: '{within}{name}'.",
                param=f"{within}{name}",
                code="unknown_parameter",
            )


def text(body: Mapping[str, Any], name: str) -> str:
    """A required parameter that is a string. Raises Refused when it is absent or anything else."""
    value = body.get(name)
    if value is None:
        raise refusals.missing_parameter(name)
    if not isinstance(value, str):
        raise refusals.wrong_type(name, "a string", value)
    return value


def json_object_in(body: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """A parameter that is an object, or None when it is absent or null."""
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise refusals.wrong_type(name, "an object", value)
    return value


def lifetime_in(body: Mapping[str, Any], name: str) -> Any:
    """The seconds of a parameter that is an `expires_after` object, or None when it is absent."""
    value = json_object_in(body, name)
    if value is None:
        return None
    only(value, ("anchor", "seconds"), within=f"{name}.")
    return lifetime(name, value.get("anchor"), value.get("seconds"))


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
