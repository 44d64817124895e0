"""The endpoints that answer a single request without a batch, if the backend can."""

from batchsim.backends import Answers
from batchsim.domain import refusals
from batchsim.wire.endpoints.route import Call, Route
from batchsim.wire.http import Response, parse, render

LONGEST_REQUEST = 32 << 20  # bytes: long conversations and images come in one JSON body

ENDPOINTS = (  # path, name of the operation, and schema of the request
    ("/v1/chat/completions", "createChatCompletion", "ChatRequest"),
    ("/v1/responses", "createResponse", "ResponseRequest"),
    ("/v1/embeddings", "createEmbedding", "EmbeddingRequest"),
    ("/v1/moderations", "createModeration", "ModerationRequest"),
    ("/v1/completions", "createCompletion", "CompletionRequest"),
)


def answer(call: Call) -> Response:
    """`POST` to an endpoint. Raises NotFound when the backend does not answer single requests."""
    if not isinstance(call.backend, Answers):
        raise refusals.unknown_url(call.request.method, call.request.path)
    body = parse.json_object(call.request, longest=LONGEST_REQUEST)
    if call.deployment:
        body["model"] = call.deployment
    answer = call.ask(call.backend.answer, call.path, body)
    return render.json_text(answer.body, status=answer.status_code)


ROUTES = tuple(
    Route("POST", path, answer, name, "Answer one request at once", "Answer", body=body)
    for path, name, body in ENDPOINTS
)
