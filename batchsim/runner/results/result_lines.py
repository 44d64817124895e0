"""Readers of a line of a result file: `decode` for the usual line, `read_result` for any line.

Nearly every result is usual: an answer with status code 200, no error, plain usage. `decode` makes
no objects of what the model said, which costs less than half of parsing the line. It checks all of
the JSON nevertheless, but for UTF-8 in what it skips. A line that it does not read is not bad; it
is for `read_result`. A test holds both against each other (tests/runner/results/test_match.py).
"""

import json
from typing import Annotated, Any, Literal

import orjson
from msgspec import UNSET, DecodeError, Meta, Struct, UnsetType
from msgspec.json import Decoder

from batchsim.domain.lines import ResultLine

Count = Annotated[int, Meta(ge=0)]


class Details(Struct, gc=False):
    cached_tokens: Count = 0
    reasoning_tokens: Count = 0


class UsualUsage(Struct, gc=False):
    """The tokens, as chat completions and embeddings name them, or as responses and images do."""

    prompt_tokens: Count | UnsetType = UNSET
    completion_tokens: Count = 0
    prompt_tokens_details: Details | None = None
    completion_tokens_details: Details | None = None
    input_tokens: Count = 0
    output_tokens: Count = 0
    input_tokens_details: Details | None = None
    output_tokens_details: Details | None = None


class _Body(Struct, gc=False):
    usage: UsualUsage | None = None


class _Response(Struct, gc=False):
    status_code: Literal[200]
    body: _Body


class UsualResult(Struct, gc=False):
    custom_id: str
    response: _Response
    error: None = None


decode = Decoder(UsualResult).decode
"""Read a usual result. Raises one of NOT_USUAL."""

NOT_USUAL = (DecodeError, ValueError, RecursionError, KeyError)
"""The errors of a line that is no usual result of ours."""


def read_result(content: bytes) -> ResultLine | None:
    """Return the result on a line; None where there is none, or it names no line."""
    value = _parsed(content)
    if isinstance(value, dict) and "body" in value and "response" not in value:
        return None
    try:
        return ResultLine.from_object(value)
    except ValueError:
        return None


def _parsed(content: bytes) -> Any:
    try:
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError:
            return json.loads(content)  # a paid answer with a NaN in it is still an answer
    except (ValueError, RecursionError):
        return None


def is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def says(result: ResultLine | None) -> Any:
    """Return the part by which two results of a line are compared: all but the ids."""
    if result is None:
        return None
    response = result.response
    return result.error, response and (response.status_code, response.body)
