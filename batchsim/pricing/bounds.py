"""The most tokens that an answer may have, where the request's body bounds them."""

from __future__ import annotations

from typing import Any

from batchsim.domain.lines import RequestLine

_LIMITS = {
    "/v1/chat/completions": ("max_completion_tokens", "max_tokens"),
    "/v1/completions": ("max_tokens",),
    "/v1/responses": ("max_output_tokens",),
}
_WITHOUT_OUTPUT = frozenset({"/v1/embeddings", "/v1/moderations"})

DEFAULT_COMPLETION_TOKENS = 16
"""The `max_tokens` of a legacy completion that sets none (API reference)."""


def most_output_tokens(request: RequestLine) -> int | None:
    """The most output tokens that the request can be billed for; None when nothing bounds them.

    Every choice, and for a legacy completion every prompt, may use up its limit (API reference).
    Embeddings and moderations have no output. A limit that is no number bounds nothing.
    """
    url, body = request.url, request.body
    if url in _WITHOUT_OUTPUT:
        return 0
    given = (body.get(name) for name in _LIMITS.get(url, ()))
    limit = next((each for each in given if each is not None), None)
    if url == "/v1/completions":
        answers = _prompts(body.get("prompt")) * max(
            _choices(body.get("n")), _choices(body.get("best_of"))
        )
        limit = DEFAULT_COMPLETION_TOKENS if limit is None else limit
    else:
        answers = _choices(body.get("n")) if url == "/v1/chat/completions" else 1
    return limit * answers if type(limit) is int and limit >= 0 else None


def _choices(value: Any) -> int:
    return value if type(value) is int and value > 0 else 1


def _prompts(value: Any) -> int:
    """One text or token list is one prompt; otherwise each element is one."""
    return len(value) if type(value) is list and value and type(value[0]) is not int else 1
