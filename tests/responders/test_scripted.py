import json
import logging
from functools import partial
from pathlib import Path

import pytest

from batchsim.domain.answers import Answer
from batchsim.domain.batches import Usage
from batchsim.errors import InputError, UsageError
from batchsim.responders.error_answers import failed_responder
from batchsim.responders.scripted import LONGEST_BODY, scripted
from batchsim.responders.simulated import simulated, with_text


@pytest.fixture
def answer_to(chat, occasion):
    """The answer to a chat request when the user's function gives `script` for it."""

    def answer(script):
        return scripted(lambda request: script)(chat(), occasion)

    return answer


def error_of(answer):
    assert answer.usage == Usage()
    return answer.status_code, json.loads(answer.body)["error"]


def problem_of(answer):
    status_code, error = error_of(answer)
    assert (status_code, error["type"], error["code"]) == (500, "server_error", "unusable_answer")
    return error["message"].removeprefix("The responder's answer cannot be used: ")


def test_a_text_becomes_the_endpoints_answer(answer_to, chat, occasion):
    assert answer_to("Hé") == with_text(chat(), occasion, "Hé")


def test_none_becomes_the_simulated_answer(answer_to, chat, occasion):
    assert answer_to(None) == simulated(chat(), occasion)


def test_a_dict_is_the_whole_body_with_its_own_usage(answer_to):
    body = {"é": 1, "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    assert answer_to(body) == Answer(200, json.dumps(body), Usage(3, 4))


def test_a_status_code_and_a_body_are_taken_as_they_are(answer_to):
    body = {"error": {"message": "Slow down"}, "usage": {"prompt_tokens": 3}}
    assert answer_to((429, body)) == Answer(429, json.dumps(body), Usage())


def test_an_answer_is_taken_to_the_byte(answer_to):
    answer = Answer(200, '{"a":1}', Usage(1, 2))
    assert answer_to(answer) == answer


def test_a_function_of_two_is_told_the_occasion_too(chat, occasion):
    responder = scripted(lambda request, when: {"at": when.at})
    assert json.loads(responder(chat(), occasion).body) == {"at": occasion.at}


def test_the_default_responder_can_be_given_as_it_is(chat, occasion):
    assert scripted(simulated)(chat(), occasion) == simulated(chat(), occasion)


def test_a_function_without_a_signature_is_given_the_request(chat, occasion):
    answer = scripted(str)(chat(), occasion)
    assert answer == with_text(chat(), occasion, str(chat()))


def test_a_function_cannot_harm_the_request(chat, occasion):
    request = chat()
    before = json.dumps(request.body)

    def vandal(given):
        given.body["messages"].clear()
        given.body["model"] = "other"
        return

    answer = scripted(vandal)(request, occasion)
    assert json.dumps(request.body) == before
    assert answer == simulated(request, occasion)


def test_a_function_that_raises_is_a_500_that_tells_what_it_raised(chat, occasion, caplog):
    def fail(request):
        raise ValueError("no such city: X")

    with caplog.at_level(logging.ERROR):
        answer = scripted(fail)(chat(), occasion)
    assert error_of(answer) == (
        500,
        {
            "message": "The responder raised ValueError: no such city: X",
            "type": "server_error",
            "param": None,
            "code": "responder_failed",
        },
    )
    assert "the responder failed on line 1 ('request-1')" in caplog.text
    assert "Traceback" in caplog.text


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyError(), "KeyError"),
        (ValueError("\ud800" + "x" * 600), "ValueError: ?" + "x" * 499),
    ],
    ids=["nothing to say", "long, and no text"],
)
def test_what_was_raised_is_told_in_words_that_a_result_can_hold(error, words):
    assert error_of(failed_responder(error))[1]["message"] == f"The responder raised {words}"


def test_an_interruption_is_not_an_answer(chat, occasion):
    def interrupt(request):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scripted(interrupt)(chat(), occasion)


CIRCLE: dict[str, object] = {}
CIRCLE["self"] = CIRCLE


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        (3, "it is an int; a text, a dict, (status code, dict), an Answer or None is asked for"),
        (["a"], "it is a list; a text, a dict, (status code, dict), an Answer or None"),
        (b"a", "it is a bytes; a text"),
        ((200, {}, {}), "it is a tuple; a text"),
        ((99, {}), "its status code is not an HTTP status"),
        ((True, {}), "its status code is not an HTTP status"),
        (("200", {}), "its status code is not an HTTP status"),
        ({"a": {1, 2}}, "its body is not JSON: Object of type set is not JSON serializable"),
        ({"a": float("nan")}, "its body is not JSON: "),
        ({"a": "\ud800"}, "its body is not JSON: "),
        (CIRCLE, "its body is not JSON: Circular reference detected"),
        ("\ud800", "its text holds half a surrogate pair"),
        ("x" * (LONGEST_BODY + 1), "it is longer than 67,108,864 characters"),
        ({"a": "x" * LONGEST_BODY}, "it is longer than 67,108,864 characters"),
        (Answer(200, "{"), "its body is not JSON: "),
        (Answer(200, '"é"'), "an Answer's body is JSON text, in ASCII and on one line"),
        (Answer(200, "{\n}"), "an Answer's body is JSON text, in ASCII and on one line"),
        (Answer(200, None), "an Answer's body is JSON text, in ASCII and on one line"),
    ],
    ids=[
        *("int", "list", "bytes", "triple", "99", "true", "string", "set", "nan", "surrogate"),
        *("circle", "half", "long text", "long body", "cut", "raw", "lines", "no body"),
    ],
)
def test_a_wrong_answer_is_an_error_line_that_says_why(answer_to, script, problem):
    assert problem_of(answer_to(script)).startswith(problem)


