"""What stands on a line of a result file, whoever wrote it.

The usual result, which nearly all are: an answer with status code 200, no error, plain usage.

Reading a line as such makes no objects of what the model said: it costs less than half of parsing
the line, and all of its JSON is checked nevertheless, but for UTF-8 in what is skipped. A line
that cannot be read so is not bad; it takes the long way (batchsim.runner.results.result_lines).
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import orjson
from msgspec import UNSET, DecodeError, Meta, Struct, UnsetType
from msgspec.json import Decoder

from batchsim.domain.lines import ResultLine

Count = Annotated[int, Meta(ge=0)]


class Details(Struct, gc=False):
    """What some of the tokens were."""

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
    """A line with such a result."""

    custom_id: str
    response: _Response
    error: None = None


decode = Decoder(UsualResult).decode
"""Read the result on a line. Raises one of NOT_USUAL."""

NOT_USUAL = (DecodeError, ValueError, RecursionError, KeyError)
"""What tells that a line is no usual result of ours."""


def read_result(content: bytes) -> ResultLine | None:
    """The result on a line; None when it is none that can be placed."""
    try:
        return ResultLine.from_object(_parsed(content))
    except ValueError:
        return None


def _parsed(content: bytes) -> Any:
    """The JSON value of a line; None when it is none."""
    try:
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError:
            return json.loads(content)  # a paid answer with a NaN in it is still an answer
    except (ValueError, RecursionError):
        return None


def is_utf8(content: bytes) -> bool:
    """Whether the bytes are text."""
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def says(result: ResultLine | None) -> Any:
    """What of a result makes it differ from another one: not its ids."""
    if result is None:
        return None
    response = result.response
    return result.error, response and (response.status_code, response.body)
