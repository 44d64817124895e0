"""`batchsim validate` as a person uses it."""

import io
import json
import sys
import time

import pytest

from batchsim.cli.commands.validate import SEARCHES, Finding, findings, validate
from batchsim.domain.limits import Limits
from batchsim.domain.validation.input_file import InputRules
from batchsim.errors import InputError
from tests.repository import FIXTURES

INPUTS = FIXTURES / "inputs"


def chat_line(custom_id: str, url: str = "/v1/chat/completions", **body) -> bytes:
    body = {"model": "gpt-4o-mini", "messages": [], **body}
    value = {"custom_id": custom_id, "method": "POST", "url": url, "body": body}
    return json.dumps(value).encode() + b"\n"


def test_a_valid_input_is_silent_on_stdout(batchsim, desk):
    (desk / "in.jsonl").write_bytes(chat_line("a") + chat_line("b"))
    outcome = batchsim("validate", "in.jsonl")
    assert (outcome.code, outcome.stdout) == (0, "")
    assert outcome.stderr == "in.jsonl is valid: 2 lines, /v1/chat/completions, gpt-4o-mini\n"


def test_an_error_has_its_place_its_code_and_a_hint(batchsim):
    outcome = batchsim("validate", str(INPUTS / "mistakes.jsonl"))
    assert outcome.code == 2
    name = str(INPUTS / "mistakes.jsonl")
    assert outcome.stdout.replace(name, "mistakes.jsonl") == (INPUTS / "mistakes.txt").read_text()
    assert outcome.stderr == f"{name} is not valid: 6 errors in 8 lines\n"


def test_all_errors_are_counted_and_the_first_20_printed(batchsim):
    content = chat_line("a") + b"{\n" * 25
    outcome = batchsim("validate", "-", stdin=content)
    assert outcome.stdout.count("invalid_json_line") == 20
    assert outcome.stderr.splitlines() == [
        "standard input is not valid: 25 errors in 26 lines",
        "hint: the first 20 are shown, --all shows every one",
    ]
    outcome = batchsim("validate", "-", "--all", stdin=content)
    assert outcome.stdout.count("invalid_json_line") == 25
    assert "--all" not in outcome.stderr


def test_json_has_one_object_for_each_finding(batchsim):
    outcome = batchsim(
        "validate", "-", "--json", stdin=chat_line("a") + chat_line("a", priority=1) + b"{\n"
    )
    first, second = map(json.loads, outcome.stdout.splitlines())
    assert set(first) == {"file", *Finding._fields}
    assert (first["line"], first["code"], first["param"]) == (2, "duplicate_custom_id", "custom_id")
    assert (second["line"], second["column"], second["detail"]) == (3, 2, "It ends too early.")


def test_the_endpoint_is_that_of_the_first_valid_line_unless_given(batchsim):
    content = b"{\n" + chat_line("a") + chat_line("b", "/v1/responses", input="x")
    found = batchsim("validate", "-", "--json", stdin=content).stdout.splitlines()
    assert [json.loads(each)["line"] for each in found] == [1, 3]
    given = batchsim("validate", "-", "--json", "--endpoint", "/v1/responses", stdin=content)
    assert [json.loads(each)["line"] for each in given.stdout.splitlines()] == [1, 2]


def test_an_endpoint_that_does_not_exist_is_wrong_usage(batchsim):
    outcome = batchsim("validate", "-", "--endpoint", "/v1/chat")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "/v1/chat" in outcome.stderr


def test_other_services_models_are_accepted_on_demand(batchsim):
    content = chat_line("a", model="mistral-large")
    assert batchsim("validate", "-", stdin=content).code == 2
    assert batchsim("validate", "-", "--any-model", stdin=content).code == 0


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (chat_line("a") + chat_line("b", model="o3"), True),
        (chat_line("a") + chat_line("b", "/v1/responses", input="x"), True),
        (chat_line("a") + chat_line("b", "/v1/respond"), False),
        (chat_line("a") + chat_line("b", model="o3") + chat_line("a"), False),
    ],
)
def test_it_says_when_run_would_take_what_one_batch_would_not(content, expected, batchsim):
    outcome = batchsim("validate", "-", stdin=content)
    assert outcome.code == 2
    assert ("`batchsim run` takes it as it is" in outcome.stderr) == expected


def test_warnings_leave_an_input_valid(batchsim):
    outcome = batchsim("validate", "-", stdin=chat_line("a") + chat_line("A") + b"\n")
    assert outcome.code == 0
    assert outcome.stdout.splitlines() == [
        "standard input:2: warning: this custom_id differs from another only in case or accents",
        "standard input:3: warning: the file ends with a blank line",
    ]


def test_row_017_one_byte_more_than_an_input_file_may_have():
    content = chat_line("a") + chat_line("b")
    for limit, expected in ((len(content), []), (len(content) - 1, ["file_too_large"])):
        found = findings(io.BytesIO(content), InputRules(), limits=Limits(input_file_bytes=limit))
        assert [each.code for each in found] == expected


def test_row_018_a_line_that_is_too_long_is_named(batchsim, desk):
    with pytest.raises(InputError, match="line 2 is longer than 150 bytes"):
        list(
            findings(
                io.BytesIO(chat_line("a") + chat_line("b" * 150)),
                InputRules(),
                limits=Limits(line_bytes=150),
            )
        )


@pytest.mark.parametrize("content", [b"[" * 1_000_000, b'{"a":' * 1_000_000, b'"\\' * 500_000])
def test_row_033_deep_and_twisted_lines_cost_no_time(content):
    started = time.process_time()
    assert list(findings(io.BytesIO(content + b"\n{"), InputRules()))
    assert time.process_time() - started < 1


def test_row_025_a_file_that_changes_under_way_is_refused(batchsim, desk, monkeypatch):
    path = desk / "in.jsonl"
    path.write_bytes(chat_line("a"))

    def findings_while_somebody_writes(*arguments, **options):
        yield from findings(*arguments, **options)
        path.write_bytes(chat_line("a") + chat_line("b"))

    monkeypatch.setitem(validate.callback.__globals__, "findings", findings_while_somebody_writes)
    outcome = batchsim("validate", "in.jsonl")
    assert outcome.code == 2
    assert "in.jsonl: the file was changed while it was read" in outcome.stderr


def test_a_closed_standard_input_is_one_error(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="standard input is closed"):
        validate.main(["-"], standalone_mode=False)


def test_a_reader_that_goes_away_is_no_error_of_the_input(process, desk):
    (desk / "in.jsonl").write_bytes(chat_line("a") + b"{\n" * 50_000)
    running = process("validate", "--all", "in.jsonl")
    running.stdout.readline()
    running.stdout.close()
    assert running.wait(timeout=60) == 141
    assert b"cannot be read" not in running.stderr.read()
    running.stderr.close()


def test_only_so_many_duplicates_are_searched_for():
    content = chat_line("a") * (SEARCHES + 2)
    found = list(findings(io.BytesIO(content), InputRules()))
    assert sum("line 1 has the same one" in each.hint for each in found) == SEARCHES


def test_the_first_of_two_ids_is_found_however_it_is_written():
    escaped = chat_line("é")
    assert b"\\u00e9" in escaped
    unescaped = escaped.replace(b"\\u00e9", "é".encode())
    (found,) = findings(io.BytesIO(escaped + unescaped), InputRules())
    assert found.hint.startswith("line 1 has")


def test_help_names_every_option(batchsim):
    shown = batchsim("validate", "--help").stdout
    for option in validate.params[1:]:
        assert option.opts[0] in shown
