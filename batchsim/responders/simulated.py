"""The default responder: a simulated answer for every endpoint."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from batchsim.domain.answers import Answer
from batchsim.domain.lines import RequestLine, RequestLines
from batchsim.responders import AnswerColumns, Occasion, Responder, chat, occasions
from batchsim.responders.endpoints import (
    completions,
    embeddings,
    images,
    moderations,
    responses,
    videos,
)


class EndpointResponder(NamedTuple):
    """The two ways in which an endpoint answers: by itself, or with a given text."""

    respond: Responder
    with_text: Callable[[RequestLine, Occasion, str], Answer]


RESPONDERS: Mapping[str, EndpointResponder] = MappingProxyType(
    {
        "/v1/chat/completions": EndpointResponder(chat.respond, chat.with_text),
        "/v1/completions": EndpointResponder(completions.respond, completions.with_text),
        "/v1/embeddings": EndpointResponder(embeddings.respond, embeddings.with_text),
        "/v1/responses": EndpointResponder(responses.respond, responses.with_text),
        "/v1/moderations": EndpointResponder(moderations.respond, moderations.with_text),
        "/v1/images/generations": EndpointResponder(images.respond, images.with_text),
        "/v1/images/edits": EndpointResponder(images.respond, images.with_text),
        "/v1/videos": EndpointResponder(videos.respond, videos.with_text),
    }
)


def simulated(request: RequestLine, occasion: Occasion) -> Answer:
    """Answer as a simulated model: the text comes from the request, and says that it is simulated.

    Raises KeyError for a url that is no endpoint; validation lets none pass.
    """
    return RESPONDERS[request.url].respond(request, occasion)


def simulated_many(lines: RequestLines, moments: Sequence[int], entropy: bytes) -> AnswerColumns:
    """Answer several lines as `simulated` does, in one step where that is possible."""
    if lines.url == "/v1/chat/completions":
        answers = chat.respond_many(lines, moments, entropy)
        if answers is not None:
            return answers
    return AnswerColumns.of(list(map(simulated, lines.requests(), occasions(moments, entropy))))


def with_text(request: RequestLine, occasion: Occasion, text: str) -> Answer:
    return RESPONDERS[request.url].with_text(request, occasion, text)
