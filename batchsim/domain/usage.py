"""The usage that an answer's body reports, whatever endpoint or service wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batchsim.domain.absent import count
from batchsim.domain.batches import Usage


def usage_of(body: Any) -> Usage:
    """The tokens in `body["usage"]`; zeros where there is none or its shape is not known.

    Reads `prompt_tokens` and `completion_tokens` (chat completions, completions, embeddings) as
    well as `input_tokens` and `output_tokens` (responses, images).
    """
    usage = body.get("usage") if isinstance(body, Mapping) else None
    if not isinstance(usage, Mapping):
        return Usage()
    read, written = ("prompt", "completion") if "prompt_tokens" in usage else ("input", "output")
    return Usage(
        count(usage.get(f"{read}_tokens")),
        count(usage.get(f"{written}_tokens")),
        _detail(usage.get(f"{read}_tokens_details"), "cached_tokens"),
        _detail(usage.get(f"{written}_tokens_details"), "reasoning_tokens"),
    )


def _detail(details: Any, name: str) -> int:
    return count(details.get(name)) if isinstance(details, Mapping) else 0
