"""Models, usage, instances of schemas, error texts."""

import json

import pytest

from batchsim.domain.answers import usage_of
from batchsim.domain.batches import Usage
from batchsim.domain.models import is_reasoning, sizes, snapshot, takes_temperature
from batchsim.responders import error_answers
from batchsim.responders.content.json_instances import DEEPEST, LONGEST, instance


@pytest.mark.parametrize(
    ("model", "dated"),
    [
        ("gpt-5-nano", "gpt-5-nano-2025-08-07"),
        ("gpt-3.5-turbo", "gpt-3.5-turbo-0125"),
        ("gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini-2024-07-18"),
        ("text-embedding-3-small", "text-embedding-3-small"),
        ("omni-moderation-latest", "omni-moderation-latest"),
        ("ft:gpt-4o-mini-2024-07-18:acme::abc", "ft:gpt-4o-mini-2024-07-18:acme::abc"),
        ("never-heard-of", "never-heard-of"),
    ],
)
def test_an_alias_stands_for_a_snapshot_and_other_names_for_themselves(model, dated):
    assert snapshot(model) == dated
    assert snapshot(dated) == dated


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("o1", True),
        ("o4-mini-2025-04-16", True),
        ("gpt-5-nano", True),
        ("gpt-6-luna", True),
        ("ft:o4-mini-2025-04-16:acme::abc", True),
        ("gpt-5-chat-latest", False),
        ("gpt-5.2-chat-latest", False),
        ("gpt-4o", False),
        ("gpt-3.5-turbo", False),
        ("text-embedding-3-small", False),
    ],
)
def test_reasoning_models_are_known_by_their_family(model, expected):
    assert is_reasoning(model) is expected


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-5-nano-2025-08-07", False),
        ("o3", False),
        ("gpt-5.1", True),
        ("gpt-4o", True),
        ("gpt-5-chat-latest", True),
    ],
)
def test_some_models_take_no_temperature(model, expected):
    assert takes_temperature(model) is expected


@pytest.mark.parametrize(
    ("model", "context"),
    [
        ("gpt-4o", 128_000),
        ("gpt-4o-2024-05-13", 128_000),
        ("gpt-3.5-turbo-1106", 16_385),
        ("ft:gpt-4.1-2025-04-14:acme::abc", 1_047_576),
        ("gpt-99", None),
    ],
)
def test_sizes_are_those_of_the_model_behind_the_name(model, context):
    assert sizes(model).context == context


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (
            {
                "usage": {
                    "prompt_tokens": 5,
                    "completion_tokens": 6,
                    "prompt_tokens_details": {"cached_tokens": 1},
                    "completion_tokens_details": {"reasoning_tokens": 2},
                }
            },
            Usage(5, 6, 1, 2),
        ),
        ({"usage": {"prompt_tokens": 5, "total_tokens": 5}}, Usage(5)),
        ({"usage": {"input_tokens": 5, "output_tokens": 6}}, Usage(5, 6)),
        ({"usage": {"input_tokens": "5", "output_tokens": -6}}, Usage()),
        ({"usage": {"prompt_tokens": 5, "prompt_tokens_details": None}}, Usage(5)),
        ({"usage": None}, Usage()),
        ({}, Usage()),
        ([], Usage()),
        (None, Usage()),
    ],
    ids=str,
)
def test_usage_is_read_in_both_spellings_and_is_else_zero(body, usage):
    assert usage_of(body) == usage


SELF = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string"}, "text"),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "string", "minLength": 6}, "text.."),
        ({"type": "string", "minLength": 10**9}, "text".ljust(LONGEST, ".")),
        ({"type": "string", "format": "date"}, "2026-01-01"),
        ({"type": "string", "format": "unknown"}, "text"),
        ({"type": "integer"}, 0),
        ({"type": "integer", "minimum": 3}, 3),
        ({"type": "integer", "exclusiveMinimum": 3}, 4),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "integer", "exclusiveMaximum": 3}, 2),
        ({"type": "integer", "minimum": 7, "multipleOf": 5}, 10),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["null", "string"]}, "text"),
        ({"enum": ["b", "a"]}, "b"),
        ({"const": None}, None),
        ({"anyOf": [{"type": "object"}, {"type": "boolean"}]}, True),
        ({"anyOf": [{"type": "object"}, {"type": "array"}]}, {}),
        ({"type": "array", "items": {"type": "integer"}}, []),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [0, 0]),
        ({"properties": {"a": {"type": "integer"}, "b": {}}, "required": ["a"]}, {"a": 0}),
        ({"$defs": {"x/y": {"const": 1}}, "$ref": "#/$defs/x~1y"}, 1),
        ({"$ref": "#/$defs/missing"}, None),
        ({"$ref": "#"}, None),
        ({}, None),
        (None, None),
        ({"type": 3, "enum": [], "anyOf": "x"}, None),
        ({"type": "object", "properties": [], "required": {}}, {}),
        ({"type": "number", "minimum": "x", "multipleOf": -1}, 0),
    ],
    ids=str,
)
def test_an_instance_is_the_smallest_value_that_the_schema_allows(schema, expected):
    assert instance(schema, "text") == expected


def test_a_schema_that_refers_to_itself_comes_to_an_end():
    assert json.dumps(instance(SELF, "")).count("next") == DEEPEST + 1


@pytest.mark.parametrize(
    ("answer", "status_code", "start"),
    [
        (error_answers.server_error(), 500, "An error occurred while processing your request."),
        (
            error_answers.timed_out(),
            504,
            "Timed out generating response. Please try again with a shorter",
        ),
        (
            error_answers.insufficient_quota(),
            429,
            "You exceeded your current quota, please check your",
        ),
    ],
    ids=["500", "504", "429"],
)
def test_row_131_an_error_body_has_the_four_keys(answer, status_code, start):
    error = json.loads(answer.body)["error"]
    assert answer.status_code == status_code
    assert list(error) == ["message", "type", "param", "code"]
    assert error["message"].startswith(start)
    assert answer.usage == Usage()


def test_row_140_an_exhausted_quota_is_named_by_its_code():
    assert (
        json.loads(error_answers.insufficient_quota().body)["error"]["code"] == "insufficient_quota"
    )
