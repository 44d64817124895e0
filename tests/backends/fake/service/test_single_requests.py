"""Single requests, answered without a batch, and the batches that have ended."""

import json

import pytest

from batchsim.backends import Answers
from batchsim.domain.lifecycle import Status
from batchsim.errors import NotFound

CHAT = "/v1/chat/completions"
HELLO = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say hello"}]}


def test_the_fake_answers_single_requests(user):
    backend = user(seed=1).backend
    assert isinstance(backend, Answers)
    status_code, body, _ = backend.answer(CHAT, HELLO)
    answer = json.loads(body)
    assert (status_code, answer["object"]) == (200, "chat.completion")
    assert "Say hello" in answer["choices"][0]["message"]["content"]
    assert answer["created"] == int(backend.clock.now())


def test_each_answer_has_an_id_of_its_own_and_a_second_run_the_same_ones(user):
    def ids():
        backend = user(seed=1).backend
        return [json.loads(backend.answer(CHAT, HELLO).body)["id"] for _ in range(3)]

    first = ids()
    assert len(set(first)) == 3
    assert ids() == first


def test_a_single_request_changes_no_batch(user, chats):
    alone, mixed = user(seed=1), user(seed=1)
    mixed.backend.answer(CHAT, HELLO)
    files = [each.read(each.finish(chats(3)).output_file_id) for each in (alone, mixed)]
    assert files[0] == files[1]


def test_the_responder_answers_single_requests_too(user):
    backend = user(responder=lambda request: f"[{request.custom_id}]{request.url}").backend
    answer = json.loads(backend.answer(CHAT, HELLO).body)
    assert answer["choices"][0]["message"]["content"] == f"[]{CHAT}"


@pytest.mark.parametrize(
    ("url", "body", "status", "param", "code", "words"),
    [
        (CHAT, {}, 400, None, None, "you must provide a model"),
        (CHAT, {"model": 7}, 400, "model", "invalid_type", "expected a string"),
        (CHAT, {"model": "gtp-4"}, 404, None, "model_not_found", "`gtp-4` does not exist"),
        (CHAT, {"model": "gpt-4o"}, 400, "messages", "missing_required_parameter", "'messages'"),
        (CHAT, {**HELLO, "stream": True}, 400, "stream", "unsupported_value", "in one piece"),
        (CHAT, {**HELLO, "temperature": 9}, 400, "temperature", "decimal_above_max_value", "9"),
        ("/v1/moderations", {}, 400, "input", "missing_required_parameter", "'input'"),
        ("/v1/responses", {"model": "o3"}, 400, "input", "missing_required_parameter", "'input'"),
    ],
)
def test_a_bad_request_is_answered_with_its_error(user, url, body, status, param, code, words):
    answer = user().backend.answer(url, body)
    error = json.loads(answer.body)["error"]
    assert (answer.status_code, error["param"], error["code"]) == (status, param, code)
    assert words in error["message"]


def test_what_stands_for_the_input_is_enough(user):
    body = {"model": "o3", "previous_response_id": "resp_1"}
    assert user().backend.answer("/v1/responses", body).status_code == 200


def test_there_is_no_answer_from_an_unknown_endpoint(user):
    with pytest.raises(NotFound, match=r"Invalid URL \(POST /v1/audio\)"):
        user().backend.answer("/v1/audio", HELLO)


def test_batches_that_have_ended_are_taken_once_and_in_order(user, chats):
    someone = user(pacing="2025")
    slow = someone.start(chats(200))
    failing = someone.start(b'{"no": "request"}\n')
    quick = someone.start(chats(1))
    cancelled = someone.start(chats(1))
    someone.backend.cancel_batch(cancelled.id)
    assert someone.backend.take_ended() == ()
    someone.backend.clock.advance(86_400)
    ended = someone.backend.take_ended()
    assert [(batch.id, batch.status) for batch in ended] == [
        (failing.id, Status.FAILED),
        (quick.id, Status.COMPLETED),
        (slow.id, Status.COMPLETED),
        (cancelled.id, Status.CANCELLED),
    ]
    assert ended[0].failed_at < ended[1].completed_at < ended[2].completed_at
    assert someone.backend.take_ended() == ()


def test_taking_sees_what_others_saw_end_before(user, chats):
    someone = user()
    batch = someone.finish(chats(1))
    assert batch.status is Status.COMPLETED
    assert [each.id for each in someone.backend.take_ended()] == [batch.id]
