"""The usual result, which nearly all are: an answer with status code 200, no error, plain usage.

Reading a line as such makes no objects of what the model said: it costs less than half of parsing
the line, and all of its JSON is checked nevertheless, but for UTF-8 in what is skipped. A line
that cannot be read so is not bad; it takes the long way (batchsim.runner.result_lines).
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, DecodeError, Meta, Struct, UnsetType
from msgspec.json import Decoder

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
