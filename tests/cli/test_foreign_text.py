"""Odd text in every text field of every answer: no traceback, nothing paid twice, a
safe terminal.
"""

import json
import unicodedata

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.wire import App, Response
from tests.repository import DEMO_INPUT

RUN = ("run", "--real", str(DEMO_INPUT), "-o", "results.jsonl")
TEXTS = {
    "half a pair": "a\ud800b",
    "the other half": "\udfff",
    "NUL": "a\0b",
    "bidi": "a\u202eb\u2066c",
    "ANSI": "\x1b[2J\x1b]0;mine\x07\x9b31m",
    "lines": "a\r\nb\u2028c",
    "long": "x" * 100_000,
    "empty": "",
}
OURS = {"id", "input_file_id", "output_file_id", "error_file_id", "object", "status"}


@pytest.fixture(params=sorted(TEXTS))
def odd(request) -> str:
    return TEXTS[request.param]


def assert_safe(ended) -> None:
    assert "Traceback" not in ended.stderr
    for character in ended.stderr + ended.stdout:
        assert character in "\n\r\x1b" or unicodedata.category(character) not in ("Cc", "Cf", "Cs")
    assert "\x1b[2J" not in ended.stderr
    assert max(map(len, ended.stderr.splitlines()), default=0) < 10_000


def answering(monkeypatch, change) -> None:
    """Let `change` have each good JSON answer of the service, as a value, before it is sent."""
    handle = App.handle

    def changed(app, request):
        answer = handle(app, request)
        if "json" not in (answer.header("content-type") or ""):
            return answer
        value = change(request, json.loads(b"".join(answer.body)))
        headers = (("content-type", "application/json"),)
        return Response(answer.status, headers, iter([json.dumps(value).encode()]))

    monkeypatch.setattr(App, "handle", changed)


def with_odd_texts(value, odd):
    """The same, and every text odd but those by which the job knows its own."""
    if isinstance(value, list):
        return [with_odd_texts(each, odd) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: odd
        if isinstance(each, str) and name not in OURS
        else each
        if name == "metadata"
        else with_odd_texts(each, odd)
        for name, each in value.items()
    } | {odd: odd}


def test_odd_names_in_every_answer_change_nothing(
    batchsim, desk, real: FakeBackend, monkeypatch, odd
) -> None:
    def change(request, value):
        keeps_names = request.path.endswith("/files")  # by which a job finds its uploads
        return value if keeps_names else with_odd_texts(value, odd)

    answering(monkeypatch, change)
    ended = batchsim(*RUN)
    assert ended.code == 0, ended.stderr
    assert_safe(ended)
    assert len(real.list_batches().data) == 1
    for command in (("status", "results.jsonl"), ("batches", "list"), ("files", "list")):
        assert_safe(batchsim(*command))
    json.loads(batchsim("status", "results.jsonl", "--json").stdout)


def test_foreign_batches_with_odd_texts_are_passed_over(
    batchsim, desk, real: FakeBackend, monkeypatch, odd
) -> None:
    foreign = {
        "id": odd or "batch_x",
        "object": "batch",
        "status": odd or "completed",
        "created_at": 1,
        "input_file_id": odd,
        "metadata": {odd: odd, "batchsim": odd},
        "errors": {"data": [{"code": odd, "message": odd, "param": odd}]},
    }

    def change(request, value):
        is_list = request.method == "GET" and request.path.endswith("/batches")
        return {**value, "data": [*value["data"], foreign]} if is_list else value

    answering(monkeypatch, change)
    ended = batchsim(*RUN)
    assert ended.code == 0, ended.stderr
    assert_safe(ended)
    assert_safe(batchsim("batches", "list"))
    json.loads(batchsim("batches", "list", "--json").stdout.splitlines()[0])


@pytest.mark.parametrize("path", ["/files", "/batches"])
@pytest.mark.parametrize("status", [400, 403, 422])
def test_a_refusal_with_odd_text_stays_one(
    batchsim, desk, real: FakeBackend, monkeypatch, odd, path, status
) -> None:
    handle, asked = App.handle, []

    def refuse(app, request):
        if request.method != "POST" or not request.path.endswith(path):
            return handle(app, request)
        asked.append(request.path)
        told = {"message": f"no {odd}", "type": odd, "param": odd, "code": odd}
        headers = (("content-type", "application/json"),)
        return Response(status, headers, iter([json.dumps({"error": told}).encode()]))

    with monkeypatch.context() as patch:
        patch.setattr(App, "handle", refuse)
        ended = batchsim(*RUN)
        assert ended.code in (2, 75), ended.stderr
        assert "no " in ended.stderr
        assert_safe(ended)
        assert len(asked) == 1
    assert batchsim(*RUN).code == 0, "it is refused for sure, so that the same command goes on"
    assert len(real.list_batches().data) == 1


def test_results_with_odd_texts_are_told_safely(
    batchsim, desk, real: FakeBackend, monkeypatch, odd
) -> None:
    """Lines that nobody sent, errors with odd texts, and a good answer with an odd text in it."""
    handle = App.handle

    def written(file_id):
        content = b"".join(real.undisturbed.read_file(file_id))
        good, failed, *rest = (json.loads(line) for line in content.splitlines())
        good["response"]["body"]["choices"][0]["message"]["content"] = odd
        failed["response"] = {"status_code": 400, "body": {"error": {"message": odd, "code": odd}}}
        foreign = {**good, "custom_id": odd}
        lines = [foreign, good, failed, *rest, {"custom_id": odd, "error": {"code": odd}}]
        return b"".join(json.dumps(line).encode() + b"\n" for line in lines)

    def changed(app, request):
        answer = handle(app, request)
        parts = request.path.split("/")
        if request.method != "GET" or parts[2] != "files" or len(parts) == 3:
            return answer
        output = real.undisturbed.list_batches().data[0].output_file_id
        if parts[3] != output:
            return answer
        content = written(output)
        if parts[-1] != "content":
            value = json.loads(b"".join(answer.body)) | {"bytes": len(content)}
            content = json.dumps(value).encode()
        return Response(200, (("content-type", "application/json"),), iter([content]))

    monkeypatch.setattr(App, "handle", changed)
    ended = batchsim(*RUN)
    assert ended.code == 1, ended.stderr
    assert_safe(ended)
    assert len((desk / "results.jsonl").read_bytes().splitlines()) == 3
    for command in ("status", "results"):
        assert_safe(batchsim(command, "results.jsonl"))
    json.loads(batchsim("status", "results.jsonl", "--json").stdout)
