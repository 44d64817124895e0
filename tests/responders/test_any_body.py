"""Whatever validation lets through is answered, in the wire's form, and never raises."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsim.domain.answers import usage_of
from batchsim.domain.endpoints import ENDPOINTS
from batchsim.domain.lines import RequestLine
from batchsim.responders import Occasion
from batchsim.responders.chat import parameters
from batchsim.responders.endpoints import completions, embeddings, images, responses, videos
from batchsim.responders.simulated import simulated, with_text

CHECKS = {
    "/v1/chat/completions": parameters.CHECKS,
    "/v1/completions": completions.CHECKS,
    "/v1/embeddings": embeddings.CHECKS,
    "/v1/responses": responses.CHECKS,
    "/v1/images/generations": images.CHECKS,
    "/v1/images/edits": images.CHECKS,
    "/v1/videos": videos.CHECKS,
}

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
WORDS = st.sampled_from(
    [
        *(
            "user",
            "assistant",
            "function",
            "required",
            "json_schema",
            "json_object",
            "json",
            "text",
        ),
        *("input_image", "object", "string", "array", "integer", "auto", "base64", "#", "low"),
    ]
)
KEYS = st.sampled_from(
    [
        *("role", "content", "type", "text", "name", "function", "parameters", "json_schema"),
        *("schema", "format", "image_url", "properties", "required", "items", "$ref", "anyOf"),
        *("effort", "minItems", "minimum", "maximum", "multipleOf", "maxLength", "usage"),
    ]
)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)
MODELS = st.sampled_from(["gpt-4o", "gpt-5-nano", "text-embedding-3-large", "never-heard-of"])
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": WORDS, "content": TEXTS | VALUES}), min_size=1, max_size=2
)


@st.composite
def bodies(draw, url):
    optional = [
        *CHECKS.get(url, ()),
        "tools",
        "tool_choice",
        "response_format",
        "text",
        "reasoning",
    ]
    body = draw(st.dictionaries(st.sampled_from(optional), VALUES, max_size=4))
    for name in ENDPOINTS[url].required:
        value = MESSAGES if name in ("messages", "input") else VALUES
        body[name] = draw((value | VALUES | TEXTS).filter(lambda each: each is not None))
    body["model"] = draw(MODELS)
    return body


@pytest.mark.parametrize("url", ENDPOINTS)
@given(data=st.data())
def test_any_body_is_answered_in_the_wires_form(url, data):
    body = data.draw(bodies(url))
    request = RequestLine(1, "a", url, body["model"], body)
    before = json.dumps(body)
    for answer in (
        simulated(request, Occasion(1, bytes(64))),
        with_text(request, Occasion(1, bytes(64)), "given"),
    ):
        assert answer.status_code in (200, 400, 500)
        assert answer.body == json.dumps(json.loads(answer.body))
        assert answer.usage == usage_of(json.loads(answer.body))
    assert json.dumps(body) == before
