"""The cause of a bad line or file, the place, and what to do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsim.domain.batches import BatchError
from batchsim.domain.lines import RequestLine, RequestLines
from batchsim.domain.validation import batch_errors, input_file
from batchsim.domain.validation.advice import Advice
from batchsim.domain.validation.custom_ids import CustomIds
from batchsim.domain.validation.error_explanation import (
    hint_for,
    is_about_one_batch,
    shown,
    why_unreadable,
    wrong_format,
)
from batchsim.jsonl import Line

FAULTS = [
    (b"", "The line is blank.", None),
    (b" \t", "The line is blank.", None),
    (b"\xef\xbb\xbf{}", "It starts with a byte order mark.", 1),
    (b'{"a": "caf\xe9"}', "It is not UTF-8: byte 11 of the line is 0xE9.", 11),
    ('{"日": "'.encode() + b'\xff"}', "It is not UTF-8: byte 10 of the line is 0xFF.", 8),
    (b'{"a": [' + b"[" * 200, "It nests more than 128 levels deep.", None),
    (b"null", "It is null, not an object.", 1),
    (b"1", "It is an integer, not an object.", 1),
    (b'"x"', "It is a string, not an object.", 1),
    (b"[]", "It is an array, not an object.", 1),
    (b'{"url": 1, "url": 2}', 'The key "url" is there twice.', None),
    (rb'{"url": 1, "\u0075rl": 2}', 'The key "url" is there twice.', None),
    (b'{"a": "cut', "A string is not ended.", 7),
    (b'{"a": 1', "It ends too early.", 8),
    (b'{"a": 1,', "It ends too early.", 9),
    (b'{"a": 1,}', "There is a comma after the last item.", 8),
    (b'{"a": [1, ]}', "There is a comma after the last item.", 9),
    (b"{'a': 1}", "A string is in single quotes.", 2),
    (b'{"a": NaN}', "NaN is not JSON.", 7),
    (b'{"a": Infinity}', "Infinity is not JSON.", 7),
    (b'{"a": True}', "True is Python, not JSON.", 7),
    (b'{"a": None}', "None is Python, not JSON.", 7),
    (b'{"a": 1} // x', "There is a comment.", 10),
    (b'{"a": /* x */ 1}', "There is a comment.", 7),
    (b'{"a": 1e999}', "A number is too large.", 7),
    (b'{"a": ' + b"9" * 5_000 + b"}", "A number is too large.", 7),
    (b'{"a": "\x00"}', "There is a control character.", 8),
    (b'{"a": 1} x', "Unexpected content after document.", 10),
]


@pytest.mark.parametrize(("content", "text", "column"), FAULTS)
def test_the_cause_of_an_unreadable_line_has_a_name_and_a_place(content, text, column):
    cause = why_unreadable(content)
    assert (cause.text, cause.column) == (text, column)
    assert cause.hint


@pytest.mark.parametrize(
    ("content", "column"),
    [
        (rb'{"a": "\ud800"}', 8),
        (rb'{"a": "\ud800\u0041"}', 8),
        (rb'{"a": "\\\ud83d\ude00 \udE00"}', 23),
    ],
)
def test_half_a_surrogate_pair_is_named(content, column):
    cause = why_unreadable(content)
    assert (cause.text, cause.column) == ("Half of a surrogate pair stands alone.", column)


@given(st.binary(max_size=40) | st.text('{}[]",:\\ 1eNaIu0d8', max_size=40).map(str.encode))
def test_every_line_that_is_refused_as_json_has_a_cause(content):
    found = input_file.InputRules().check(1, content)
    if isinstance(found, BatchError) and found.code == "invalid_json_line":
        cause = why_unreadable(content)
        assert cause.text.endswith(".")
        assert cause.hint


LINE = b'{"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": {}}'
FORMATS = {
    "UTF-16 with mark": ("\ufeff" + LINE.decode()).encode("utf-16-le"),
    "UTF-16 big-endian": LINE.decode().encode("utf-16-be"),
    "UTF-16 little-endian": LINE.decode().encode("utf-16-le"),
    "UTF-32 with mark": ("\ufeff" + LINE.decode()).encode("utf-32-le"),
    "UTF-32 big-endian": LINE.decode().encode("utf-32-be"),
    "gzip": b"\x1f\x8b\x08\x00",
    "zip": b"PK\x03\x04",
    "zstd": b"\x28\xb5\x2f\xfd",
    "bzip2": b"BZh9",
    "xz": b"\xfd7zXZ\x00",
    "Parquet": b"PAR1\x15",
    "NUL": b"\0" * 100,
    "JSON array": b"[" + LINE + b"]",
    "several lines": b'{\n  "custom_id": "a"\n}\n',
    "carriage return": LINE + b"\r" + LINE + b"\r",
    "table": b'custom_id,method,"url",body\na,POST,/v1/responses,{}\n',
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_is_no_jsonl_is_named_by_its_start(name):
    cause = wrong_format(FORMATS[name])
    assert name.split()[0].lower() in cause.text.lower()
    assert cause.hint


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\n\n",
        b"\xef\xbb\xbf",
        LINE,
        LINE + b"\r\n" + LINE,
        b"\xef\xbb\xbf" + LINE,
        b"\n" + LINE,
        b"[]\n" + LINE,
        b"null\n" + LINE,
        b"{} {}",
        b"{\n" + LINE,
        b"{ \r\r}",
        b'"a"\n',
    ],
)
def test_a_file_that_may_be_jsonl_is_left_to_its_lines(head):
    assert wrong_format(head) is None


ERRORS = [
    batch_errors.invalid_json_line(1),
    *(batch_errors.missing_required_parameter(1, key) for key in input_file.KEYS),
    batch_errors.missing_body_parameter(1, "messages"),
    batch_errors.invalid_type(1, "body", "an object", []),
    batch_errors.duplicate_custom_id(1, "a"),
    batch_errors.invalid_url(1),
    batch_errors.invalid_method(1),
    batch_errors.model_not_found(1, "x"),
    batch_errors.mismatched_model(1, "x"),
    batch_errors.streaming_unsupported(1, "Responses"),
    batch_errors.empty_file(),
    batch_errors.too_many_requests(50_001, 50_000),
    batch_errors.too_many_inputs(50_001, 50_000),
    BatchError("from_the_future", ""),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: f"{error.code} {error.param}")
def test_every_error_has_a_hint_of_one_line(error):
    hint = hint_for(error)
    assert hint
    assert "\n" not in hint
    assert not hint.endswith(".")
    assert hint != hint_for(BatchError("from_the_future", "")) or error.code == "from_the_future"


def test_the_hint_names_the_line_that_came_first():
    assert "line 40,000 " in hint_for(
        batch_errors.duplicate_custom_id(50_000, "a"), first_line=40_000
    )
    assert "line 3 " in hint_for(batch_errors.mismatched_model(9, "x"), first_line=3)


@pytest.mark.parametrize(
    ("error", "url", "expected"),
    [
        (batch_errors.invalid_url(1), "/v1/embeddings", True),
        (batch_errors.invalid_url(1), "/v1/embedding", False),
        (batch_errors.invalid_url(1), ["/v1/embeddings"], False),
        (batch_errors.mismatched_model(1, "x"), None, True),
        (batch_errors.too_many_requests(2, 1), None, True),
        (batch_errors.too_many_inputs(2, 1), None, True),
        (batch_errors.model_not_found(1, "x"), None, False),
    ],
)
def test_some_errors_only_say_that_one_batch_is_not_enough(error, url, expected):
    assert is_about_one_batch(error, url=url) == expected
    assert ("`batchsim run`" in hint_for(error, url=url)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("日本 é", "日本 é"),
        ("\x1b[2J\n", r"\x1b[2J\n"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("a\u200bb", r"a\u200bb"),
        ("\udcff", r"\udcff"),
        ("\U000e0041", r"\U000e0041"),
        ("x" * 12, "xxxxxxxxxx... (12 characters)"),
    ],
)
def test_text_from_elsewhere_cannot_play_with_the_terminal(text, expected):
    assert shown(text, 10) == expected


def given_advice(*lines: tuple[str, bytes]) -> list[tuple[int, str]]:
    custom_ids = CustomIds()
    advice = Advice(custom_ids)
    for number, (custom_id, content) in enumerate(lines, 1):
        custom_ids.add(custom_id)
        request = RequestLine(number, custom_id, "/v1/responses", "o3", {})
        advice.look(RequestLines.of(Line(number, 0, content), request))
    alone = advice.given()
    assert alone == given_together(*lines)
    return alone


def given_together(*lines: tuple[str, bytes]) -> list[tuple[int, str]]:
    """The same when all lines are looked at in one step, as neighbours are."""
    custom_ids = CustomIds()
    for custom_id, _ in lines:
        custom_ids.add(custom_id)
    advice = Advice(custom_ids)
    names, contents = [name for name, _ in lines], [content for _, content in lines]
    advice.look(RequestLines(1, 0, contents, names, "/v1/responses", "o3", [{} for _ in lines]))
    return advice.given()


@pytest.mark.parametrize(("one", "other"), [("é", "e\u0301"), ("A", "a"), ("Straße", "STRASSE")])
def test_ids_that_differ_only_in_case_or_accents_are_worth_a_word(one, other):
    ((line, text),) = given_advice((one, b""), ("b", b""), (other, b""))
    assert line == 3
    assert "only in case or accents" in text


@given(st.lists(st.text("aAäÄ", min_size=1, max_size=2), unique=True))
def test_the_first_id_that_differs_only_in_case_is_the_one_that_is_named(ids):
    seen, alike = set(), []
    for number, each in enumerate(ids, 1):
        if each.casefold() in seen:
            alike.append(number)
        seen.add(each.casefold())
    given = given_advice(*((each, b"") for each in ids))
    assert [line for line, _ in given] == alike[:1]
    more = f"(and on {len(alike) - 1} more)"
    assert all(text.endswith(more) == (len(alike) > 1) for _, text in given)


def test_a_secret_is_mentioned_once_and_never_shown():
    secret = b'{"x": "sk-proj-0123456789abcdefghij"}'
    ((line, text),) = given_advice(
        ("a", b"risk-0123456789abcdefghijkl"), ("b", secret), ("c", secret)
    )
    assert (line, "sk-" in text) == (2, False)
    assert text.endswith("(and on 1 more)")
