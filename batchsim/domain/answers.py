"""Answer: the HTTP answer to one request line."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from batchsim.domain.batches import Usage

_CONTENT: Mapping[str, str] = MappingProxyType(
    {
        "/v1/chat/completions": "choices",
        "/v1/completions": "choices",
        "/v1/embeddings": "data",
        "/v1/responses": "output",
        "/v1/moderations": "results",
        "/v1/images/generations": "data",
        "/v1/images/edits": "data",
    }
)
"""The list that every good answer of an endpoint has (API reference)."""


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


def has_shape(url: str, body: Any) -> bool:
    """True when `body` is an object as a model at `url` answers, and not a web page or an error."""
    if not isinstance(body, dict) or body.get("error"):
        return False
    name = _CONTENT.get("/v1" + url.removeprefix("/v1"))
    return isinstance(body.get(name), list) if name else isinstance(body.get("id"), str)
