"""What the model would answer: a request line -> an answer, one file per endpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from batchsim.domain.batches import Usage
from batchsim.domain.lines import RequestLine


class Answer(NamedTuple):
    """The HTTP answer to one line.

    `body` is the JSON text as the API writes it into result files: ASCII, `", "` and `": "`
    between the parts. `usage` is what the answer adds to the batch's usage.
    """

    status_code: int
    body: str
    usage: Usage = Usage()


class Occasion(NamedTuple):
    """When a line is answered, and its share of chance.

    `at` is in unix seconds. `entropy` is 64 bytes that depend on the seed, the batch and the line
    alone, so that an answer never depends on which other lines were answered before.
    """

    at: int
    entropy: bytes


Responder = Callable[[RequestLine, Occasion], Answer]
"""Answers one line. It must not change the request and must depend on nothing but its arguments."""
