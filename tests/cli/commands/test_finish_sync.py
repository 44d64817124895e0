"""`run --real --finish-sync` against a service whose batches do not end in time."""

import json
from pathlib import Path

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.domain.answers import Answer
from batchsim.runner.job import fold
from batchsim.runner.journal import Journal
from batchsim.runner.schedule.budget import balance
from tests.repository import DEMO_INPUT

COMMAND = ("run", "--real", "input.jsonl", "-o", "results.jsonl", "--finish-sync")
DUE_SOON = ("--deadline", "40s", "--max-cost", "1")
WHOLE = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
}


@pytest.fixture
def input_of_three(desk: Path) -> None:
    lines = [json.loads(line) for line in DEMO_INPUT.read_text("utf-8").splitlines()]
    for line in lines:
        line["body"]["max_tokens"] = 100
    (desk / "input.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


def results(desk: Path) -> list[dict]:
    return [json.loads(line) for line in (desk / "results.jsonl").read_bytes().splitlines()]


def held(desk: Path):
    with Journal(desk / "results.jsonl.job" / "journal.db") as journal:
        return balance(fold(journal.entries()))


NO_ANSWERS = {
    "a web page": (200, "<html><body>Please log in</body></html>"),
    "nothing": (200, ""),
    "no content": (204, ""),
    "half an answer": (200, json.dumps(WHOLE)[:60]),
    "null": (200, "null"),
    "a list": (200, "[]"),
    "a text": (200, '"ok"'),
    "an empty object": (200, "{}"),
    "an error": (200, '{"error": {"message": "no"}}'),
    "an error beside an answer": (200, json.dumps(WHOLE | {"error": {"message": "no"}})),
    "another endpoint's answer": (200, '{"id": "resp_1", "object": "response", "output": []}'),
    "choices that are no list": (200, '{"choices": "many"}'),
    "a stream": (200, 'data: {"choices": []}\n\ndata: [DONE]\n\n'),
    "a promise": (202, '{"id": "job-1", "status": "queued"}'),
    "deep nesting": (200, "[" * 100_000),
}


@pytest.mark.usefixtures("input_of_three")
@pytest.mark.parametrize("kind", NO_ANSWERS)
def test_a_good_status_without_an_answer_is_unknown_and_stays_reserved(
    batchsim, desk, real: FakeBackend, monkeypatch, kind
) -> None:
    asked = []

    def answer(url, body):
        asked.append(body)
        return Answer(*NO_ANSWERS[kind]) if len(asked) == 2 else Answer(200, json.dumps(WHOLE))

    monkeypatch.setattr(real, "answer", answer)
    ended = batchsim(*COMMAND, *DUE_SOON)
    assert ended.code == 1, ended.stderr
    assert "3 lines: 2 ok, 1 failed" in ended.stderr
    codes = [each["error"] and each["error"]["code"] for each in results(desk)]
    assert sorted(codes, key=str) == [None, None, "outcome_unknown"]
    assert held(desk).reserved > 0
    assert batchsim(*COMMAND, *DUE_SOON).code == 1
    assert len(asked) == 3, "it is not sent again: it may have been paid for"


USAGES = {
    "none": {},
    "no output": {"prompt_tokens": 9},
    "no input": {"completion_tokens": 9},
    "a text": {"prompt_tokens": 9, "completion_tokens": "three"},
    "a negative one": {"prompt_tokens": 9, "completion_tokens": -3},
}


@pytest.mark.usefixtures("input_of_three")
@pytest.mark.parametrize("kind", USAGES)
def test_an_answer_whose_usage_is_not_whole_stays_reserved(
    batchsim, desk, real: FakeBackend, monkeypatch, kind
) -> None:
    told = json.dumps(WHOLE | {"usage": USAGES[kind]})
    monkeypatch.setattr(real, "answer", lambda url, body: Answer(200, told))
    ended = batchsim(*COMMAND, *DUE_SOON)
    assert ended.code == 0, ended.stderr
    money = held(desk)
    assert (money.spent, money.reserved > 0) == (0, True)


@pytest.mark.usefixtures("input_of_three")
@pytest.mark.parametrize("status", [408, 502, 504, 520, 524])
def test_a_request_whose_answer_got_lost_behind_a_proxy_stays_reserved(
    batchsim, desk, real: FakeBackend, monkeypatch, status
) -> None:
    monkeypatch.setattr(real, "answer", lambda url, body: Answer(status, "<html>"))
    ended = batchsim(*COMMAND, *DUE_SOON, "--retries", "1")
    assert ended.code == 1, ended.stderr
    assert held(desk).reserved > 0
