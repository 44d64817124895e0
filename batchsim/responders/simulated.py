"""The default responder: every endpoint's simulated answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from batchsim.domain.answers import Answer
from batchsim.domain.lines import RequestLine, RequestLines
from batchsim.responders import AnswerColumns, Occasion, Responder, occasions
from batchsim.responders.chat import answers
from batchsim.responders.chat.answers import respond_many
from batchsim.responders.endpoints import (
    completions,
    embeddings,
    images,
    moderations,
    responses,
    videos,
)


class EndpointResponder(NamedTuple):
    """How one endpoint answers: by itself, or with a text that somebody else wrote."""

    respond: Responder
    with_text: Callable[[RequestLine, Occasion, str], Answer]


RESPONDERS: Mapping[str, EndpointResponder] = MappingProxyType(
    {
        "/v1/chat/completions": EndpointResponder(answers.respond, answers.with_text),
        "/v1/completions": EndpointResponder(completions.respond, completions.with_text),
        "/v1/embeddings": EndpointResponder(embeddings.respond, embeddings.with_text),
        "/v1/responses": EndpointResponder(responses.respond, responses.with_text),
        "/v1/moderations": EndpointResponder(moderations.respond, moderations.with_text),
        "/v1/images/generations": EndpointResponder(images.respond, images.with_text),
        "/v1/images/edits": EndpointResponder(images.respond, images.with_text),
        "/v1/videos": EndpointResponder(videos.respond, videos.with_text),
    }
)
"""The endpoints by path."""


def simulated(request: RequestLine, occasion: Occasion) -> Answer:
    """The answer of a model that only pretends: derived from the request, and saying so.

    Raises KeyError for a url that is none of the API's endpoints; validation admits none.
    """
    return RESPONDERS[request.url].respond(request, occasion)


def simulated_many(lines: RequestLines, moments: Sequence[int], entropy: bytes) -> AnswerColumns:
    """The same for several lines."""
    if lines.url == "/v1/chat/completions":
        answers = respond_many(lines, moments, entropy)
        if answers is not None:
            return answers
    return AnswerColumns.of(list(map(simulated, lines.requests(), occasions(moments, entropy))))


def with_text(request: RequestLine, occasion: Occasion, text: str) -> Answer:
    """A well-formed answer of the request's endpoint that says `text`."""
    return RESPONDERS[request.url].with_text(request, occasion, text)