async def _late(request):
    return "late"


async def _in_pieces(request):
    yield "late"


class _Late:
    async def __call__(self, request):
        return "late"


@pytest.mark.parametrize("source", [_late, _in_pieces, _Late(), partial(_late)])
def test_an_asynchronous_function_is_refused_at_once(source):
    with pytest.raises(UsageError, match="a responder cannot be asynchronous") as refused:
        scripted(source)
    assert "asyncio.run" in refused.value.hint


def test_a_function_that_turns_out_to_be_asynchronous_is_told_so(chat, occasion):
    problem = problem_of(scripted(lambda *_: _late(None))(chat(), occasion))
    assert problem == "the function is asynchronous; give a plain one"


def test_a_mapping_answers_by_custom_id_and_the_rest_is_simulated(line, occasion):
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
    named = line("/v1/chat/completions", body, custom_id="a")
    other = line("/v1/chat/completions", body, custom_id="b")
    source = {"a": "Hello"}
    responder = scripted(source)
    source["b"] = "Too late"
    assert responder(named, occasion) == with_text(named, occasion, "Hello")
    assert responder(other, occasion) == simulated(other, occasion)


@pytest.fixture
def recorded(tmp_path):
    def record(*lines):
        path = tmp_path / "answers.jsonl"
        path.write_bytes(b"\n".join(lines))
        return path

    return record


OUTPUT_LINE = (
    b'{"id": "batch_req_1", "custom_id": "request-1", "response": {"status_code": 200, '
    b'"request_id": "x", "body": {"usage": {"input_tokens": 5, "output_tokens": 6, '
    b'"input_tokens_details": {"cached_tokens": 1}, "output_tokens_details": '
    b'{"reasoning_tokens": 2}}, "n": 123456789012345678901234567890}}, "error": null}'
)


@pytest.mark.parametrize("as_path", [str, Path])
def test_an_output_file_answers_as_it_did(recorded, chat, occasion, as_path):
    answer = scripted(as_path(recorded(OUTPUT_LINE, b"")))(chat(), occasion)
    assert answer.status_code == 200
    assert answer.body == json.dumps(json.loads(OUTPUT_LINE)["response"]["body"])
    assert answer.usage == Usage(5, 6, 1, 2)


def test_an_error_file_answers_as_it_did(recorded, chat, occasion):
    line = b'{"custom_id": "request-1", "response": {"status_code": 429, "body": {"error": {}}}}'
    assert scripted(recorded(line))(chat(), occasion) == Answer(429, '{"error": {}}')


def test_a_file_of_texts_answers_and_the_rest_is_simulated(recorded, line, occasion):
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
    path = recorded(
        b'{"custom_id": "a", "text": "A"}\r', b"", '{"custom_id":"é","text":"É"}'.encode()
    )
    responder = scripted(path)
    for custom_id, text in (("é", "É"), ("a", "A")):
        request = line("/v1/chat/completions", body, custom_id=custom_id)
        assert responder(request, occasion) == with_text(request, occasion, text)
    request = line("/v1/chat/completions", body, custom_id="b")
    assert responder(request, occasion) == simulated(request, occasion)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "the line is not JSON"),
        (b"\xff", "the line is not JSON"),
        (b"[" * 100_000, "the line is not JSON"),
        (b"[]", "the line is not a JSON object"),
        (b'{"text": "a"}', "the line has no custom_id"),
        (b'{"custom_id": "a"}', "the line has neither a text nor a response with a body"),
        (
            b'{"custom_id": "a", "response": null, "error": {"code": "batch_expired"}}',
            "the line has neither a text nor a response with a body",
        ),
        (
            b'{"custom_id": "a", "response": {"status_code": 0, "body": {}}}',
            "the response's status_code is not an HTTP status",
        ),
        (b'{"custom_id": "first", "text": "b"}', "a second answer for custom_id 'first'"),
    ],
    ids=str,
)
def test_a_bad_file_is_refused_with_its_line(recorded, line, message):
    path = recorded(b'{"custom_id": "first", "text": "a"}', b"", line)
    with pytest.raises(InputError) as refused:
        scripted(path)
    assert (refused.value.message, refused.value.path, refused.value.line) == (message, path, 3)
    assert refused.value.hint


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="the recorded answers cannot be read: No such file"):
        scripted(tmp_path / "missing.jsonl")


def test_a_file_that_changes_under_way_is_an_error_line(recorded, chat, occasion):
    path = recorded(b'{"custom_id": "request-1", "text": "a"}')
    responder = scripted(path)
    path.write_bytes(b'{"custom_id": "request-2", "text": "a"}')
    problem = "the recorded answers have changed since they were read"
    assert problem_of(responder(chat(), occasion)) == problem
    path.unlink()
    assert problem_of(responder(chat(), occasion)) == problem


def test_anything_else_is_no_responder():
    with pytest.raises(UsageError, match="a responder cannot be an int") as refused:
        scripted(3)
    assert "a function of the request" in refused.value.hint
