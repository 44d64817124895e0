"""The endpoints that a batch can run, the least that a body must hold for each, and the models."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

COMPLETION_WINDOW = "24h"  # the only completion window (API reference)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path that lines may name as `url`, and the body parameters that validation asks for."""

    path: str
    required: tuple[str, ...]
    streams: str | None = None
    """The name of this endpoint in the refusal of `stream: true`; None where nothing streams."""
    substitutes: tuple[str, ...] = ()  # they excuse the absence of any required one but the model


ENDPOINTS: Mapping[str, Endpoint] = MappingProxyType(
    {
        endpoint.path: endpoint
        for endpoint in (
            Endpoint("/v1/chat/completions", ("model", "messages"), "Chat Completions"),
            Endpoint("/v1/completions", ("model", "prompt"), "Completions"),
            Endpoint("/v1/embeddings", ("model", "input")),
            Endpoint(
                "/v1/responses",
                ("model", "input"),
                "Responses",
                substitutes=("prompt", "previous_response_id", "conversation"),
            ),
            Endpoint("/v1/moderations", ("input",)),
            Endpoint("/v1/images/generations", ("model", "prompt"), "Images"),
            Endpoint("/v1/images/edits", ("model", "prompt", "images"), "Images"),
            Endpoint("/v1/videos", ("model", "prompt")),
        )
    }
)
"""The eight endpoints by path, in the order in which they were added to the Batch API."""

_FAMILIES = re.compile(
    r"(?:gpt-|chatgpt-|o[1-9]\d*(?:-|$)|codex-|text-embedding-|text-moderation-|omni-moderation-"
    r"|davinci-|babbage-|dall-e-|gpt-image-|sora-|computer-use-|ft:)"
)


def is_openai_model(name: str) -> bool:
    """True when `name` belongs to a family of OpenAI models that run in batches.

    The family decides, not a list of releases, so that newer models are known too.
    """
    return _FAMILIES.match(name) is not None and name.isprintable()
