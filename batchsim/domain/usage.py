"""The usage that an answer's body reports, whatever endpoint or service wrote it."""

from __future__ import annotations

from typing import Any

from batchsim.domain.batches import Usage
from batchsim.domain.coercion import count


def usage_of(body: Any) -> Usage:
    """The tokens in `body["usage"]`; zeros where there is none or its shape is not known.

    Reads `prompt_tokens` and `completion_tokens` (chat completions, completions, embeddings) as
    well as `input_tokens` and `output_tokens` (responses, images).
    """
    usage = body.get("usage") if isinstance(body, dict) else None
    if not isinstance(usage, dict):
        return Usage()
    if "prompt_tokens" in usage:
        read, written = usage["prompt_tokens"], usage.get("completion_tokens")
        of_read = usage.get("prompt_tokens_details")
        of_written = usage.get("completion_tokens_details")
    else:
        read, written = usage.get("input_tokens"), usage.get("output_tokens")
        of_read, of_written = usage.get("input_tokens_details"), usage.get("output_tokens_details")
    return Usage(
        _count(read),
        _count(written),
        _count(of_read.get("cached_tokens")) if isinstance(of_read, dict) else 0,
        _count(of_written.get("reasoning_tokens")) if isinstance(of_written, dict) else 0,
    )


def _count(value: Any) -> int:
    return value if type(value) is int and value >= 0 else count(value)
