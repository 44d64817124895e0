"""The rules for input files; numbers are those of the project's checklist of the
API's behaviour.
"""

import io
import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsim.domain.batches import BatchError
from batchsim.domain.endpoints import ENDPOINTS
from batchsim.domain.limits import Limits
from batchsim.domain.lines import RequestLines
from batchsim.domain.validation.batch_errors import file_not_found, token_limit_exceeded
from batchsim.domain.validation.input_file import InputRules, InvalidLine, embedding_inputs
from batchsim.jsonl import read_blocks

CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "Hi"}]
NOT_JSON = "This line is not parseable as valid JSON."


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth - 1):
        value = [value]
    return value


def codes(found: list[BatchError]) -> list[tuple[str, int | None]]:
    return [(error.code, error.line) for error in found]


UNREADABLE = {
    "cut": b'{"custom_id": "a',
    "trailing comma": b'{"custom_id": "a",}',
    "single quotes": b"{'custom_id': 'a'}",
    "NaN": b'{"custom_id": "a", "body": {"x": NaN}}',
    "Infinity": b'{"custom_id": "a", "body": {"x": Infinity}}',
    "1e999": b'{"custom_id": "a", "body": {"x": 1e999}}',
    "5,000 digits": b'{"custom_id": "a", "body": {"x": ' + b"9" * 5_000 + b"}}",
    "lone surrogate": rb'{"custom_id": "\ud800"}',
    "Latin-1": b'{"custom_id": "caf\xe9"}',
    "overlong UTF-8": b'{"custom_id": "\xc0\xaf"}',
    "encoded surrogate": b'{"custom_id": "\xed\xa0\x80"}',
    "NUL": b'{"custom_id": "\x00"}',
    "two objects": b'{"custom_id": "a"} {"custom_id": "b"}',
    "null": b"null",
    "number": b"1",
    "string": b'"x"',
    "array": b"[]",
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_row_107_a_line_that_is_no_json_object_is_invalid_json_line(content, input_line, errors_in):
    expected = BatchError("invalid_json_line", NOT_JSON, None, 2)
    assert errors_in(input_line("x"), content) == [expected]


USUAL = '{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {%s}%s}'


@pytest.mark.parametrize(
    "content",
    [
        USUAL % ("", "\f"),
        USUAL % ("", ', "custom_id": "b"'),
        USUAL % ("", ', "body": {}'),
        USUAL % ("", ', "\\u0062ody": {}'),
        USUAL % ('"x": NaN', ""),
        (USUAL % ("", "")).replace('"a"', '"a\t"'),
        (USUAL % ("", "")) + "\v",
        USUAL.replace("a", "\udced\udca0\udc80", 1) % ("", ""),
    ],
)
def test_row_107_a_line_in_the_usual_order_is_read_as_strictly_as_any_other(content, errors_in):
    assert codes(errors_in(content.encode("utf-8", "surrogateescape"))) == [
        ("invalid_json_line", 1)
    ]


def test_row_108_a_byte_order_mark_is_invalid_json_line_on_line_1(input_line, errors_in):
    assert codes(errors_in(b"\xef\xbb\xbf" + input_line("a"), input_line("b"))) == [
        ("invalid_json_line", 1)
    ]


@pytest.mark.parametrize("missing", [..., None])
@pytest.mark.parametrize("key", ["custom_id", "method", "url", "body"])
def test_row_109_a_missing_key_is_named(key, missing, input_line, errors_in):
    message = f"Missing required parameter: '{key}'."
    expected = BatchError("missing_required_parameter", message, key, 1)
    assert errors_in(input_line(**{key: missing})) == [expected]


def test_row_109_an_empty_custom_id_counts_as_missing(input_line, errors_in):
    (error,) = errors_in(input_line(""))
    assert (error.code, error.param) == ("missing_required_parameter", "custom_id")


def test_row_110_every_bad_line_is_reported_in_order_with_its_first_fault(input_line, errors_in):
    lines = [
        input_line("a"),
        b"{",
        input_line("b", url="/v1/x", method="GET"),
        input_line("c"),
        input_line("a"),
    ]
    assert codes(errors_in(*lines)) == [
        ("invalid_json_line", 2),
        ("invalid_method", 3),
        ("duplicate_custom_id", 5),
    ]


@pytest.mark.parametrize(
    "url",
    [
        "/v1/embeddings",
        "https://evil.example/v1/chat/completions",
        "//evil.example",
        "/v1/../v1/chat/completions",
        "/v1/chat/completions?q",
        "/v1%2Fchat/completions",
        "/v1/chat/completions/",
        "/chat/completions",
        "v1/chat/completions",
        " /v1/chat/completions",
        "/v1/Chat/completions",
        "",
        7,
    ],
)
def test_row_112_a_url_that_is_not_exactly_the_endpoint_is_invalid_url(url, input_line, errors_in):
    message = "The URL provided for this request does not match the batch endpoint."
    assert errors_in(input_line(url=url)) == [BatchError("invalid_url", message, "url", 1)]


@pytest.mark.parametrize("model", ["no-such-model", "gpt\u200b-4o", "gpt-4o\u202e", "", " gpt-4o"])
def test_row_113_an_unknown_model_is_model_not_found(model, input_line, errors_in):
    message = f"The provided model '{model}' is not supported by the Batch API."
    expected = BatchError("model_not_found", message, "body.model", 1)
    assert errors_in(input_line(body={"model": model, "messages": MESSAGES})) == [expected]


def test_row_114_each_line_with_another_model_than_the_first_is_mismatched(input_line, errors_in):
    models = ["gpt-4o", "gpt-4o-mini", "gpt-4o", "o3"]
    lines = [
        input_line(f"{number}", body={"model": model, "messages": MESSAGES})
        for number, model in enumerate(models)
    ]
    found = errors_in(*lines)
    assert codes(found) == [("mismatched_model", 2), ("mismatched_model", 4)]
    assert found[0].message == (
        "The model 'gpt-4o-mini' for this request does not match the rest of the batch. "
        "Each batch must contain requests for a single model."
    )
    assert found[0].param == "body.model"


def test_row_114_a_job_may_mix_models_and_endpoints(input_line, errors_in):
    lines = [
        input_line("a"),
        input_line("b", body={"model": "gpt-4o", "messages": MESSAGES}),
        input_line(
            "c", url="/v1/embeddings", body={"model": "text-embedding-3-small", "input": "x"}
        ),
    ]
    assert errors_in(*lines, rules=InputRules(one_batch=False)) == []


def test_row_115_the_second_of_two_equal_ids_is_the_duplicate(input_line, errors_in):
    found = errors_in(input_line("a"), input_line("b"), input_line("a"), input_line("a"))
    assert codes(found) == [("duplicate_custom_id", 3), ("duplicate_custom_id", 4)]
    assert found[0].message.startswith("The custom_id 'a' for this request is a duplicate")
    assert found[0].param == "custom_id"


def test_row_115_ids_that_only_look_alike_are_different(input_line, errors_in):
    assert errors_in(*(input_line(each) for each in ("é", "e\u0301", "A", "a", "a "))) == []


STREAMING = {
    CHAT: ("Chat Completions", {"messages": MESSAGES}),
    "/v1/completions": ("Completions", {"prompt": "x"}),
    "/v1/responses": ("Responses", {"input": "x"}),
    "/v1/images/generations": ("Images", {"prompt": "x"}),
}


@pytest.mark.parametrize("url", STREAMING)
def test_row_116_a_stream_is_refused(url, input_line, errors_in):
    name, body = STREAMING[url]
    found = errors_in(
        input_line(url=url, body={"model": "gpt-4o", "stream": True, **body}),
        rules=InputRules(endpoint=url),
    )
    message = f"{name}: Streaming is not supported in the Batch API."
    assert found == [BatchError("streaming_unsupported", message, "body.stream", 1)]


def test_row_116_stream_false_is_no_stream(input_line, errors_in):
    assert errors_in(input_line(body={"model": "o3", "messages": MESSAGES, "stream": False})) == []


REQUIRED = [(path, name) for path, endpoint in ENDPOINTS.items() for name in endpoint.required]


@pytest.mark.parametrize(("url", "name"), REQUIRED)
def test_row_117_what_the_endpoint_needs_is_missed_in_the_body(url, name, input_line, errors_in):
    body = {each: "gpt-4o" if each == "model" else "x" for each in ENDPOINTS[url].required}
    rules = InputRules(endpoint=url)
    assert errors_in(input_line(url=url, body=body), rules=rules) == []
    del body[name]
    message = f"Missing required parameter: '{name}'."
    assert errors_in(input_line(url=url, body=body), rules=InputRules(endpoint=url)) == [
        BatchError("missing_required_parameter", message, f"body.{name}", 1)
    ]


def test_row_117_a_response_may_have_a_prompt_for_its_input(input_line, errors_in):
    line = input_line(url="/v1/responses", body={"model": "gpt-5", "prompt": {"id": "pmpt_1"}})
    assert errors_in(line, rules=InputRules(endpoint="/v1/responses")) == []


def test_row_118_a_file_that_is_gone_is_an_error_of_the_whole():
    error = file_not_found("file-1", "org-1")
    assert (error.code, error.param, error.line) == ("invalid_request", "file_id", None)
    assert error.message == (
        "Cannot find file file-1, or organization org-1 does not have access to it."
    )


def test_row_119_the_token_limit_is_in_the_message():
    error = token_limit_exceeded("gpt-4o-mini", "org-1", 2_000_000)
    assert (error.code, error.param, error.line) == ("token_limit_exceeded", None, None)
    assert "Limit: 2,000,000 enqueued tokens." in error.message


def test_row_121_one_line_more_than_a_batch_may_have(input_line, errors_in):
    rules = InputRules(limits=Limits(requests_per_batch=2))
    assert errors_in(input_line("a"), input_line("b"), rules=rules) == []
    rules = InputRules(limits=Limits(requests_per_batch=2))
    assert codes(errors_in(*map(input_line, "abc"), rules=rules)) == [("too_many_tasks", None)]


@pytest.mark.parametrize(("second", "expected"), [(["b"], []), (["b", "c"], ["too_many_inputs"])])
def test_row_122_embedding_inputs_are_counted_over_all_lines(
    second, expected, input_line, errors_in
):
    rules = InputRules(limits=Limits(embedding_inputs_per_batch=2))
    lines = [
        input_line(str(number), url="/v1/embeddings", body={"model": "ft:x", "input": each})
        for number, each in enumerate(["a", second])
    ]
    assert [error.code for error in errors_in(*lines, rules=rules)] == expected


@pytest.mark.parametrize(
    ("value", "count"),
    [
        ("x", 1),
        (["x", "y"], 2),
        ([1, 2, 3], 1),
        ([[1, 2], [3]], 2),
        ([], 0),
        ([[["x"]]], 1),
        (7, 1),
    ],
)
def test_row_122_an_embedding_input_is_a_string_or_a_token_list(value, count):
    assert embedding_inputs(value) == count


@pytest.mark.parametrize(
    "parameters", [{"temperature": 999}, {"max_tokens": 10**12}, {"n": -1}, {"messages": "no list"}]
)
def test_row_123_bad_values_in_a_body_are_left_to_the_endpoint(parameters, input_line, errors_in):
    assert errors_in(input_line(body={"model": "o3", "messages": MESSAGES, **parameters})) == []


WRONG_TYPES = [
    ("custom_id", 7, "invalid_type", "custom_id"),
    ("custom_id", {}, "invalid_type", "custom_id"),
    ("method", "GET", "invalid_method", "method"),
    ("method", "post", "invalid_method", "method"),
    ("method", " POST", "invalid_method", "method"),
    ("method", "POST ", "invalid_method", "method"),
    ("method", 1, "invalid_method", "method"),
    ("body", "{}", "invalid_type", "body"),
    ("body", [], "invalid_type", "body"),
    ("body", {"model": 5, "messages": MESSAGES}, "invalid_type", "body.model"),
]


@pytest.mark.parametrize(("key", "value", "code", "param"), WRONG_TYPES)
def test_a_key_of_the_wrong_type_or_value_is_named(key, value, code, param, input_line, errors_in):
    (error,) = errors_in(input_line(**{key: value}))
    assert (error.code, error.param, error.line) == (code, param, 1)


def test_blank_lines_are_errors_inside_and_nothing_at_the_end(input_line, errors_in):
    found = errors_in(b"", input_line("a"), b" \t", b"\r", input_line("b"), b"", b" ", b"\r")
    assert codes(found) == [(code, line) for line in (1, 3, 4) for code in ["invalid_json_line"]]


def numbers(found):
    if isinstance(found, InvalidLine):
        return [found.line.number]
    return [request.number for request in found.requests()]


def test_blank_lines_are_given_in_order_between_their_neighbours(input_line):
    stream = io.BytesIO(b"\n\n" + input_line("a") + b"\n\n" + input_line("b"))
    walked = list(InputRules().walk(read_blocks(stream)))
    assert [numbers(found) for found in walked] == [[1], [2], [3], [4], [5]]
    assert [isinstance(found, RequestLines) for found in walked] == [
        False,
        False,
        True,
        False,
        True,
    ]


@pytest.mark.parametrize("lines", [(), (b"",), (b"", b" ", b"\r")])
def test_a_file_without_a_request_is_empty(lines, errors_in):
    assert codes(errors_in(*lines)) == [("empty_file", None)]


def test_carriage_returns_before_the_newline_are_accepted(input_line, errors_in):
    assert errors_in(input_line("a") + b"\r", input_line("b") + b"\r") == []


def test_what_ends_a_line_elsewhere_does_not_end_it_here(input_line, errors_in):
    content = "\u2028\u2029\u0085"
    line = json.dumps(
        {**json.loads(input_line()), "custom_id": content}, ensure_ascii=False
    ).encode()
    assert errors_in(line) == []


@pytest.mark.parametrize(("depth", "expected"), [(126, []), (127, ["invalid_json_line"])])
def test_nesting_ends_at_128_with_the_line_and_its_body(depth, expected, input_line, errors_in):
    body = {"model": "o3", "messages": nested(depth)}
    assert [error.code for error in errors_in(input_line(body=body))] == expected
    reordered = {"body": body, **json.loads(input_line(body=...))}
    assert [error.code for error in errors_in(json.dumps(reordered).encode())] == expected


def test_brackets_in_strings_are_no_nesting(input_line, errors_in):
    text = '"[{\\' * 500
    assert errors_in(input_line(body={"model": "o3", "messages": [{"content": text}]})) == []


def test_brackets_in_strings_do_not_hide_nesting(input_line, errors_in):
    value: list = []
    for _ in range(140):
        value = ["]}", value]
    assert codes(errors_in(input_line(body={"model": "o3", "messages": value}))) == [
        ("invalid_json_line", 1)
    ]


def test_a_million_levels_are_refused_without_recursion(input_line, errors_in):
    content = input_line().replace(b'"Hi"', b"[" * 1_000_000)
    assert codes(errors_in(content)) == [("invalid_json_line", 1)]


@pytest.mark.parametrize("second", ['"custom_id"', r'"custom\u005fid"', r'"\u0063ustom_id"'])
def test_a_key_that_is_there_twice_is_refused_however_it_is_written(second, input_line, errors_in):
    line = input_line("a").decode()
    for twice in (f'{line[:-1]}, {second}: "b"}}', f'{{{second}: "b", {line[1:]}'):
        assert codes(errors_in(twice.encode())) == [("invalid_json_line", 1)]


def test_our_keys_may_be_repeated_inside_the_body(input_line, errors_in):
    body = {"model": "o3", "messages": [], "body": {"url": "x", "custom_id": [{"method": 1}]}}
    assert errors_in(input_line(body=body)) == []


def test_a_job_has_no_limit_on_lines(input_line, errors_in):
    rules = InputRules(one_batch=False, limits=Limits(requests_per_batch=1))
    assert errors_in(input_line("a"), input_line("b"), rules=rules) == []


def test_check_says_what_walk_says(input_line):
    wrong = InputRules().check(7, b"{")
    assert isinstance(wrong, BatchError)
    assert wrong.line == 7
    request = InputRules().check(7, input_line("x"))
    assert (request.number, request.custom_id, request.url) == (7, "x", CHAT)
    assert (request.model, request.body["messages"]) == ("gpt-4o-mini", MESSAGES)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@given(st.text(alphabet='{}[]",:\\ \t\r0123456789truefalsnEeINa.-+x\udcffü', max_size=60))
def test_any_text_that_is_no_json_is_an_invalid_json_line(text):
    content = text.encode("utf-8", "surrogateescape")
    try:
        orjson.loads(content)
    except orjson.JSONDecodeError:
        wrong = InputRules().check(1, content)
        assert isinstance(wrong, BatchError)
        assert wrong.code == "invalid_json_line"


@given(
    ids=st.lists(st.text(min_size=1).filter(lambda text: text.isprintable()), unique=True),
    extra=st.dictionaries(st.text().filter(lambda name: name != "stream"), json_values),
    ascii_only=st.booleans(),
    separators=st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " :  ")]),
    order=st.permutations(["custom_id", "method", "url", "body"]),
)
def test_nothing_is_found_in_valid_lines(ids, extra, ascii_only, separators, order):
    rules = InputRules(endpoint=CHAT)
    for number, custom_id in enumerate(ids, 1):
        body = {**extra, "model": "gpt-4o", "messages": []}
        value = {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body}
        line = json.dumps(
            {key: value[key] for key in order}, ensure_ascii=ascii_only, separators=separators
        )
        try:
            content = line.encode()
            parsed = orjson.loads(content)
        except ValueError:  # NaN, infinities and lone surrogates are no JSON
            continue
        assert rules.check(number, content).body == parsed["body"]
        assert InputRules().check(1, orjson.dumps(parsed)).custom_id == custom_id


def test_unknown_keys_are_remembered_up_to_a_few_however_many_there_are(input_line):
    rules = InputRules()
    lines = [
        json.dumps({**json.loads(input_line(f"{n}")), f"key-{n}-{'x' * 100}": 1}) for n in range(50)
    ]
    walked = rules.walk(read_blocks(io.BytesIO("\n".join(lines).encode())))
    assert sum(len(numbers(found)) for found in walked) == 50
    assert len(rules.unknown_keys) == 10
    assert max(map(len, rules.unknown_keys)) == 64
