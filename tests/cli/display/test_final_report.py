import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.runner.policy import Policy
from batchsim.runner.run import run
from tests.cli.commands.test_run import chat_line, write_lines

WHY = {
    "a": (429, {"error": {"message": "Slow\x1b[2J down", "code": "rate_limit_exceeded"}}),
    "b": (400, {"error": {"message": "No such tool", "type": "invalid_request_error"}}),
    "c": (404, "gone"),
    "d": (418, {"error": {"code": "teapot"}}),
    "e": (418, {"error": {"code": "kettle"}}),
}


@pytest.fixture
def told_reasons(desk):
    from batchsim.cli.display.final_report import reasons

    def tell(*custom_ids: str, **scripts) -> list[str]:
        """What is told of a job whose lines end as WHY says of the letter that they begin with."""
        write_lines(desk / "input.jsonl", *map(chat_line, custom_ids))
        responder = {each: scripts.get(each) or WHY.get(each[0]) for each in custom_ids}
        backend = FakeBackend(responder=responder)
        results = desk / "results.jsonl"
        policy = Policy(retries=0)
        report = run(desk / "input.jsonl", backend, results=results, policy=policy)
        return list(reasons(report))

    return tell


def test_nothing_is_told_when_all_is_well(told_reasons):
    assert told_reasons("x1", "x2") == []


def test_the_most_frequent_reason_comes_first_with_an_example_and_its_words(told_reasons):
    assert told_reasons("x1", "b1", "a1", "a2", "b2", "a3") == [
        "3 lines: rate_limit_exceeded, such as a1: Slow\x1b[2J down",
        "2 lines: invalid_request_error, such as b1: No such tool",
    ]


def test_an_answer_that_says_nothing_is_told_by_its_status(told_reasons):
    assert told_reasons("x1", "c1") == ["1 line: http_404, such as c1"]


def test_three_reasons_are_told_and_the_others_counted(told_reasons):
    *three, others = told_reasons("d1", "e1", "b1", "a1", "a2", "c1", "c2")
    assert [each.split(",")[0] for each in three[:2]] == [
        "2 lines: rate_limit_exceeded",
        "2 lines: http_404",
    ]
    assert len(three) == 3
    assert others == "2 lines: 2 other reasons"


def test_a_custom_id_cannot_pass_for_a_good_outcome(told_reasons):
    custom_id = 'b", "outcome": "ok"'
    assert told_reasons(custom_id) == [
        f"1 line: invalid_request_error, such as {custom_id}: No such tool"
    ]


def test_codes_without_end_take_no_memory_without_end(told_reasons, monkeypatch):
    monkeypatch.setattr("batchsim.cli.display.final_report.MOST_CODES", 2)
    scripts = {f"x{n}": (400, {"error": {"code": f"code-{n}"}}) for n in range(9)}
    first, *_ = told_reasons(*scripts, **scripts)
    assert first == "7 lines: other reasons, such as x2"


def test_run_tells_them_on_stderr_and_they_command_no_terminal(batchsim, desk):
    bad = chat_line("bad\x1b[2J", temperature=5)
    write_lines(desk / "input.jsonl", chat_line("good"), bad)
    outcome = batchsim("run", "--fake", "input.jsonl", "-o", "results.jsonl")
    assert outcome.code == 1
    summary, reason = outcome.stderr.splitlines()[-2:]
    assert summary.startswith("2 lines: 1 ok, 1 failed")
    assert reason.startswith("  1 line: decimal_above_max_value, such as bad")
    assert "\x1b" not in reason
