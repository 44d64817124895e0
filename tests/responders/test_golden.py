"""The bytes of every endpoint's answer, its shape, and that the SDK can read it."""

from __future__ import annotations

import importlib
import json

import pytest

from batchsim.domain.answers import usage_of
from batchsim.domain.endpoints import ENDPOINTS
from batchsim.responders.simulated import RESPONDERS, simulated
from tests.repository import FIXTURES

GOLDEN = [
    json.loads(line)
    for line in (FIXTURES / "golden" / "answers.jsonl").read_text("utf-8").splitlines()
]

TYPES = {
    "/v1/chat/completions": ("openai.types.chat", "ChatCompletion"),
    "/v1/completions": ("openai.types", "Completion"),
    "/v1/embeddings": ("openai.types", "CreateEmbeddingResponse"),
    "/v1/responses": ("openai.types.responses", "Response"),
    "/v1/moderations": ("openai.types", "ModerationCreateResponse"),
    "/v1/images/generations": ("openai.types", "ImagesResponse"),
    "/v1/images/edits": ("openai.types", "ImagesResponse"),
    "/v1/videos": ("openai.types", "Video"),
}

golden = pytest.mark.parametrize("case", GOLDEN, ids=[case["name"] for case in GOLDEN])


def answer_of(case, line, occasion):
    return simulated(line(case["url"], case["request"]), occasion)


def test_every_endpoint_has_a_responder_and_a_golden_answer():
    assert list(RESPONDERS) == list(ENDPOINTS)
    assert {case["url"] for case in GOLDEN} == set(ENDPOINTS)


@golden
def test_the_answer_is_the_golden_one_to_the_byte(case, line, occasion):
    answer = answer_of(case, line, occasion)
    assert (answer.status_code, answer.body) == (case["status_code"], json.dumps(case["body"]))


@golden
def test_row_126_a_body_is_written_as_the_wire_writes_it(case, line, occasion):
    body = answer_of(case, line, occasion).body
    assert body == json.dumps(json.loads(body))
    assert body.isascii()


@golden
def test_the_usage_is_what_the_body_reports(case, line, occasion):
    answer = answer_of(case, line, occasion)
    assert answer.usage == usage_of(json.loads(answer.body))


@golden
def test_the_request_is_left_as_it_was(case, line, occasion):
    before = json.dumps(case["request"])
    answer_of(case, line, occasion)
    assert json.dumps(case["request"]) == before


READABLE = [
    case
    for case in GOLDEN
    # The SDK decodes base64 before it looks at the type.
    if case["status_code"] == 200 and case["request"].get("encoding_format") != "base64"
]


@pytest.mark.sdk
@pytest.mark.parametrize("case", READABLE, ids=[case["name"] for case in READABLE])
def test_the_sdk_reads_the_body_strictly(case, line, occasion):
    module, name = TYPES[case["url"]]
    try:
        model = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        pytest.skip("this release of openai does not know the endpoint")
    body = answer_of(case, line, occasion).body
    read = model.model_validate_json(body, strict=True)
    assert json.loads(read.model_dump_json(by_alias=True, exclude_unset=True)) == json.loads(body)
