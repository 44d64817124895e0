"""Answer: the HTTP answer to one request line."""

from __future__ import annotations

from typing import Any, NamedTuple

from batchsim.domain.batches import Usage


class Answer(NamedTuple):
    """The HTTP answer to one line.

    `body` is the JSON text as the API writes it into result files: ASCII, `", "` and `": "`
    between the parts. `usage` is what the answer adds to the batch's usage.
    """

    status_code: int
    body: str
    usage: Usage = Usage()


def usage_of(body: Any) -> Usage:
    """The tokens that an answer's body reports; zeros where it reports none."""
    return Usage.from_object(body.get("usage") if isinstance(body, dict) else None)
