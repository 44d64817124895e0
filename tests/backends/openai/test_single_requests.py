"""Requests outside batches: each is sent once, and what came of it is told as it is."""

import json

import pytest

from batchsim.backends import Answers
from batchsim.errors import NotFound, OutcomeUnknown, Unavailable

pytestmark = pytest.mark.sdk

URL = "/v1/chat/completions"
BODY = {"model": "gpt-4o", "messages": [], "seed": 123456789012345678901234567890}


def test_the_body_is_sent_to_the_endpoint_and_the_answer_comes_back_as_text(
    backend_answering, library
):
    seen = []

    def handler(request):
        seen.append(json.loads(request.content))
        return library.Response(200, json={"choices": [], "usage": {"prompt_tokens": 3}})

    backend, paths = backend_answering(handler)
    answer = backend.answer(URL, BODY)
    assert isinstance(backend, Answers)
    assert (answer.status_code, json.loads(answer.body)["usage"]) == (200, {"prompt_tokens": 3})
    assert seen == [BODY]
    assert paths == {"POST /v1/chat/completions": 1}


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 429, 500, 503])
def test_a_refusal_is_an_answer_and_is_not_repeated(backend_answering, library, status):
    error = {"error": {"message": "no", "code": "some_code"}}
    backend, paths = backend_answering(lambda _: library.Response(status, json=error))
    answer = backend.answer(URL, BODY)
    assert (answer.status_code, json.loads(answer.body)) == (status, error)
    assert paths.total() == 1


def test_the_key_is_kept_out_of_an_answer_that_echoes_it(backend_answering, library):
    backend, _ = backend_answering(
        lambda request: library.Response(401, text=f"bad {request.headers['authorization']}")
    )
    assert "sk-test-0123456789" not in backend.answer(URL, BODY).body


def test_an_endpoint_that_nobody_knows_is_not_found(backend_answering, library):
    backend, _ = backend_answering(
        lambda _: library.Response(404, json={"error": {"message": "no"}})
    )
    with pytest.raises(NotFound):
        backend.answer("/v1/nonsense", BODY)


@pytest.mark.usefixtures("redirects_are_refused")
def test_a_redirect_is_not_followed(backend_answering, library):
    backend, paths = backend_answering(
        lambda _: library.Response(307, headers={"location": "https://elsewhere.invalid/"})
    )
    with pytest.raises(Exception, match="redirect"):
        backend.answer(URL, BODY)
    assert paths.total() == 1


@pytest.mark.parametrize(
    ("error", "expected"), [("ReadTimeout", OutcomeUnknown), ("ConnectError", Unavailable)]
)
def test_silence_is_unknown_and_what_never_left_is_unavailable(
    backend_answering, library, error, expected
):
    def handler(request):
        raise getattr(library, error)("gone", request=request)

    backend, paths = backend_answering(handler)
    with pytest.raises(expected):
        backend.answer(URL, BODY)
    assert paths.total() == 1
